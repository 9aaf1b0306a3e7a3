"""What would take hours or fill the disk, estimated before it begins; and what is doubtful."""

from __future__ import annotations

import math
import shutil
import time
from pathlib import Path

import torch

from pdeinv import seeds
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, warn_input
from pdeinv.grid import Grid

__all__ = ["check_effort", "check_solves", "warn_of_doubt"]

_SURELY_QUICK = 1e8  # nodes of all samples, up to which the time is not estimated
_MOST_HOURS = 24 * 7  # of a dataset
_INVERSION_SOLVES = 100  # one after the other, in a reconstruction, at least
_INVERSION_HOURS = 3


def check_effort(
    problem: Problem, n: int, grid: Grid, out: Path, cores: float, copies: int = 2
) -> None:
    """Refuse samples that do not fit on the disk, or take more than a week.

    Arguments:
        problem, n, grid, out: what is generated.
        cores: that compute; infinity where their number is unknown.
        copies: of the values that are stored at once.

    Raises:
        InputError: with the estimate.
    """
    pde = problem.physics
    warn_of_doubt(pde, grid)
    # The blocks and the file that is assembled of them, single precision each; without what an
    # unfinished run has
    stored = sum(f.stat().st_size for f in out.with_name(out.name + ".parts").glob("*.npz"))
    if copies == 1:
        stored += sum(f.stat().st_size for f in out.parent.glob(f"{out.stem}-*{out.suffix}"))
    size, where = 4.0 * copies * len(pde.fields) * n * grid.nodes - stored, out.parent
    free = float(shutil.disk_usage(where).free) if where.is_dir() else math.inf
    if size > free:
        raise InputError(
            f"n must be smaller: {n} samples on {grid} nodes take about "
            f"{1e-9 * size:.3g} GB, and {where.resolve()} has {1e-9 * free:.3g} GB free; use fewer "
            f"or another disk"
        )
    seconds = pde.solve_seconds(grid)
    if not seconds and n * grid.nodes > _SURELY_QUICK:
        start = time.perf_counter()
        with torch.no_grad():
            problem.sample(1, grid, seeds.generator(seeds.TRAINING))
        seconds = time.perf_counter() - start
    hours = n * seconds / cores / 3600
    if hours > _MOST_HOURS:
        raise InputError(
            f"n must be smaller: {n} samples of {pde.name} on {grid} nodes take about "
            f"{hours:.3g} hours here; use fewer or a coarser grid"
        )


def check_solves(pde: PDE, grid: Grid) -> None:
    """Refuse a PDE of which a reconstruction would take hours, for the solves alone; warn of doubt.

    Raises:
        InputError: with the estimate.
    """
    seconds = pde.solve_seconds(grid)
    hours = _INVERSION_SOLVES * seconds / 3600
    if hours > _INVERSION_HOURS:
        raise InputError(
            f"a solve of {pde.name} must be shorter, got about {seconds:.3g} s on {grid} "
            f"nodes, which makes {hours:.3g} hours or more of a reconstruction; use "
            f"other parameters or a coarser grid"
        )
    warn_of_doubt(pde, grid)


def warn_of_doubt(pde: PDE, grid: Grid) -> None:
    """Warn where results of a PDE on a grid are doubtful, with an `InputWarning`."""
    if message := pde.doubt(grid):
        warn_input(message)
