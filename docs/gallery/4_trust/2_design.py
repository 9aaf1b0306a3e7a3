"""
Where to measure next
=====================

Five further readings, in order, and the worth of the present ones.
"""

import pdeinv
from pdeinv import layouts

x, y = layouts.random(8, seed=3).T
table = {"field": "potential", "x": x, "y": y, "value": 0.001}
plan = pdeinv.design(table, "poisson", noise=1e-4, add=5, grid=40)
figure = pdeinv.plot_design(plan)
