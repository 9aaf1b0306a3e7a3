"""Point sources on a grid."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pdeinv.datasets.wells import Well
from pdeinv.grid import Grid

__all__ = ["point_density"]

_NODES = 6  # of the stencil along an axis: the error of a source between nodes is of sixth order


def point_density(grid: Grid, wells: Sequence[Well]) -> np.ndarray:
    """Return the density (ny, nx) of point sources at the nodes, for `WaveOperator.loads_at`.

    Each is spread over the nodes near it by the weights of Lagrange's interpolation, so that its
    wave is that of a point beyond some nodes from it. The integral of each is its rate.
    """
    (x0, _, y0, _), (width, height) = grid.extent, grid.domain.lengths
    total = np.zeros(grid.shape)
    for well in wells:
        shares = [
            _weights((place - start) / length * (n - 1), n) / _shares(n, length / (n - 1))
            for place, start, length, n in (
                (well.y, y0, height, grid.ny),
                (well.x, x0, width, grid.nx),
            )
        ]
        total += well.rate * np.outer(*shares)
    return total


def _shares(n: int, h: float) -> np.ndarray:
    """Return the length of an axis that each node owns, (n,)."""
    owned = np.full(n, h)
    owned[0] = owned[-1] = h / 2
    return owned


def _weights(position: float, n: int) -> np.ndarray:
    """Return the weights (n,) of the nodes for a position, in cells."""
    size = min(_NODES, n)
    start = int(np.clip(np.floor(position) - size // 2 + 1, 0, n - size))
    nodes = np.arange(start, start + size)
    found = np.zeros(n)
    for node in nodes:
        others = nodes[nodes != node]
        found[node] = np.prod((position - others) / (node - others))
    return found
