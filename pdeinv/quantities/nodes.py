"""Weights of nodes that integrate a field, linear between them, along a line or over a region."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import shapely
import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.interpolation import interpolation_stencil
from pdeinv.region import Region

__all__ = ["active_at", "along_line", "over_region", "xy_of"]

_GAUSS = np.array([-1, 1]) / np.sqrt(3) / 2 + 0.5
_SAME = 1e-9  # of a side, within which a point is on it


def along_line(grid: Grid, start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """Return weights (ny, nx) of the integral along a straight line, over its length.

    Only the parts of the line in the active domain count. The integral is exact of a field that is
    linear in x and in y between the nodes.
    """
    first, step = np.array(start), np.subtract(end, start)
    cuts = [0.0, 1.0]
    for axis, nodes in zip((1, 0), grid.coordinates(), strict=True):
        h = grid.spacing[1 - axis]
        lines = nodes.numpy()
        if grid.kind == "cell":  # the field bends at centres, and cells end at faces
            lines = np.concatenate([lines, lines - h / 2, lines + h / 2])
        if step[axis]:
            cuts += [c for c in (lines - first[axis]) / step[axis] if 0 < c < 1]
    at = np.unique(np.round(cuts, 12))
    length = np.diff(at) * np.hypot(*step)
    middle = first + (at[:-1] + at[1:])[:, None] / 2 * step
    counts = active_at(grid, middle)
    shares = (at[:-1, None] + np.diff(at)[:, None] * _GAUSS).ravel()
    weights = np.repeat(np.where(counts, length, 0.0) / 2, 2)
    return _gathered(grid, first + shares[:, None] * step, weights)


def over_region(grid: Grid, region: Region | None, what: str) -> tuple[np.ndarray, float]:
    """Return weights (ny, nx) of the integral over the active part of a region, and its area.

    Each cell counts by the area and the centroid of its part in the region, so that the integral is
    exact of a field that is linear there.

    Arguments:
        grid: of the field.
        region: None for the whole domain.
        what: of the message.

    Raises:
        InputError: the region has no part in the active domain.
    """
    boxes = _cells(grid)
    if region is not None:
        outline = region.within(grid.extent).outline
        shapely.prepare(outline)
        near = shapely.intersects(outline, boxes)
        boxes = shapely.intersection(boxes[near], outline)
    area = shapely.area(boxes)
    boxes, area = boxes[area > 0], area[area > 0]
    if not len(area):
        raise InputError(
            f"{what} must have a part in the active domain {grid.domain}, got none; use the "
            f"domain's coordinates"
        )
    return _gathered(grid, xy_of(shapely.centroid(boxes)), area), float(area.sum())


def xy_of(points: np.ndarray) -> np.ndarray:
    """Return the coordinates (m, 2) of points of shapely."""
    return np.stack([shapely.get_x(points), shapely.get_y(points)], axis=1)


def active_at(grid: Grid, points: np.ndarray) -> np.ndarray:
    """Return which points (m, 2) are in an active cell or on its edge, (m,)."""
    x0, x1, y0, y1 = grid.extent
    shares = (points - [x0, y0]) / [x1 - x0, y1 - y0]
    inside = ((shares >= -_SAME) & (shares <= 1 + _SAME)).all(axis=1)
    if grid.active_cells is None:
        return np.asarray(inside)
    cells, (ny, nx) = grid.active_cells.numpy(), grid.active_cells.shape
    found = np.zeros(len(points), dtype=bool)
    for shift in _SHIFTS:
        i, j = np.floor(shares * [nx, ny] + shift).astype(int).T
        found |= cells[np.clip(j, 0, ny - 1), np.clip(i, 0, nx - 1)]
    return np.asarray(inside & found)


_SHIFTS = tuple(1e-7 * np.array([dx, dy]) for dx in (-1, 1) for dy in (-1, 1))  # in cells


def _cells(grid: Grid) -> np.ndarray:
    """Return the active cells as boxes of shapely."""
    ny, nx = grid.cells
    x0, x1, y0, y1 = grid.extent
    j, i = np.indices((ny, nx)).reshape(2, -1)
    if grid.active_cells is not None:
        active = grid.active_cells.numpy().ravel()
        i, j = i[active], j[active]
    x, y = np.linspace(x0, x1, nx + 1), np.linspace(y0, y1, ny + 1)
    return shapely.box(x[i], y[j], x[i + 1], y[j + 1])


def _gathered(grid: Grid, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights of nodes of a sum over points (m, 2)."""
    total = np.zeros(grid.nodes)
    for rows in _parts(len(points)):
        nodes, shares = interpolation_stencil(torch.from_numpy(points[rows]), grid, 1)
        add = shares.numpy() * weights[rows, None]
        total += np.bincount(nodes.numpy().ravel(), add.ravel(), minlength=grid.nodes)
    return total.reshape(grid.shape)


def _parts(m: int, size: int = 100_000) -> Iterator[slice]:
    return (slice(i, i + size) for i in range(0, m, size))
