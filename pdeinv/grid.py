"""Rectangular domains and uniform grids on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Literal

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import EXTREME, Bounds, described
from pdeinv.errors import InputError
from pdeinv.region import Region

__all__ = [
    "LARGEST",
    "Domain",
    "Extent",
    "Grid",
    "GridKind",
]

GridKind = Literal["vertex", "periodic"]
Extent = tuple[float, float, float, float]
LARGEST = 4096
"""Nodes per side, at most."""

_Nodes = Annotated[int, Bounds(least=4, most=LARGEST)]
_SAME = 1e-9  # relative difference of lengths that are equal
_SLENDER = 50.0  # ratio of the sides, at most: fields have as many modes along either


@dataclass(frozen=True)
class Domain:
    """A rectangle in a length unit.

    Arguments:
        extent: (x0, x1, y0, y1), with x0 < x1 and y0 < y1.
        unit: unit of the lengths in the CF convention; `"1"` for dimensionless ones.
        active: the part in which the equation holds, as `Region` has it; the whole if None.
    """

    extent: Extent = (0.0, 1.0, 0.0, 1.0)
    unit: str = "1"
    active: Region | None = None

    def __post_init__(self) -> None:
        check_fields(self, "{} of a domain")
        x0, x1, y0, y1 = self.extent
        usable = all(abs(v) < EXTREME for v in self.extent) and x0 < x1 and y0 < y1
        if not usable or not 1 / _SLENDER <= (x1 - x0) / (y1 - y0) <= _SLENDER:
            raise InputError(
                f"extent of a domain must be (x0, x1, y0, y1) with x0 < x1 and y0 < y1, and sides "
                f"whose ratio is at most {_SLENDER:g}, got {described(self.extent)}; change it"
            )
        size = max(abs(v) for v in self.extent)
        if min(x1 - x0, y1 - y0) < 1e-6 * size:
            raise InputError(
                f"extent of a domain must not be tiny compared with its coordinates, got "
                f"{described(self.extent)}; subtract an origin"
            )
        if self.active is not None:
            object.__setattr__(self, "active", self.active.within(self.extent))

    @property
    def lengths(self) -> tuple[float, float]:
        """Width and height."""
        x0, x1, y0, y1 = self.extent
        return (x1 - x0, y1 - y0)

    @property
    def shorter(self) -> float:
        """Length of the shorter side."""
        return min(self.lengths)

    @property
    def aspect(self) -> tuple[float, float]:
        """Width and height in units of the shorter side; exactly 1 for equal lengths."""
        ax, ay = (length / self.shorter for length in self.lengths)
        return (1.0 if abs(ax - 1) < _SAME else ax, 1.0 if abs(ay - 1) < _SAME else ay)

    @property
    def square(self) -> bool:
        """Whether both sides have the same length."""
        return self.aspect == (1.0, 1.0)

    @property
    def unit_square(self) -> bool:
        """Whether the domain is [0, 1]² without a unit."""
        return self == Domain()

    def relative(self, points: torch.Tensor) -> torch.Tensor:
        """Return points (..., 2) in shares of the sides, 0 to 1 within the domain."""
        if self.extent == (0.0, 1.0, 0.0, 1.0):
            return points
        (x0, _, y0, _), lengths = self.extent, points.new_tensor(self.lengths)
        return (points - points.new_tensor([x0, y0])) / lengths

    def absolute(self, shares: torch.Tensor) -> torch.Tensor:
        """Return the points (..., 2) of shares of the sides; inverts `relative`."""
        if self.extent == (0.0, 1.0, 0.0, 1.0):
            return shares
        (x0, _, y0, _), lengths = self.extent, shares.new_tensor(self.lengths)
        return shares.new_tensor([x0, y0]) + shares * lengths

    def contains(self, points: torch.Tensor) -> torch.Tensor:
        """Return which points (..., 2) are in the active part of the domain, its sides included;
        nan is not."""
        inside = self.covers(points)
        if self.active is None:
            return inside
        active = self.active.contains(points.reshape(-1, 2).double().numpy(force=True))
        return inside & torch.from_numpy(active).reshape(inside.shape).to(inside.device)

    def covers(self, points: torch.Tensor) -> torch.Tensor:
        """Return which points (..., 2) are in the rectangle, its sides included; nan is not."""
        (x0, x1, y0, y1), (x, y) = self.extent, points.unbind(dim=-1)
        sx, sy = (_SAME * length for length in self.lengths) if self != Domain() else (0.0, 0.0)
        return (x >= x0 - sx) & (x <= x1 + sx) & (y >= y0 - sy) & (y <= y1 + sy)

    def __str__(self) -> str:
        x0, x1, y0, y1 = self.extent
        unit = "" if self.unit == "1" else f" {self.unit}"
        part = "" if self.active is None else f", of which {self.active!r} is active"
        return f"[{x0:.10g}, {x1:.10g}] x [{y0:.10g}, {y1:.10g}]{unit}{part}"


@dataclass(frozen=True)
class Grid:
    """A uniform grid of ny x nx nodes on a rectangle; arrays are indexed [y, x].

    `Grid(64)` has 64 x 64 nodes on the unit square.

    Arguments:
        ny, nx: nodes from bottom to top and from left to right, from 4 to 4096; as many in x as in
            y if nx is not given.
        extent: (x0, x1, y0, y1) of the domain.
        unit: unit of the extent; `"1"` for a dimensionless one.
        kind: `"vertex"` (nodes include the sides, hx = width / (nx-1)) or `"periodic"` (x1 is x0
            and y1 is y0, hx = width / nx).
        active: the part of the domain in which the equation holds; the whole if None.
    """

    ny: _Nodes
    nx: _Nodes = 0  # replaced by ny
    extent: Extent = (0.0, 1.0, 0.0, 1.0)
    unit: str = "1"
    kind: GridKind = "vertex"
    active: Region | None = None

    def __post_init__(self) -> None:
        if isinstance(self.nx, int) and self.nx == 0:
            object.__setattr__(self, "nx", self.ny)
        check_fields(self, "{} of a grid")
        object.__setattr__(self, "active", self.domain.active)  # validates the extent too
        if self.active is not None and self.periodic:
            raise InputError(
                "active of a grid must be None where it is periodic, got a region; use sides"
            )

    @cached_property
    def domain(self) -> Domain:
        """The rectangle and its active part."""
        return Domain(self.extent, self.unit, self.active)

    @cached_property
    def active_cells(self) -> torch.Tensor | None:
        """Which cells between four nodes are active, (ny-1, nx-1): those whose corners are; None
        where all are."""
        if self.active is None:
            return None
        inside = torch.from_numpy(self.active.contains(self.points().numpy())).reshape(self.shape)
        cells = inside[1:, 1:] & inside[1:, :-1] & inside[:-1, 1:] & inside[:-1, :-1]
        if not bool(cells.any()):
            raise InputError(
                f"active of a grid must hold a cell between four nodes, got {self.active!r} on "
                f"{self} nodes; use a finer grid"
            )
        return cells

    @cached_property
    def active_nodes(self) -> torch.Tensor | None:
        """Which nodes are active, (ny, nx): the corners of active cells; None where all are."""
        if self.active_cells is None:
            return None
        cells = torch.nn.functional.pad(self.active_cells, (1, 1, 1, 1))
        return cells[1:, 1:] | cells[1:, :-1] | cells[:-1, 1:] | cells[:-1, :-1]

    @property
    def periodic(self) -> bool:
        """Whether x1 is x0, and y1 is y0."""
        return self.kind == "periodic"

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a field on the grid, (ny, nx)."""
        return (self.ny, self.nx)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.ny * self.nx

    @property
    def cells(self) -> tuple[int, int]:
        """Number of cells along y and along x."""
        return self.shape if self.periodic else (self.ny - 1, self.nx - 1)

    @cached_property
    def spacing(self) -> tuple[float, float]:
        """Distances (hy, hx) of neighbouring nodes."""
        width, height = self.domain.lengths
        return (height / self.cells[0], width / self.cells[1])

    @property
    def relative_area(self) -> float:
        """Area of a cell, in units of the square of the shorter side."""
        hy, hx = self.spacing
        return (hy / self.domain.shorter) * (hx / self.domain.shorter)

    @property
    def hx(self) -> float:
        """Distance of neighbouring nodes along x."""
        return self.spacing[1]

    @property
    def hy(self) -> float:
        """Distance of neighbouring nodes along y."""
        return self.spacing[0]

    @property
    def square(self) -> bool:
        """Whether a quarter turn maps the nodes onto themselves."""
        return self.ny == self.nx and self.domain.square

    def __str__(self) -> str:
        return f"{self.ny} x {self.nx}"

    def resized(self, ny: int, nx: int) -> Grid:
        """Return the grid of ny x nx nodes on the same domain."""
        return replace(self, ny=ny, nx=nx)

    def at_most(self, nodes: int) -> Grid:
        """Return the grid, coarsened to at most so many nodes on the shorter of its sides."""
        fewest = min(self.shape)
        if fewest <= nodes:
            return self
        ny, nx = (max(4, round(n * nodes / fewest)) for n in self.shape)
        return self.resized(ny, nx)

    def check_shape(self, field: torch.Tensor, what: str = "a field") -> None:
        """Refuse a field whose last two dimensions are not the grid's.

        Raises:
            InputError: the shape is another one.
        """
        if tuple(field.shape[-2:]) != self.shape:
            raise InputError(
                f"{what} on a grid of {self} nodes must have the shape (..., {self.ny}, {self.nx}),"
                f" got {tuple(field.shape)}; give its own grid, or resample it"
            )

    def coordinates(
        self, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the positions of the rows and of the columns of nodes, y (ny,) and x (nx,)."""
        x0, _, y0, _ = self.extent
        width, height = self.domain.lengths
        y, x = self.shares(dtype=dtype, device=device)
        return (y0 + height * y, x0 + width * x)

    def shares(
        self, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return `coordinates` in shares of the sides, from 0."""
        y, x = (
            torch.arange(n, dtype=dtype, device=device) / cells
            for n, cells in zip(self.shape, self.cells, strict=True)
        )
        return (y, x)

    def points(
        self, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return all nodes as (x, y), (ny * nx, 2), in the order of a flattened [y, x] array."""
        y, x = torch.meshgrid(*self.coordinates(dtype=dtype, device=device), indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=1)
