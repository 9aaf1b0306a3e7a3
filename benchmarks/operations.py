"""What a reconstruction must compute at least, counted from the mathematics, and a machine's rates.

The counts do not come from our code. Each is the least work that the usual algorithms need for a
posterior mean, its spread and samples. A nonlinear problem is linearised once, at a mode that is
known already. The ratio of a measured time to the bound therefore holds every search.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from pdeinv.datasets import Problem
from pdeinv.datasets.darcy import Darcy
from pdeinv.datasets.elliptic.base import SourcePDE
from pdeinv.datasets.navier_stokes import NavierStokes
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Operations", "Rates", "least_operations", "measured_rates"]

_PRODUCT = 512  # side of the matrices whose product is timed
_BATCH = 16  # fields of a transform that is timed
_COPIED = 2**23  # numbers of a copy that is timed
_REPEATS = 3
_FACTOR = 829 / 84  # multiplications of a factorisation by nested dissection, per cube of n
_FILL = 31 / 4  # numbers in its factor, per n² log₂ n
_TRANSFORMS = 3  # of an elliptic problem: the coefficient from its modes, and a solve
_OF_TENDENCY = 5  # two velocities, two slopes of the vorticity, and their product
_STAGES = 4  # of a time step of fourth order
_NUMBER = 8  # bytes


class Rates(NamedTuple):
    """What a machine does in a second, with one thread in double precision.

    Arguments:
        products: operations of a product of matrices.
        transforms: operations of a real Fourier transform of a field, 5/2 N log₂ N of N nodes.
        copied: bytes that are read and written.
    """

    products: float
    transforms: float
    copied: float


class Operations(NamedTuple):
    """What must be computed at least.

    Arguments:
        side: nodes per side of a field.
        transforms: of whole fields, each by two matrix products or by an FFT.
        products: operations of matrix products and factorisations.
        moved: bytes.
    """

    side: int
    transforms: float
    products: float
    moved: float

    def seconds(self, rates: Rates) -> float:
        """Return the time at the rates of a machine: of the arithmetic or of the memory, whichever
        is longer."""
        n = self.side
        by_products = 4 * n**3 / rates.products
        by_fft = 5 * n**2 * math.log2(n) / rates.transforms
        arithmetic = self.transforms * min(by_products, by_fft) + self.products / rates.products
        return max(arithmetic, self.moved / rates.copied)


def least_operations(problem: Problem, grid: Grid, sensors: int, samples: int) -> Operations:
    """Return what a posterior needs at least.

    Arguments:
        problem: of one of the published PDEs.
        grid: a square one.
        sensors: m, readings of the solution.
        samples: number of posterior samples.

    Raises:
        InputError: the PDE is another one.
    """
    n, m, modes = grid.ny, sensors, min(problem.latent.size, grid.nodes)
    of_readings = m**2 * modes  # their covariance: half of a product
    of_spread = m**2 * modes  # a triangular system for each mode
    shared = of_readings + of_spread + m**3 / 3
    moved = 4.0 * _NUMBER * m * modes  # rows are written once and read in each of three products
    physics = problem.physics
    if isinstance(physics, SourcePDE):
        transforms = _TRANSFORMS * (2 * m + samples)  # adjoints, spreads, samples
        return Operations(n, transforms, shared, moved)
    if isinstance(physics, NavierStokes):
        tendencies = _STAGES * physics.steps(grid)
        flows = 1 + m + samples  # of the mode, adjoints of the readings, samples
        transforms = flows * tendencies * _OF_TENDENCY + 2 * m
        return Operations(n, transforms, shared, moved)
    if isinstance(physics, Darcy):
        factor, fill = 2 * _FACTOR * n**3, _FILL * n**2 * math.log2(n)
        solves = 4 * fill * (m + samples)
        products = (1 + samples) * factor + solves
        return Operations(n, 2.0 * m + samples, shared + products, moved)
    raise InputError(
        f"the PDE of a roofline must be one of the published ones, got {physics.name}; choose one "
        f"of them"
    )


def measured_rates(side: int) -> Rates:
    """Return this machine's rates now, each the best of a few runs.

    Arguments:
        side: nodes per side of the fields that are transformed.
    """
    a = torch.ones(_PRODUCT, _PRODUCT, dtype=torch.float64)
    fields = torch.ones(_BATCH, side, side, dtype=torch.float64)
    source, target = torch.ones(_COPIED, dtype=torch.float64), torch.empty(_COPIED).double()
    nominal = 2.5 * _BATCH * side**2 * math.log2(side**2)
    return Rates(
        2 * _PRODUCT**3 / _least(lambda: a @ a),
        nominal / _least(lambda: torch.fft.rfft2(fields)),
        2 * _NUMBER * _COPIED / _least(lambda: target.copy_(source)),
    )


def _least(work: Callable[[], object]) -> float:
    """Return the processor seconds of a call, the least of several after a first one."""
    work()
    found = []
    for _ in range(_REPEATS):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return max(min(found), 1e-9)
