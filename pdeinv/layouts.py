"""Sensor positions in a domain, as (m, 2) arrays of (x, y) in its unit."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from pdeinv.checks import Bounds, described, integer, tensor
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid

__all__ = ["boundary", "random", "random_nodes", "regular", "track"]

_UNIT_SQUARE = Domain()
_MOST = 10_000_000  # sensors, far beyond what any solver takes


def random(n: int, seed: int = 0, domain: Domain = _UNIT_SQUARE) -> np.ndarray:
    """Return n independent, uniformly distributed points."""
    return _absolute(_stream(seed).random((_count(n), 2)), domain)


def random_nodes(n: int, grid: Grid, seed: int = 0) -> np.ndarray:
    """Return n different random nodes of the grid: the benchmark's layout.

    Raises:
        InputError: the grid has fewer nodes.
    """
    if not isinstance(grid, Grid):
        raise InputError(f"grid must be a Grid, got {described(grid)}; give such as Grid(64)")
    n = _count(n)
    if n > grid.nodes:
        raise InputError(
            f"the number of nodes must be at most {grid.nodes} on a grid of {grid}, got {n}; use "
            f"fewer"
        )
    flat = _stream(seed).choice(grid.nodes, size=n, replace=False)
    cells_y, cells_x = grid.cells
    shares = np.stack([flat % grid.nx / cells_x, flat // grid.nx / cells_y], axis=1)
    return _absolute(shares, grid.domain)


def regular(per_side: int, domain: Domain = _UNIT_SQUARE) -> np.ndarray:
    """Return the centres of a tiling by squares, as nearly as whole numbers allow.

    Arguments:
        per_side: tiles along the shorter side of the domain.
        domain: the domain.
    """
    per_side = integer("per_side", per_side, Bounds(1, math.isqrt(_MOST)))
    sx, sy = (
        (np.arange(tiles) + 0.5) / tiles
        for tiles in (round(per_side * length) for length in domain.aspect)
    )
    y, x = np.meshgrid(sy, sx, indexing="ij")
    return _absolute(np.stack([x.ravel(), y.ravel()], axis=1), domain)


def track(waypoints: ArrayLike, n: int, domain: Domain = _UNIT_SQUARE) -> np.ndarray:
    """Return n points equally spaced along a broken line, both ends included.

    Arguments:
        waypoints: (k, 2), the corners (x, y) of the line, such as the track of a ship.
        n: number of points.
        domain: the domain.

    Raises:
        InputError: there are fewer than two waypoints, or one is outside of the domain.
    """
    given = tensor("waypoints", waypoints).double()
    corners = given.numpy()
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 2:
        raise InputError(
            f"waypoints must be at least two pairs (x, y), got an array of shape {corners.shape}; "
            f"give an array (k, 2)"
        )
    outside = ~domain.contains(given).numpy()  # nan too
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"waypoints must be in the domain {domain}, got {tuple(corners[i].tolist())} at index "
            f"{i}; use its coordinates"
        )
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    at = np.linspace(0.0, lengths[-1], _count(n))
    return np.stack([np.interp(at, lengths, corners[:, d]) for d in (0, 1)], axis=1)


def boundary(n: int, domain: Domain = _UNIT_SQUARE) -> np.ndarray:
    """Return n points equally spaced along the boundary, anticlockwise from (x0, y0)."""
    x0, x1, y0, y1 = domain.extent
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    return track(corners, _count(n) + 1, domain)[:-1]


def _absolute(shares: np.ndarray, domain: Domain) -> np.ndarray:
    return domain.absolute(torch.from_numpy(shares)).numpy()


def _count(n: int) -> int:
    return integer("the number of sensors", n, Bounds(1, _MOST))


def _stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(integer("seed", seed, Bounds(least=0)))
