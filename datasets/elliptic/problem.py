"""What surrounds and lies within a domain, the sources and the wells, on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch.nn.functional import pad

from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.pattern import Marks, Pattern
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.features import (
    Barrier,
    Feature,
    FixedValue,
    Leakage,
    closed_faces,
    nodes_of,
)
from pdeinv.datasets.sides import NoFlux, Side, Sides
from pdeinv.datasets.uncertain import Drawn
from pdeinv.datasets.wells import Well
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = [
    "Enclosure",
    "Leaks",
    "adrift",
    "conditions_on",
    "leaks_on",
    "source_on",
    "volumes_on",
    "wells_on",
]

_CLOSED = NoFlux()


@dataclass(frozen=True)
class Enclosure:
    """Where a solution is held, where it flows in, and where nothing crosses.

    Arguments:
        sides: of the rectangle.
        edge: what holds on the edge of the active part within the rectangle.
        features: what lies within.
    """

    sides: Sides
    edge: Side = _CLOSED
    features: tuple[Feature, ...] = ()

    @property
    def anchored(self) -> bool:
        """Whether something fixes the level of a solution: a side, an edge, a lake or a leak."""
        held = any(side.fixes_value for _, side in self.sides.items()) or self.edge.fixes_value
        return held or any(isinstance(one, FixedValue | Leakage) for one in self.features)

    @property
    def homogeneous(self) -> bool:
        """Whether all that is given is 0."""
        values = [one.value for one in self.features if isinstance(one, FixedValue)]
        values += [one.level for one in self.features if isinstance(one, Leakage)]
        return self.sides.homogeneous and self.edge.zero and all(value.zero for value in values)


def volumes_on(grid: Grid, enclosure: Enclosure) -> Volumes:
    """Return the volumes of a grid's nodes."""
    held = {name: side.fixes_value for name, side in enclosure.sides.items()}
    pattern = None
    if grid.active is not None or any(
        isinstance(one, FixedValue | Barrier) for one in enclosure.features
    ):
        pattern = _pattern_and_values(grid, enclosure.edge, enclosure.features)[0]
    return Volumes(*grid.shape, *grid.domain.lengths, **held, pattern=pattern)


def conditions_on(grid: Grid, enclosure: Enclosure) -> Conditions:
    """Return the values and the fluxes that are given, at a grid's nodes; differentiable to what is
    drawn."""
    drawn = enclosure.sides.drawn
    return _conditions(grid, enclosure) if drawn else _kept_conditions(grid, enclosure)


def source_on(grid: Grid, enclosure: Enclosure, source: Distributed) -> torch.Tensor:
    """Return a source (my, mx) at the free nodes, float64; differentiable if it is drawn."""
    drawn = isinstance(source.value, Drawn)
    return (_source if drawn else _kept_source)(volumes_on(grid, enclosure), grid, source)


def _conditions(grid: Grid, enclosure: Enclosure) -> Conditions:
    points = node_positions(grid).reshape(*grid.shape, 2)
    nodes = {
        "left": points[:, 0],
        "right": points[:, -1],
        "bottom": points[0],
        "top": points[-1],
    }
    given = {
        name: side.tensor(nodes[name], grid.domain, name)
        for name, side in enclosure.sides.items()
        if not side.zero
    }
    volumes = volumes_on(grid, enclosure)
    if volumes.pattern is None:
        return Conditions.on(volumes, given)
    within = _pattern_and_values(grid, enclosure.edge, enclosure.features)[1]
    return Conditions.on(volumes, given, within)


def _source(volumes: Volumes, grid: Grid, source: Distributed) -> torch.Tensor:
    return volumes.inside(source.tensor(node_positions(grid), grid.domain).reshape(grid.shape))


# A cached inference tensor would break every later gradient
_kept_conditions = lru_cache(maxsize=64)(torch.inference_mode(False)(_conditions))
_kept_source = lru_cache(maxsize=64)(torch.inference_mode(False)(_source))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _pattern_and_values(
    grid: Grid, edge: Side, features: tuple[Feature, ...]
) -> tuple[Pattern, torch.Tensor]:
    """Return the pattern of a grid, and the values (ny, nx) at the nodes that it holds, nan at
    others."""
    ny, nx = grid.shape
    cells, nodes = grid.active_cells, grid.active_nodes
    if cells is None or nodes is None:
        cells, nodes = torch.ones(ny - 1, nx - 1).bool(), torch.ones(ny, nx).bool()
    values = torch.full(grid.shape, torch.nan, dtype=torch.float64)
    points = node_positions(grid)
    if edge.fixes_value:
        around = pad(cells, (1, 1, 1, 1), value=True)  # a side of the rectangle is no edge
        whole = around[1:, 1:] & around[1:, :-1] & around[:-1, 1:] & around[:-1, :-1]
        at = nodes & ~whole
        values[at] = edge.tensor(points[at.flatten().numpy()], grid.domain, "left")
    for one in features:
        if isinstance(one, FixedValue):
            at = nodes & torch.from_numpy(nodes_of(one.place, grid) > 0)
            values[at] = one.value.tensor(points[at.flatten().numpy()], grid.domain)
    walls = [one for one in features if isinstance(one, Barrier)]
    closed = (
        (torch.from_numpy(faces) for faces in closed_faces(walls, grid))
        if walls
        else (torch.zeros(ny, nx - 1).bool(), torch.zeros(ny - 1, nx).bool())
    )
    return Pattern(Marks.of(cells), Marks.of(~values.isnan()), *map(Marks.of, closed)), values


@dataclass(frozen=True, eq=False)
class Leaks:
    """What enters in proportion to a difference: conductance (level - u), at the free nodes.

    Attributes:
        conductance: (my, mx), of each node, in the square of the domain's unit.
        inflow: (my, mx), conductance times level.
    """

    conductance: torch.Tensor
    inflow: torch.Tensor


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def leaks_on(grid: Grid, enclosure: Enclosure) -> Leaks | None:
    """Return the leaks of a domain, float64; None where there are none."""
    leaks = [one for one in enclosure.features if isinstance(one, Leakage)]
    if not leaks:
        return None
    volumes, points = volumes_on(grid, enclosure), node_positions(grid)
    total, inflow = torch.zeros(2, *grid.shape, dtype=torch.float64)
    for one in leaks:
        owned = one.conductance * torch.from_numpy(nodes_of(one.place, grid))
        total += owned
        inflow += owned * one.level.tensor(points, grid.domain).reshape(grid.shape)
    return Leaks(*(volumes.at_free(volumes.inside(part)) for part in (total, inflow)))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def adrift(grid: Grid, enclosure: Enclosure) -> tuple[float, float] | None:
    """Return a node (x, y) of a part whose level nothing fixes; None where there is none.

    Nodes are of one part if faces that are open join them.
    """
    volumes, leaks = volumes_on(grid, enclosure), leaks_on(grid, enclosure)
    if volumes.pattern is None:
        return None
    number = np.arange(grid.nodes).reshape(grid.shape)
    across, along, _ = (share.numpy() > 0 for share in volumes.pattern.shares())
    pairs = np.concatenate(
        [
            np.stack([number[:, :-1][across], number[:, 1:][across]], axis=1),
            np.stack([number[:-1][along], number[1:][along]], axis=1),
        ]
    )
    joined = coo_matrix((np.ones(len(pairs)), pairs.T), shape=(grid.nodes, grid.nodes))
    part = connected_components(joined, directed=False)[1]
    anchors = volumes.held.numpy()
    if leaks is not None:
        anchors = anchors | (volumes.extended(leaks.conductance).numpy() > 0)
    loose = volumes.pattern.active.numpy().ravel() & ~np.isin(part, part[anchors.ravel()])
    if not loose.any():
        return None
    x, y = node_positions(grid)[np.flatnonzero(loose)[0]]
    return float(x), float(y)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def wells_on(grid: Grid, enclosure: Enclosure, wells: tuple[Well, ...]) -> torch.Tensor:
    """Return what the wells bring to each free node's volume per time, (my, mx), float64.

    The rate of a well is spread over the four nodes of its cell, bilinearly, as far as they are
    free. Their sum is the rate exactly.
    """
    volumes, (x0, _, y0, _) = volumes_on(grid, enclosure), grid.extent
    total = torch.zeros(grid.shape, dtype=torch.float64)
    for well in wells:
        shares = _hat((well.y - y0) / volumes.hy, volumes.ny)[:, None] * _hat(
            (well.x - x0) / volumes.hx, volumes.nx
        )
        free = volumes.extended(volumes.inside(torch.from_numpy(shares)))
        if not free.any():
            raise InputError(
                f"a well must have a free node next to it, got x = {well.x:g}, y = {well.y:g} on "
                f"{grid} nodes; move it off what holds a value, or use a finer grid"
            )
        total += well.rate * free / free.sum()
    return volumes.inside(total)


def _hat(position: float, n: int) -> np.ndarray:
    """Return the linear weights of n nodes at a position in cells."""
    return np.clip(1 - np.abs(np.arange(n) - np.clip(position, 0, n - 1)), 0, None)
