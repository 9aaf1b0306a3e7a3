"""
Helmholtz: both fields are read
===============================

Fifteen readings of the source and fifteen of the wave field, in one table.
"""

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("helmholtz").isel(sample=2)
of_source = Sensors.observe(truth.source, layouts.random(15, seed=1), noise_std="5%")
of_wave = Sensors.observe(truth.wavefield, layouts.random(15, seed=2), noise_std="1%")
result = pdeinv.reconstruct(of_source + of_wave, "helmholtz")
figure = pdeinv.plot_reconstruction(result, truth)
