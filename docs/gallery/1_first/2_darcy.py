"""
Darcy: two materials from pressures
===================================

The permeability has two values. The result has the probability of the high one at each node.
"""

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("darcy").isel(sample=1)
places = layouts.random(60, seed=1)
sensors = Sensors.observe(truth.pressure, places, noise_std="1%")
result = pdeinv.reconstruct(sensors, "darcy")
figure = pdeinv.plot_reconstruction(result, truth)
