"""
An aquifer with a river, a lake and wells
=========================================

The hydraulic conductivity from heads in boreholes, on a domain in metres.
"""

import pdeinv
from pdeinv import LogNormal, Problem
from pdeinv.datasets import Darcy, NoFlux, Sides, Value, Well
from pdeinv.grid import Domain

sides = Sides(left=Value(52), right=Value(50), bottom=NoFlux(), top=NoFlux())
wells = (Well(1000, 500, rate=-100), Well(2100, 700, rate=-60))
domain = Domain((0, 3000, 0, 1200), unit="m")
aquifer = Darcy(domain=domain, boundary=sides, wells=wells, source=0, thickness=20)
heads = [51.97, 51.41, 51.14, 50.05, 51.91, 50.27, 50.98, 51.34]
x = [400, 900, 1500, 2500, 250, 2050, 1700, 1200]
table = {"field": "pressure", "x": x, "y": [300, 800, 500, 900, 1000, 600, 200, 150]}
problem = Problem(aquifer, LogNormal(median=8, log_std=1, length=400))
result = pdeinv.reconstruct(table | {"value": heads}, problem=problem, noise=0.05, grid=25)
figure = pdeinv.plot_reconstruction(result)
