"""Sensor positions in a domain, as (m, 2) arrays of (x, y) in its unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike

from pdeinv.checks import Bounds, described, integer, number, tensor
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid

__all__ = [
    "boundary",
    "consecutive",
    "inner",
    "lines",
    "random",
    "random_nodes",
    "regular",
    "track",
]

_UNIT_SQUARE = Domain()
_MOST = 10_000_000  # sensors, far beyond what any solver takes
_MOST_APART = 10_000  # of sensors that keep a distance
_TRIES = 1000  # candidates for one of these, until there is no room


def random(
    n: int, seed: int = 0, domain: Domain = _UNIT_SQUARE, *, apart: float = 0.0
) -> np.ndarray:
    """Return n uniformly distributed points, which are independent but for their distance.

    Arguments:
        n: number of points.
        seed: seed of their positions.
        domain: the domain.
        apart: least distance between two points, in the unit of the domain.

    Raises:
        InputError: so many points do not fit at that distance.
    """
    n, stream = _count(n), _stream(seed)
    if not number("apart", apart, Bounds(least=0)):
        return _scattered(stream, n, domain)
    integer("the number of sensors apart", n, Bounds(most=_MOST_APART))
    found, count = np.empty((n, 2)), 0
    while count < n:
        for _ in range(_TRIES):
            candidate = _scattered(stream, 1, domain)
            if count == 0 or np.hypot(*(found[:count] - candidate).T).min() >= apart:
                found[count], count = candidate, count + 1
                break
        else:
            break
    if count == n:
        return found
    raise InputError(
        f"apart must leave room for {n} points in {domain}, got {apart:g}, at which {count} were "
        f"placed; use a shorter distance or fewer points"
    )


def random_nodes(n: int, grid: Grid, seed: int = 0) -> np.ndarray:
    """Return n different random active nodes of the grid: the benchmark's layout.

    Arguments:
        n: number of nodes.
        grid: whose nodes these are.
        seed: of the choice.

    Raises:
        InputError: the grid has fewer of them.
    """
    if not isinstance(grid, Grid):
        raise InputError(f"grid must be a Grid, got {described(grid)}; give such as Grid(64)")
    n = _count(n)
    active = None if grid.active_nodes is None else np.flatnonzero(grid.active_nodes.numpy())
    most = grid.nodes if active is None else len(active)
    if n > most:
        raise InputError(
            f"the number of nodes must be at most {most} on a grid of {grid}, got {n}; use fewer"
        )
    flat = _stream(seed).choice(grid.nodes if active is None else active, size=n, replace=False)
    cells_y, cells_x = grid.cells
    columns, rows = flat % grid.nx + grid.first, flat // grid.nx + grid.first
    shares = np.stack([columns / cells_x, rows / cells_y], axis=1)
    return _absolute(shares, grid.domain)


def regular(per_side: int, domain: Domain = _UNIT_SQUARE) -> np.ndarray:
    """Return the centres of a tiling by squares, as nearly as whole numbers allow; those that are
    active.

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
    points = _absolute(np.stack([x.ravel(), y.ravel()], axis=1), domain)
    return points[_active(points, domain)]


def track(
    waypoints: ArrayLike,
    n: int | None = None,
    domain: Domain = _UNIT_SQUARE,
    *,
    spacing: float | None = None,
) -> np.ndarray:
    """Return points equally spaced along a broken line.

    Arguments:
        waypoints: (k, 2), the corners (x, y) of the line, such as the track of a ship.
        n: number of points, both ends included.
        domain: the domain.
        spacing: in place of n, the distance along the line from its start to the next point, in the
            unit of the domain.

    Raises:
        InputError: there are fewer than two waypoints, or one is outside of the domain; or both of
            n and spacing are given, or neither.
    """
    corners = _corners(waypoints, domain)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    if (n is None) == (spacing is None):
        both = "neither" if n is None else "both"
        raise InputError(f"one of n and spacing must be given, got {both}; give one")
    if spacing is None:
        at = np.linspace(0.0, lengths[-1], _count(n))
    else:
        step = number("spacing", spacing, Bounds(above=0))
        # Rounding must not lose the last point
        at = step * np.arange(_count(1 + math.floor(lengths[-1] / step * (1 + 1e-12))))
    return np.stack([np.interp(at, lengths, corners[:, d]) for d in (0, 1)], axis=1)


def lines(
    given: Sequence[ArrayLike],
    n: int | None = None,
    domain: Domain = _UNIT_SQUARE,
    *,
    spacing: float | None = None,
) -> list[np.ndarray]:
    """Return the points of several lines, such as boreholes along profiles: for each a `track`.

    Arguments:
        given: the waypoints (k, 2) of each line.
        n, domain, spacing: as in `track`, for each line.

    Raises:
        InputError: as `track`.

    Example:
        >>> profiles = lines([[(0.1, 0.2), (0.9, 0.2)], [(0.1, 0.8), (0.9, 0.8)]], 5)
        >>> np.concatenate(profiles).shape
        (10, 2)
    """
    return [track(waypoints, n, domain, spacing=spacing) for waypoints in given]


def consecutive(points: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts and the ends, both (m - 1, 2), of the steps from each point to the next:
    for means along segments, or differences of neighbours.

    Arguments:
        points: (m, 2), such as a `track`.

    Raises:
        InputError: there are fewer than two points.

    Example:
        >>> starts, ends = consecutive(track([(0.0, 0.5), (1.0, 0.5)], 3))
        >>> ends.tolist()
        [[0.5, 0.5], [1.0, 0.5]]
    """
    found = _pairs("points", points)
    return found[:-1], found[1:]


def inner(domain: Domain, radius: float = 0.0, offset: tuple[float, float] = (0.0, 0.0)) -> Domain:
    """Return the part of a domain whose points have room for what is read about them.

    Arguments:
        domain: the domain.
        radius: of discs that must lie in the domain.
        offset: (dx, dy), from each point to the other end of its line or difference.

    Raises:
        InputError: there is no room.
    """
    radius = number("radius", radius, Bounds(least=0))
    dx, dy = (number("offset", step) for step in offset)
    x0, x1, y0, y1 = domain.extent
    room = (
        x0 + max(radius, -dx),
        x1 - max(radius, dx),
        y0 + max(radius, -dy),
        y1 - max(radius, dy),
    )
    if room[0] >= room[1] or room[2] >= room[3]:
        raise InputError(
            f"discs and lines must fit into the domain {domain}, got the radius {radius:g} and the "
            f"offset ({dx:g}, {dy:g}); use smaller ones"
        )
    return replace(domain, extent=room)


def boundary(n: int, domain: Domain = _UNIT_SQUARE) -> np.ndarray:
    """Return n points equally spaced along the boundary, anticlockwise from (x0, y0).

    Arguments:
        n: number of points.
        domain: the rectangle.
    """
    x0, x1, y0, y1 = domain.extent
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    return track(corners, _count(n) + 1, domain)[:-1]


def _corners(waypoints: ArrayLike, domain: Domain) -> np.ndarray:
    corners = _pairs("waypoints", waypoints)
    outside = ~domain.contains(torch.from_numpy(corners)).numpy()  # nan too
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise InputError(
            f"waypoints must be in the domain {domain}, got {tuple(corners[i].tolist())} at index "
            f"{i}; use its coordinates"
        )
    return corners


def _pairs(what: str, given: ArrayLike) -> np.ndarray:
    """Return at least two pairs (k, 2)."""
    pairs = tensor(what, given).double().numpy()
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 2:
        raise InputError(
            f"{what} must be at least two pairs (x, y), got an array of shape {pairs.shape}; "
            f"give an array (k, 2)"
        )
    return pairs


def _active(points: np.ndarray, domain: Domain) -> np.ndarray:
    return domain.contains(torch.from_numpy(points)).numpy()


def _scattered(stream: np.random.Generator, n: int, domain: Domain) -> np.ndarray:
    """Return n independent points that are uniform on the active part of a domain."""
    found = _absolute(stream.random((n, 2)), domain)
    if domain.active is None:
        return found
    found = found[_active(found, domain)]
    for _ in range(_TRIES):
        if len(found) >= n:
            return found[:n]
        more = _absolute(stream.random((max(n, 100), 2)), domain)
        found = np.concatenate([found, more[_active(more, domain)]])
    raise InputError(
        f"the active part of {domain} must be large enough to place {n} points in it, got "
        f"{len(found)} of them; give their positions"
    )


def _absolute(shares: np.ndarray, domain: Domain) -> np.ndarray:
    return domain.absolute(torch.from_numpy(shares)).numpy()


def _count(n: int | None) -> int:
    return integer("the number of sensors", n, Bounds(1, _MOST))


def _stream(seed: int) -> np.random.Generator:
    return np.random.default_rng(integer("seed", seed, Bounds(least=0)))
