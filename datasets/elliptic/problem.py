"""The sides, the sources and the wells of a physics module on a grid."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.sides import Sides
from pdeinv.datasets.uncertain import Drawn
from pdeinv.datasets.wells import Well
from pdeinv.grid import Grid

__all__ = ["conditions_on", "source_on", "volumes_on", "wells_on"]


def volumes_on(grid: Grid, boundary: Sides) -> Volumes:
    """Return the volumes of a grid's nodes."""
    held = (side.fixes_value for _, side in boundary.items())
    return Volumes(*grid.shape, *grid.domain.lengths, *held)


def conditions_on(grid: Grid, boundary: Sides) -> Conditions:
    """Return the values and the fluxes of the sides at a grid's nodes; differentiable to what is
    drawn."""
    return _conditions(grid, boundary) if boundary.drawn else _kept_conditions(grid, boundary)


def source_on(grid: Grid, boundary: Sides, source: Distributed) -> torch.Tensor:
    """Return a source (my, mx) at the free nodes, float64; differentiable if it is drawn."""
    drawn = isinstance(source.value, Drawn)
    return (_source if drawn else _kept_source)(volumes_on(grid, boundary), grid, source)


def _conditions(grid: Grid, boundary: Sides) -> Conditions:
    points = node_positions(grid).reshape(*grid.shape, 2)
    nodes = {
        "left": points[:, 0],
        "right": points[:, -1],
        "bottom": points[0],
        "top": points[-1],
    }
    given = {
        name: side.tensor(nodes[name], grid.domain, name)
        for name, side in boundary.items()
        if not side.zero
    }
    return Conditions.on(volumes_on(grid, boundary), given)


def _source(volumes: Volumes, grid: Grid, source: Distributed) -> torch.Tensor:
    return volumes.inside(source.tensor(node_positions(grid), grid.domain).reshape(grid.shape))


# A cached inference tensor would break every later gradient
_kept_conditions = lru_cache(maxsize=64)(torch.inference_mode(False)(_conditions))
_kept_source = lru_cache(maxsize=64)(torch.inference_mode(False)(_source))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def wells_on(grid: Grid, boundary: Sides, wells: tuple[Well, ...]) -> torch.Tensor:
    """Return what the wells bring to each free node's volume per time, (my, mx), float64.

    The rate of a well is spread over the four nodes of its cell, bilinearly, as far as they are
    free. Their sum is the rate exactly.
    """
    volumes, (x0, _, y0, _) = volumes_on(grid, boundary), grid.extent
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for well in wells:
        shares = _hat((well.y - y0) / volumes.hy, volumes.ny)[:, None] * _hat(
            (well.x - x0) / volumes.hx, volumes.nx
        )
        free = volumes.extended(volumes.inside(torch.from_numpy(shares)))
        total += well.rate * free / free.sum()
    return volumes.inside(total)


def _hat(position: float, n: int) -> np.ndarray:
    """Return the linear weights of n nodes at a position in cells."""
    return np.clip(1 - np.abs(np.arange(n) - np.clip(position, 0, n - 1)), 0, None)
