"""Exact shares of discs and segments in the cells around the nodes of a grid.

A cell holds the points nearest to its node. The mean over a disc or a segment of a field with one
value in each cell is the sum of these times the shares.
"""

from __future__ import annotations

import torch

from pdeinv.grid import Grid
from pdeinv.interpolation import interpolation_stencil

__all__ = ["disc_cells", "line_cells"]


def disc_cells(
    points: torch.Tensor, radius: torch.Tensor, grid: Grid
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nodes of the cells that discs meet, and the shares of the discs in them.

    Arguments:
        points: (k, 2), centres.
        radius: (k,).

    Returns:
        Flat indices and shares, both (k, w).
    """
    sides, places = [], []
    centre = grid.domain.relative(points)
    for d, n, cells, h in zip((1, 0), grid.shape, grid.cells, grid.spacing, strict=True):
        middle, reach = centre[:, d] * cells - grid.first, radius / h
        first = (middle - reach).round()
        count = int((middle + reach - first).ceil().max()) + 1 if len(points) else 1
        node = first[:, None] + torch.arange(count)
        # Sides of the cells, in radii from the centre; the last node of a side has half a cell
        low = ((node - 0.5) - middle[:, None]) / reach[:, None]
        sides.append(torch.cat([low, low[:, -1:] + 1 / reach[:, None]], dim=1).clamp(-1, 1))
        places.append((node.long() % n) if grid.periodic else node.long().clamp(0, n - 1))
    (v, u), (iy, ix) = sides, places
    area = _area_below(u[:, None, :], v[:, :, None]).diff(dim=1).diff(dim=2)
    index = iy[:, :, None] * grid.nx + ix[:, None, :]
    return index.flatten(1), (area.clamp(min=0) / torch.pi).flatten(1)


def line_cells(
    points: torch.Tensor, ends: torch.Tensor, grid: Grid
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nodes of the cells that segments cross, and the shares of the segments in them.

    Arguments:
        points, ends: (k, 2).

    Returns:
        Flat indices and shares, both (k, w); a node may repeat.
    """
    cells = torch.tensor(grid.cells[::-1])
    start, end = (grid.domain.relative(p) * cells - grid.first for p in (points, ends))
    cuts = [torch.zeros(len(points), 1, dtype=points.dtype)]
    for s, e in zip(start.T, end.T, strict=True):
        count = int((e - s).abs().ceil().max()) + 1 if len(points) else 0
        side = ((torch.minimum(s, e) + 0.5).ceil() - 0.5)[:, None] + torch.arange(count)
        cut = (side - s[:, None]) / (e - s)[:, None]  # no number along the sides
        cuts.append(cut.nan_to_num(1.0).clamp(0, 1))
    cut = torch.cat([*cuts, torch.ones_like(cuts[0])], dim=1).sort(dim=1).values
    middle = (cut[:, 1:] + cut[:, :-1]) / 2
    between = points[:, None] + middle[:, :, None] * (ends - points)[:, None]
    nodes, _ = interpolation_stencil(between.flatten(0, 1), grid, 0)
    return nodes.reshape(middle.shape), cut.diff(dim=1)


def _area_below(u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return the area of the part of the unit disc left of u and below v, both from -1 to 1.

    It is the integral over x up to u of the length of the chord at x below v. That length is
    c + min(v, c), c² = 1 - x², or 0 where v < -c.
    """

    def primitive(x: torch.Tensor) -> torch.Tensor:  # of c
        return (x * (1 - x * x).clamp(min=0).sqrt() + x.asin()) / 2

    half = (1 - v * v).clamp(min=0).sqrt()  # where c = |v|
    inner = torch.maximum(torch.minimum(u, half), -half)
    middle = v * (inner + half) + primitive(inner) - primitive(-half)
    outer = primitive(torch.minimum(u, -half)) - primitive(-torch.ones_like(v))
    outer = outer + primitive(torch.maximum(u, half)) - primitive(half)
    return middle + torch.where(v > 0, 2 * outer, 0)
