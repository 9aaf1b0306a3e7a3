"""Sensor positions in the unit square, as (m, 2) arrays of (x, y)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from pdeinv.checks import Bounds, described, integer, tensor
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["boundary", "random", "random_nodes", "regular", "track"]

_MOST = 10_000_000  # sensors, far beyond what any solver takes


def random(n: int, seed: int = 0) -> np.ndarray:
    """Return n independent, uniformly distributed points."""
    return _stream(seed).random((_count(n), 2))


def random_nodes(n: int, grid: Grid, seed: int = 0) -> np.ndarray:
    """Return n different random nodes of the grid: the benchmark's layout.

    Raises:
        InputError: the grid has fewer nodes.
    """
    if not isinstance(grid, Grid):
        raise InputError(f"grid must be a Grid, got {described(grid)}; give such as Grid(64)")
    n = _count(n)
    if n > grid.n**2:
        raise InputError(
            f"the number of nodes must be at most {grid.n**2} on a grid of {grid.n} x {grid.n}, "
            f"got {n}; use fewer"
        )
    flat = _stream(seed).choice(grid.n**2, size=n, replace=False)
    return np.stack([flat % grid.n, flat // grid.n], axis=1) / grid.cells


def regular(per_side: int) -> np.ndarray:
    """Return per_side² points, at the centres of a per_side x per_side tiling."""
    per_side = integer("per_side", per_side, Bounds(1, math.isqrt(_MOST)))
    s = (np.arange(per_side) + 0.5) / per_side
    y, x = np.meshgrid(s, s, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def track(waypoints: ArrayLike, n: int) -> np.ndarray:
    """Return n points equally spaced along a broken line, both ends included.

    Arguments:
        waypoints: (k, 2), the corners (x, y) of the line, such as the track of a ship.
        n: number of points.

    Raises:
        InputError: there are fewer than two waypoints, or one is outside of the unit square.
    """
    corners = tensor("waypoints", waypoints).double().numpy()
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 2:
        raise InputError(
            f"waypoints must be at least two pairs (x, y), got an array of shape {corners.shape}; "
            f"give an array (k, 2)"
        )
    outside = ~((corners >= 0) & (corners <= 1)).all(axis=1)  # nan too
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"waypoints must be in the unit square, got {tuple(corners[i].tolist())} at index {i}; "
            f"rescale them to [0, 1]"
        )
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], _count(n))
    return np.stack([np.interp(at, lengths, corners[:, d]) for d in (0, 1)], axis=1)


def boundary(n: int) -> np.ndarray:
    """Return n points equally spaced along the boundary, anticlockwise from the corner (0, 0)."""
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    return track(corners, _count(n) + 1)[:-1]


def _count(n: int) -> int:
    return integer("the number of sensors", n, Bounds(1, _MOST))


def _stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(integer("seed", seed, Bounds(least=0)))
