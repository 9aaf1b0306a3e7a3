"""A few cells that take seconds in all, for processes that run them, too."""

from helpers import tuning_task

from pdeinv.benchmarks.cells import Cell

CELLS = [
    Cell(tuning_task(pde, kind, 16, 20), method, 2, samples=4)
    for pde in ("poisson", "helmholtz")
    for kind in ("forward", "inverse")
    for method in ("gaussian", "kriging")
]
