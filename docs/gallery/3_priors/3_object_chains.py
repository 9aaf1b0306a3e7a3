"""
A few hot spots, by chains over objects
=======================================

The prior draws one to three bumps. Markov chains over them find the posterior.
"""

import numpy as np
import xarray as xr

import pdeinv
from pdeinv import Problem, Sensors, Spikes, datasets, layouts
from pdeinv.seeds import TUNING, generator

problem = Problem(datasets.Poisson(), Spikes(fewest=1, most=3))
pair = problem.sample(1, problem.physics.grid(32), generator(TUNING, 5))[0].numpy()
nodes = {axis: np.linspace(0, 1, 32) for axis in "yx"}
fields = zip(("source", "potential"), pair, strict=True)
truth = xr.Dataset({name: (("y", "x"), field) for name, field in fields}, nodes)
sensors = Sensors.observe(truth.potential, layouts.random(30, seed=1), noise_std="5%")
result = pdeinv.reconstruct(sensors, problem=problem, grid=32, steps=300)
figure = pdeinv.plot_reconstruction(result, truth)
