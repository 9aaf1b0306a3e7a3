"""Uniform grids on the unit square, and the physical fields that live on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from pdeinv.errors import InputError

__all__ = ["Field", "Grid", "GridKind"]

GridKind = Literal["vertex", "periodic"]


@dataclass(frozen=True)
class Field:
    """Name, units and behaviour of a scalar field.

    Arguments:
        name: physical name, and variable name in every file, such as `potential`.
        long_name: a phrase for axes and NetCDF attributes.
        units: units in the CF convention; `"1"` for a dimensionless quantity.
        boundary_value: value on the boundary; None where it is free.
        interpolation_order: degree of the polynomial between the nodes: 3 for a smooth field, 0
            (the nearest node) for a piecewise constant one.
    """

    name: str
    long_name: str
    units: str = "1"
    boundary_value: float | None = None
    interpolation_order: int = 3

    @property
    def attributes(self) -> dict[str, str | int]:
        """Attributes of a file's variable that holds this field."""
        return {
            "units": self.units,
            "long_name": self.long_name,
            "interpolation_order": self.interpolation_order,
        }


@dataclass(frozen=True)
class Grid:
    """An n x n uniform grid on [0, 1]²; arrays are indexed [y, x].

    Arguments:
        n: nodes per side, at least 4.
        kind: `"vertex"` (nodes include the boundary, h = 1/(n-1)) or `"periodic"` (x = 1 is x = 0,
            h = 1/n).
    """

    n: int
    kind: GridKind = "vertex"

    def __post_init__(self) -> None:
        if self.kind not in get_args(GridKind):
            raise InputError(
                f"the kind of a grid must be 'vertex' or 'periodic', got {self.kind!r}; use one of "
                f"them"
            )
        if not isinstance(self.n, int) or self.n < 4:
            raise InputError(
                f"the nodes per side of a grid must be an integer of at least 4, got {self.n}; use "
                f"more"
            )

    @property
    def periodic(self) -> bool:
        """Whether x = 1 is x = 0, and y = 1 is y = 0."""
        return self.kind == "periodic"

    @property
    def cells(self) -> int:
        """Number of cells per side, 1/h."""
        return self.n if self.periodic else self.n - 1

    @property
    def h(self) -> float:
        """Distance between neighbouring nodes."""
        return 1.0 / self.cells

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a field on the grid, (n, n)."""
        return (self.n, self.n)

    def coordinates(
        self, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return the node positions along one side, (n,)."""
        return torch.arange(self.n, dtype=dtype, device=device) / self.cells

    def points(
        self, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> torch.Tensor:
        """Return all nodes as (x, y), (n * n, 2), in the order of a flattened [y, x] array."""
        s = self.coordinates(dtype=dtype, device=device)
        y, x = torch.meshgrid(s, s, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=1)
