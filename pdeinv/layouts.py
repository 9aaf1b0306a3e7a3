"""Where to put sensors: positions in the unit square as (m, 2) arrays of (x, y)."""

from __future__ import annotations

import numpy as np

from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["boundary", "random", "random_nodes", "regular", "track"]


def random(n: int, seed: int = 0) -> np.ndarray:
    """n independent, uniformly distributed points."""
    return np.random.default_rng(seed).random((_count(n), 2))


def random_nodes(n: int, grid: Grid, seed: int = 0) -> np.ndarray:
    """n different nodes of the grid, chosen at random: the benchmark's layout."""
    if _count(n) > grid.n**2:
        raise InputError(
            f"{n} different nodes do not exist on a grid of {grid.n} x {grid.n}; ask for at most "
            f"{grid.n**2}"
        )
    flat = np.random.default_rng(seed).choice(grid.n**2, size=n, replace=False)
    return np.stack([flat % grid.n, flat // grid.n], axis=1) / grid.cells


def regular(per_side: int) -> np.ndarray:
    """per_side² points at the centres of a regular per_side x per_side tiling."""
    s = (np.arange(_count(per_side)) + 0.5) / per_side
    y, x = np.meshgrid(s, s, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)


def track(waypoints, n: int) -> np.ndarray:
    """n points equally spaced along the broken line through the waypoints (k, 2), both ends
    included: a ship or a drone."""
    waypoints = np.asarray(waypoints, dtype=float)
    if waypoints.ndim != 2 or waypoints.shape[1] != 2 or len(waypoints) < 2:
        raise InputError(
            f"a track needs at least two (x, y) waypoints, not an array of shape {waypoints.shape}"
        )
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(waypoints, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], _count(n))
    return np.stack([np.interp(at, lengths, waypoints[:, d]) for d in (0, 1)], axis=1)


def boundary(n: int) -> np.ndarray:
    """n points equally spaced around the boundary, from the corner (0, 0) anticlockwise."""
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    return track(corners, _count(n) + 1)[:-1]


def _count(n):
    if n < 1:
        raise InputError(f"a layout of {n} sensors is empty; ask for at least 1")
    return n
