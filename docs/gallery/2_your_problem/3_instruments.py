"""
Points, discs and lines
=======================

Readings may be means over discs or along lines. A layout is drawn on the field that it reads.
"""

import numpy as np

import pdeinv
from pdeinv import Sensors, datasets, layouts

truth = datasets.example("poisson").isel(sample=3)
points = Sensors.observe(truth.source, layouts.random(8, seed=1), noise_std=0.01)
centres = layouts.random(6, 2, layouts.inner(datasets.Poisson().domain, radius=0.08))
discs = Sensors.observe(truth.source, centres, radius=0.08, noise_std=0.01)
starts = np.array([[0.1, 0.3], [0.1, 0.7]])
lines = Sensors.observe(truth.source, starts, ends=starts + [0.8, 0], noise_std=0.01)
figure = pdeinv.plot_sensors(points + discs + lines, truth)
