"""How much time and space a dataset takes, estimated before anything is written."""

from __future__ import annotations

import math
import os
import shutil
import time
from pathlib import Path

import torch

from pdeinv import seeds
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError

__all__ = ["check_effort"]

_SURELY_QUICK = 1e8  # nodes of all samples, up to which the time is not estimated
_MOST_HOURS = 24 * 7


def check_effort(pde: PDE, n: int, grid: int, out: Path, workers: int | None) -> None:
    """Refuse samples that do not fit on the disk, or take more than a week.

    Raises:
        InputError: with the estimate.
    """
    # The blocks and the file that is assembled of them, single precision each; without the blocks
    # of an unfinished run
    stored = sum(f.stat().st_size for f in out.with_name(out.name + ".parts").glob("*.npz"))
    size, where = 16.0 * n * grid**2 - stored, out.parent
    free = float(shutil.disk_usage(where).free) if where.is_dir() else math.inf
    if size > free:
        raise InputError(
            f"n must be smaller: {n} samples on {grid} x {grid} nodes take about "
            f"{1e-9 * size:.3g} GB, and {where.resolve()} has {1e-9 * free:.3g} GB free; use fewer "
            f"or another disk"
        )
    if n * grid**2 < _SURELY_QUICK:
        return
    start = time.perf_counter()
    with torch.no_grad():
        pde.sample(1, pde.grid(grid), seeds.generator(seeds.TRAINING))
    hours = n * (time.perf_counter() - start) / (workers or os.cpu_count() or 1) / 3600
    if hours > _MOST_HOURS:
        raise InputError(
            f"n must be smaller: {n} samples of {pde.name} on {grid} x {grid} nodes take about "
            f"{hours:.3g} hours here; use fewer or a coarser grid"
        )
