"""
Readings against their predictions
==================================

Each reading is predicted from the others. Nine of ten intervals should reach the diagonal.
"""

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("poisson").isel(sample=2)
places = layouts.random(80, seed=4)
sensors = Sensors.observe(truth.potential, places, noise_std="5%")
result = pdeinv.reconstruct(sensors, "poisson")
figure = pdeinv.plot_predictions(result)
