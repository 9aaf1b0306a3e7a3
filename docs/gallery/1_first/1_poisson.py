"""
Poisson: a source from twenty sensors
=====================================

Readings of the potential alone show where the sources are, but not their fine detail.
"""

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("poisson").isel(sample=0)
places = layouts.random(20, seed=2)
sensors = Sensors.observe(truth.potential, places, noise_std="1%")
result = pdeinv.reconstruct(sensors, "poisson")
figure = pdeinv.plot_reconstruction(result, truth)
