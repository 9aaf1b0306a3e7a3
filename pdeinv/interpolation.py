"""Interpolation of a field on a grid at any point, by Lagrange polynomials."""

from __future__ import annotations

import scipy
import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["interpolation_stencil"]

_LITTLE = 1e-6  # weight of active nodes below which the nearest one counts


def interpolation_stencil(
    points: torch.Tensor, grid: Grid, order: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return flat node indices and weights that interpolate a field, both (m, (order+1)²).

    The stencil wraps around on a periodic grid, and moves inwards at the boundary of another. On
    the half cell from the nodes of a cell grid to its sides, the field is continued linearly.
    Only active nodes are read: where one of the stencil is not, the field is linear between those
    of the point's cell that are, or has the value of the nearest active node.

    Arguments:
        points: (m, 2), positions (x, y).
        grid: grid of the field.
        order: degree of the polynomial.

    Raises:
        InputError: the grid has too few nodes for the degree.
    """
    most = min(grid.shape) - 1
    if not 0 <= order <= most:
        raise InputError(
            f"the interpolation order must be from 0 to {most} on {grid} nodes, got {order}; use "
            f"0, 1 or 3"
        )
    nodes, weights = _stencil(points, grid, order)
    if grid.active_nodes is not None:
        cut = ~grid.active_nodes.flatten()[nodes].all(dim=1)
        nodes[cut], weights[cut] = 0, 0.0
        few, its = _between_active(points[cut], grid, min(order, 1))
        nodes[cut, : few.shape[1]], weights[cut, : few.shape[1]] = few, its
    return nodes, weights


def _between_active(
    points: torch.Tensor, grid: Grid, order: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nodes and the weights of points with inactive nodes near them."""
    assert grid.active_nodes is not None
    active = grid.active_nodes.flatten()
    nodes, weights = _stencil(points, grid, order)
    weights = weights * active[nodes]
    total = weights.sum(dim=1)
    alone = total < _LITTLE
    weights = torch.where(alone[:, None], 0.0, weights / total[:, None])
    if bool(alone.any()):
        places = active.nonzero()[:, 0]
        tree = scipy.spatial.cKDTree(grid.points()[places].numpy())
        nearest = torch.from_numpy(tree.query(points[alone].double().numpy())[1])
        nodes[alone, 0], weights[alone, 0] = places[nearest], 1.0
    return nodes, weights


def _stencil(points: torch.Tensor, grid: Grid, order: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nodes and the weights of points, whichever nodes are active."""
    shares = grid.domain.relative(points.double())
    (iy, wy), (ix, wx) = (
        _stencil_1d(shares[:, d] * cells - grid.first, n, grid.periodic, order)
        for d, n, cells in zip((1, 0), grid.shape, grid.cells, strict=True)
    )
    index = iy[:, :, None] * grid.nx + ix[:, None, :]
    return index.flatten(1), (wy[:, :, None] * wx[:, None, :]).flatten(1)


def _stencil_1d(
    s: torch.Tensor, n: int, periodic: bool, order: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return node indices and weights along one direction, both (m, order+1), of positions s in
    cells from the first node."""
    nearest = s.round()
    # A sensor on a node reads that node exactly, whatever 0.3 * 10 rounds to
    s = torch.where((s - nearest).abs() < 1e-9, nearest, s)
    first = (nearest if order == 0 else s.floor() - (order - 1) // 2).long()
    beyond = torch.zeros_like(s)
    if not periodic:
        first = first.clamp(0, n - 1 - order)
        beyond = s - s.clamp(0, n - 1)
    offsets = torch.arange(order + 1, device=s.device)
    t = s - beyond - first
    weight = torch.ones(len(s), order + 1, dtype=torch.float64, device=s.device)
    for j in range(order + 1):
        for i in range(order + 1):
            if i != j:
                weight[:, j] *= (t - i) / (j - i)
    if order:
        low, high = beyond.clamp(max=0), beyond.clamp(min=0)
        weight[:, 0] -= low
        weight[:, 1] += low
        weight[:, -1] += high
        weight[:, -2] -= high
    return (first[:, None] + offsets) % n, weight
