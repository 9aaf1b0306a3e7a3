"""A few cells that take seconds in all, for processes that run them, too."""

from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.tasks import Task

CELLS = [
    Cell(Task(pde, kind, 16, 20), method, 2, samples=4)
    for pde in ("poisson", "helmholtz")
    for kind in ("forward", "inverse")
    for method in ("gaussian", "kriging")
]
