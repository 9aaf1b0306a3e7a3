"""Particles that move along a steady velocity, each along one of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pdeinv.grid import Grid
from pdeinv.quantities.nodes import active_at

__all__ = ["Paths", "track"]

_STEP = 0.25  # of a step along the path, in cells
_LONGEST = 10.0  # of a path, in half perimeters of the domain
_STILL = 1e-9  # of the largest speed, at which a particle stands still
_BISECTIONS = 40
_NEAR = 1e-6  # of a side, within which an end is on it

Ended = Callable[[np.ndarray], np.ndarray]


class Paths:
    """Where and when particles ended.

    Attributes:
        time: (n,), infinite where a particle stands still or runs in circles.
        end: (n, 2), its last position.
    """

    def __init__(self, start: np.ndarray) -> None:
        self.time = np.zeros(len(start))
        self.end = start.copy()

    def on_side(self, grid: Grid, side: str) -> np.ndarray:
        """Return which particles ended on a side, (n,)."""
        axis = 0 if side in ("left", "right") else 1
        low, high = grid.extent[2 * axis : 2 * axis + 2]
        place = low if side in ("left", "bottom") else high
        return np.abs(self.end[:, axis] - place) < _NEAR * (high - low)


def track(grid: Grid, velocity: np.ndarray, start: np.ndarray, ended: Ended) -> Paths:
    """Return the paths of particles until they leave the active domain or have ended.

    The velocity is linear in x and in y between the nodes. Runge–Kutta steps of fourth order have
    equal lengths along the path, a quarter of a cell, so that a fast flow near a well costs no
    accuracy. The last step is cut where it ends, so that times are of second order.

    Arguments:
        grid: of the velocities.
        velocity: (n, 2, ny, nx), of each particle.
        start: (n, 2), positions (x, y) in the active domain.
        ended: returns which of some positions (k, 2) end a path, (k,).
    """
    paths, step = Paths(start), _STEP * min(grid.spacing)
    fastest = np.nanmax(np.abs(velocity), axis=(1, 2, 3), initial=0.0)
    flow = np.nan_to_num(velocity)

    def gone(points: np.ndarray) -> np.ndarray:
        return ~active_at(grid, points) | ended(points)

    moving = np.flatnonzero(~ended(start))
    for _ in range(int(_LONGEST * sum(grid.domain.lengths) / step)):
        if not len(moving):
            break
        at = paths.end[moving]
        after, took = _stepped(grid, flow[moving], at, step, _STILL * fastest[moving])
        out = np.isfinite(took) & gone(after)
        if out.any():
            share = _share_until(gone, at[out], after[out])
            after[out] = at[out] + share[:, None] * (after[out] - at[out])
            took[out] *= share
        paths.end[moving] = after
        paths.time[moving] += took
        moving = moving[~out & np.isfinite(took)]
    paths.time[moving] = np.inf
    return paths


def _stepped(
    grid: Grid, flow: np.ndarray, at: np.ndarray, step: float, still: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions a step further, and the time that it took, infinite where a particle
    stands still."""
    slopes: list[np.ndarray] = []
    slowness: list[np.ndarray] = []
    for share in (0.0, 0.5, 0.5, 1.0):
        point = at + share * step * slopes[-1] if slopes else at
        v = _between_nodes(grid, flow, point)
        speed = np.hypot(*v.T)
        with np.errstate(divide="ignore"):
            slowness.append(np.where(speed > still, 1 / np.maximum(speed, 1e-300), np.inf))
        slopes.append(v / np.maximum(speed, 1e-300)[:, None])
    weights = np.array([1, 2, 2, 1]) / 6
    move = sum(w * k for w, k in zip(weights, slopes, strict=True))
    took = sum(w * s for w, s in zip(weights, slowness, strict=True))
    took = np.asarray(step * took)
    return np.where(np.isfinite(took)[:, None], at + step * move, at), took


def _between_nodes(grid: Grid, flow: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the velocities (n, 2) at points, each of its own flow (n, 2, ny, nx)."""
    x0, _, y0, _ = grid.extent
    hy, hx = grid.spacing
    s = (points - [x0, y0]) / [hx, hy] - grid.first
    first = np.clip(np.floor(s), 0, [grid.nx - 2, grid.ny - 2]).astype(int)
    (i, j), (tx, ty) = first.T, (s - first).T
    n = np.arange(len(points))
    return (
        ((1 - ty) * (1 - tx))[:, None] * flow[n, :, j, i]
        + ((1 - ty) * tx)[:, None] * flow[n, :, j, i + 1]
        + (ty * (1 - tx))[:, None] * flow[n, :, j + 1, i]
        + (ty * tx)[:, None] * flow[n, :, j + 1, i + 1]
    )


def _share_until(gone: Ended, before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the shares of steps (k,) at which they end."""
    low, high = np.zeros(len(before)), np.ones(len(before))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        out = gone(before + middle[:, None] * (after - before))
        low, high = np.where(out, low, middle), np.where(out, middle, high)
    return high
