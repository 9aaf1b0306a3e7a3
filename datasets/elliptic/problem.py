"""What surrounds and lies within a domain, the sources and the wells, on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy
import torch
from torch.nn.functional import pad

from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.pattern import CentredPattern, Marks, Pattern
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.features import (
    Barrier,
    Feature,
    FixedValue,
    Leakage,
    closed_faces,
    nodes_of,
)
from pdeinv.datasets.sides import SIDES, NoFlux, Side, Sides, axis_of
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
    def within(self) -> tuple[tuple[bool, ...], Side, tuple[Feature, ...]]:
        """Which of `SIDES` hold values, the edge and the features."""
        return tuple(side.fixes_value for _, side in self.sides.items()), self.edge, self.features

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
    if (
        grid.kind == "cell"
        or grid.active is not None
        or any(isinstance(one, FixedValue | Barrier) for one in enclosure.features)
    ):
        pattern = _pattern_and_values(grid, *enclosure.within)[0]
    ny, nx = grid.shape if pattern is None else pattern.held.shape
    return Volumes(ny, nx, *grid.domain.lengths, **held, pattern=pattern)


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
    nodes = _side_nodes(grid)
    given = {
        name: side.tensor(nodes[name], grid.domain, name)
        for name, side in enclosure.sides.items()
        if not side.zero
    }
    volumes = volumes_on(grid, enclosure)
    if volumes.pattern is None:
        return Conditions.on(volumes, given)
    return Conditions.on(volumes, given, _pattern_and_values(grid, *enclosure.within)[1])


def _side_nodes(grid: Grid) -> dict[str, np.ndarray]:
    """Return the positions (n, 2) along each side, across from the nodes that are nearest to it."""
    points = node_positions(grid).reshape(*grid.shape, 2)
    nodes = {
        "left": points[:, 0],
        "right": points[:, -1],
        "bottom": points[0],
        "top": points[-1],
    }
    if grid.kind == "cell":
        for side, place in zip(SIDES, grid.extent, strict=True):
            nodes[side] = nodes[side].copy()
            nodes[side][:, 1 - axis_of(side)] = place
    return nodes


def _source(volumes: Volumes, grid: Grid, source: Distributed) -> torch.Tensor:
    values = source.tensor(node_positions(grid), grid.domain).reshape(grid.shape)
    return volumes.inside(volumes.with_sides(values))


# A cached inference tensor would break every later gradient
_kept_conditions = lru_cache(maxsize=64)(torch.inference_mode(False)(_conditions))
_kept_source = lru_cache(maxsize=64)(torch.inference_mode(False)(_source))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _pattern_and_values(
    grid: Grid, held: tuple[bool, ...], edge: Side, features: tuple[Feature, ...]
) -> tuple[Pattern, torch.Tensor]:
    """Return the pattern of a grid, and the values (ny, nx) at the nodes that it holds, nan at
    others; arguments as of `Enclosure.within`."""
    ny, nx = grid.shape
    cells, nodes = grid.active_cells, grid.active_nodes
    if cells is None or nodes is None:
        cells, nodes = torch.ones(grid.cells).bool(), torch.ones(ny, nx).bool()
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
    closed = torch.zeros(ny, nx - 1).bool(), torch.zeros(ny - 1, nx).bool()
    if walls:
        across, along = closed_faces(walls, grid)
        closed = torch.from_numpy(across), torch.from_numpy(along)
    if grid.kind == "cell":
        return _centred([int(one) for one in held], cells, values, closed)
    return Pattern(Marks.of(cells), Marks.of(~values.isnan()), *map(Marks.of, closed)), values


def _centred(
    around: list[int], cells: torch.Tensor, values: torch.Tensor, closed: tuple[torch.Tensor, ...]
) -> tuple[CentredPattern, torch.Tensor]:
    """Return the pattern of the centres of cells and of the nodes on sides of values, and the
    values within at all these nodes, nan at others.

    Arguments:
        around: 1 for each of `SIDES` that holds values, else 0.
        cells: (ny, nx), the active ones.
        values: (ny, nx), of the nodes within that hold some, nan at others.
        closed: faces across x (ny, nx-1) and across y (ny-1, nx).
    """
    left, right, bottom, top = around
    inside = pad(torch.ones_like(cells), around)
    # A node on a side is active where its neighbour is
    active = pad(cells, around)
    for end, inner, given in ((0, 1, left), (-1, -2, right)):
        if given:
            active[:, end] = active[:, inner]
    for end, inner, given in ((0, 1, bottom), (-1, -2, top)):
        if given:
            active[end] = active[inner] & inside[inner]
    values = pad(values, around, value=torch.nan)
    across, along = (Marks.of(pad(one, around)) for one in closed)
    held = Marks.of(~values.isnan())
    return CentredPattern(Marks.of(active), held, across, along, Marks.of(~inside)), values


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
    free = (volumes.inside(volumes.with_sides(part)) for part in (total, inflow))
    return Leaks(*(volumes.at_free(part) for part in free))


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def adrift(grid: Grid, enclosure: Enclosure) -> tuple[float, float] | None:
    """Return a node (x, y) of a part whose level nothing fixes; None where there is none.

    Nodes are of one part if faces that are open join them.
    """
    volumes, leaks = volumes_on(grid, enclosure), leaks_on(grid, enclosure)
    if volumes.pattern is None:
        return None
    count = volumes.ny * volumes.nx
    number = np.arange(count).reshape(volumes.ny, volumes.nx)
    across, along, _ = (share.numpy() > 0 for share in volumes.pattern.shares())
    pairs = np.concatenate(
        [
            np.stack([number[:, :-1][across], number[:, 1:][across]], axis=1),
            np.stack([number[:-1][along], number[1:][along]], axis=1),
        ]
    )
    joined = scipy.sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    part = scipy.sparse.csgraph.connected_components(joined, directed=False)[1]
    anchors = volumes.held.numpy()
    if leaks is not None:
        anchors = anchors | (volumes.extended(leaks.conductance).numpy() > 0)
    loose = volumes.pattern.active.numpy().ravel() & ~np.isin(part, part[anchors.ravel()])
    if not loose.any():
        return None
    of_grid = volumes.on_grid(torch.from_numpy(loose.reshape(number.shape)))
    x, y = node_positions(grid)[np.flatnonzero(of_grid.numpy())[0]]
    return float(x), float(y)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def wells_on(grid: Grid, enclosure: Enclosure, wells: tuple[Well, ...]) -> torch.Tensor:
    """Return what the wells bring to each free node's volume per time, (my, mx), float64.

    The rate of a well is spread over the four nodes of its cell, bilinearly, as far as they are
    free. Their sum is the rate exactly.
    """
    volumes, (x0, _, y0, _) = volumes_on(grid, enclosure), grid.extent
    total = torch.zeros(volumes.shape, dtype=torch.float64)
    for well in wells:
        shares = _hat((well.y - y0) / volumes.hy - grid.first, grid.ny)[:, None] * _hat(
            (well.x - x0) / volumes.hx - grid.first, grid.nx
        )
        free = volumes.at_free(volumes.inside(volumes.with_sides(torch.from_numpy(shares))))
        if not free.any():
            raise InputError(
                f"a well must have a free node next to it, got x = {well.x:g}, y = {well.y:g} on "
                f"{grid} nodes; move it off what holds a value, or use a finer grid"
            )
        total += well.rate * free / free.sum()
    return total


def _hat(position: float, n: int) -> np.ndarray:
    """Return the linear weights of n nodes at a position in cells."""
    return np.clip(1 - np.abs(np.arange(n) - np.clip(position, 0, n - 1)), 0, None)
