"""Readings that are means over a disc or a segment, or differences of two points."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import scipy
import torch

from pdeinv.errors import InputError
from pdeinv.footprints.cells import disc_cells, line_cells
from pdeinv.footprints.places import DIFFERENCE, DISC, LINE, POINT, Footprints
from pdeinv.footprints.quadrature import QUADRATURE_ERROR, disc_rule, line_rule
from pdeinv.grid import Grid
from pdeinv.interpolation import interpolation_stencil
from pdeinv.memory import check_memory
from pdeinv.observation import Observation
from pdeinv.sensors.rows import Rows

__all__ = ["QUADRATURE_ERROR", "FootprintObservation", "operator_of"]

_WORDS = ("points", "means over discs", "means along lines", "differences of two points")
_STEP = 1.3  # ratio of neighbouring sizes that have a quadrature rule of their own
_LEAST = 0.5  # phase, of the smallest rule
_AT_ONCE = 2**21  # weights that are merged at a time
_BYTES = 40  # of a weight and its node, with copies
_LITTLE = 1e8  # bytes that need no check


@dataclass(frozen=True)
class FootprintObservation(Observation):
    """An `Observation` some of whose sensors read no points.

    A disc reads the mean over the disc about its point. A line reads the mean along the segment
    from its point to its end, a difference the value at its point less that at its end. On a
    periodic grid all of them cross the sides: a line runs straight to its end, which may lie
    outside of the domain. On another grid they must lie in the domain.

    Means are sums over quadrature points, between the nodes by the interpolation of the channel.
    All weights of the quadrature are positive and add up to 1. The grid resolves waves of two nodes
    along each axis. For each, the error of a mean is at most `QUADRATURE_ERROR` of the amplitude,
    plus the largest error of the interpolation on the disc or the segment. A channel of order 0 has
    one value around each node: there the weights are the exact shares of the disc or the segment in
    the cells.

    Arguments:
        kind: (m,), integers, positions in `pdeinv.sensors.KINDS`.
        radius: (m,), radii of discs; any number for other kinds. None is without discs.
        ends: (m, 2), ends of lines and differences; any numbers for other kinds. None is without.

    Raises:
        InputError: a footprint is not in the domain, or has no size; the discs take more memory
            than is available; or as of `Observation`.

    Example:
        >>> from pdeinv import Grid
        >>> import torch
        >>> half, one = torch.full((1, 2), 0.5, dtype=torch.float64), torch.ones(1)
        >>> H = FootprintObservation(
        ...     Grid(9), half, torch.tensor([1]), one, one, kind=torch.tensor([1]), radius=one / 4
        ... )
        >>> x = Grid(9).coordinates()[1].expand(1, 2, 9, 9)
        >>> round(float(H(x**2)), 6)  # 1/4 + r²/4
        0.265625
    """

    kind: torch.Tensor = field(kw_only=True)
    radius: torch.Tensor | None = field(default=None, kw_only=True)
    ends: torch.Tensor | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if self.points.device.type == "cpu":  # others are made of those
            self._check_places()
        super().__post_init__()

    def _check_places(self) -> None:
        m = len(self.points)
        for name, shape in (("kind", (m,)), ("radius", (m,)), ("ends", (m, 2))):
            tensor = getattr(self, name)
            if tensor is not None and tensor.shape != shape:
                raise InputError(
                    f"{name} must have the shape {shape}, got {tuple(tensor.shape)}; give one "
                    f"entry for each point"
                )
        rows = Rows("the observation", 0)
        Footprints(self.kind, self.radius, self.ends).check(self.points, self.grid, rows)
        self._check_memory()

    def _check_memory(self) -> None:
        if self.radius is None:
            return
        hy, hx = self.grid.spacing
        nodes = math.pi * self.radius[self.kind == DISC].double() ** 2 / (hx * hy)
        need = _BYTES * float(nodes.clamp(max=self.grid.nodes).sum())
        if need > _LITTLE:
            check_memory(
                need,
                f"means over {len(nodes)} discs on {self.grid} nodes",
                "use fewer or smaller ones, or a coarser grid",
            )

    @property
    def at_points(self) -> torch.Tensor:
        return self.kind == POINT

    @property
    def described(self) -> str:
        *first, last = (_WORDS[kind] for kind in self.kind.unique().tolist() if kind != POINT)
        return f"{', '.join(first)} and {last}" if first else last

    def similar(self) -> torch.Tensor:
        level = (self._phases() / _LEAST).log() / math.log(_STEP)
        return 1000 * self.kind.long() + level.ceil().clamp(min=0).long()

    def stencil(self, chosen: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
        label = self.similar()
        parts = [(chosen & (label == one)) for one in label[chosen].unique()]
        rows = [self._stencil_of_one_kind(part, order) for part in parts]
        if len(rows) == 1:
            return rows[0]
        k, width = int(chosen.sum()), max((nodes.shape[1] for nodes, _ in rows), default=1)
        index = torch.zeros(k, width, dtype=torch.long)
        weight = torch.zeros(k, width, dtype=torch.float64)
        for part, (nodes, w) in zip(parts, rows, strict=True):
            index[part[chosen], : nodes.shape[1]] = nodes
            weight[part[chosen], : nodes.shape[1]] = w
        return index, weight

    def _stencil_of_one_kind(
        self, chosen: torch.Tensor, order: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        kind, points, grid = int(self.kind[chosen][0]), self.points[chosen].double(), self.grid
        if kind == POINT:
            return interpolation_stencil(points, grid, order)
        if kind == DISC:
            assert self.radius is not None
            radius = self.radius[chosen].double()
            if order == 0:
                return _merged([disc_cells(points, radius, grid)], grid)
            unit, share = disc_rule(self._largest_phase(chosen))
            steps = radius[:, None, None] * unit
        else:
            assert self.ends is not None
            step = (self.ends[chosen].double() - points)[:, None]
            if kind == LINE and order == 0:
                return _merged([line_cells(points, points + step[:, 0], grid)], grid)
            at, share = (
                (torch.tensor([0.0, 1.0]), torch.tensor([1.0, -1.0]))
                if kind == DIFFERENCE
                else line_rule(self._largest_phase(chosen))
            )
            steps = step * at[:, None]
        return _merged(_nodes_of(points, steps, share, grid, order), grid)

    def _phases(self) -> torch.Tensor:
        """Return half the change of phase of the shortest wave over each footprint, (m,)."""
        hy, hx = self.grid.spacing
        phase = torch.full((len(self),), _LEAST, dtype=torch.float64)
        if self.radius is not None:
            reach = math.pi * math.hypot(1 / hx, 1 / hy) * self.radius.double()
            phase = torch.where(self.kind == DISC, reach, phase)
        if self.ends is not None:
            dx, dy = (self.ends.double() - self.points).abs().T
            phase = torch.where(self.kind == LINE, math.pi / 2 * (dx / hx + dy / hy), phase)
        return phase

    def _largest_phase(self, chosen: torch.Tensor) -> float:
        """Return the largest phase of the sensors, rounded up so that few rules are computed."""
        level = math.ceil(math.log(float(self._phases()[chosen].max()) / _LEAST, _STEP))
        return _LEAST * _STEP ** max(level, 0)


def operator_of(table: pd.DataFrame, grid: Grid, order: int) -> Observation:
    """Return the operator of readings of one field, of which it is the only channel.

    Arguments:
        table: the checked columns x and y, and kind, radius, x2 and y2 where there are such.
        grid: grid of the field.
        order: degree of the interpolation between its nodes.

    Raises:
        InputError: a reading is not in the domain.
    """
    points = torch.as_tensor(table[["x", "y"]].to_numpy(dtype=float, copy=True))
    zeros, channel = torch.zeros(len(points)), torch.zeros(len(points), dtype=torch.long)
    given = (grid, points, channel, zeros, zeros, (order,))
    footprints = Footprints.of_table(table)
    if footprints is None:
        return Observation(*given)
    return FootprintObservation(*given, **footprints._asdict())


def _nodes_of(
    points: torch.Tensor, steps: torch.Tensor, share: torch.Tensor, grid: Grid, order: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield nodes and weights (some rows, w) of sums over points moved by steps (k, q, 2)."""
    size = max(1, _AT_ONCE // (len(share) * (order + 1) ** 2))
    for point, step in zip(points.split(size), steps.split(size), strict=True):
        nodes, weights = interpolation_stencil((point[:, None] + step).flatten(0, 1), grid, order)
        weights = weights.unflatten(0, step.shape[:2]) * share[:, None]
        yield nodes.reshape(len(point), -1), weights.flatten(1)


def _merged(
    parts: Iterator[tuple[torch.Tensor, torch.Tensor]] | list[tuple[torch.Tensor, torch.Tensor]],
    grid: Grid,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of nodes and weights, both (k, w), in which no node repeats."""
    found = []
    for nodes, weights in parts:
        shape = (len(nodes), grid.nodes)
        if nodes.numel() > math.prod(shape):  # adding up is quicker than sorting there
            place = nodes + torch.arange(len(nodes))[:, None] * grid.nodes
            total = torch.bincount(place.flatten(), weights.flatten(), minlength=math.prod(shape))
            found.append(scipy.sparse.csr_matrix(total.reshape(shape).numpy()))
            continue
        starts = np.arange(len(nodes) + 1) * nodes.shape[1]
        content = (weights.numpy().ravel(), nodes.numpy().ravel(), starts)
        found.append(scipy.sparse.csr_matrix(content, shape=shape))
        found[-1].sum_duplicates()
    rows = scipy.sparse.vstack(found, format="csr")
    length = torch.as_tensor(np.diff(rows.indptr))
    filled = torch.arange(int(length.max())) < length[:, None]
    index = torch.zeros(filled.shape, dtype=torch.long)
    weight = torch.zeros(filled.shape, dtype=torch.float64)
    index[filled] = torch.as_tensor(rows.indices.astype(np.int64))
    weight[filled] = torch.as_tensor(rows.data)
    return index, weight
