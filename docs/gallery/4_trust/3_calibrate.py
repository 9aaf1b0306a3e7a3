"""
Are the intervals right?
========================

Truths are drawn and reconstructed. Uniform ranks mean intervals that hold the truth as stated.
"""

import pdeinv
from pdeinv import GaussianField, Problem, datasets, layouts

problem = Problem(datasets.Poisson(), GaussianField(0, std=1, length=0.2))
x, y = layouts.random(12, seed=0).T
table = {"field": "potential", "x": x, "y": y, "value": 0.0}
result = pdeinv.calibrate(problem, table, noise="1%", draws=40, grid=24)
figure = pdeinv.plot_calibration(result)
