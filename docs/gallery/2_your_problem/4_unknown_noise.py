"""
Noise and a length that nobody knows
====================================

Both are inferred with the fields, each with its interval. The readings have a noise of 2e-4.
"""

import pdeinv
from pdeinv import GaussianField, Problem, Sensors, datasets, layouts

truth = datasets.example("poisson").isel(sample=4)
places = layouts.random(60, seed=1)
sensors = Sensors.observe(truth.potential, places, noise_std=2e-4).table.drop(columns="noise_std")
prior = GaussianField(0, std=(0.1, 10), length=(0.05, 1))
problem = Problem(datasets.Poisson(), prior)
result = pdeinv.reconstruct(sensors, problem=problem, noise="unknown", grid=32)
figure = pdeinv.plot_parameters(result)
