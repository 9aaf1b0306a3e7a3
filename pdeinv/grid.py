"""Uniform grids on the unit square, and the physical fields that live on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import Bounds
from pdeinv.errors import InputError

__all__ = ["LARGEST", "Field", "Grid", "GridKind"]

GridKind = Literal["vertex", "periodic"]
LARGEST = 4096
"""Nodes per side, at most."""


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
    interpolation_order: Annotated[int, Bounds(least=0)] = 3

    def __post_init__(self) -> None:
        check_fields(self, "{} of a field")
        if not self.name:
            raise InputError("name of a field must not be empty, got ''; name the field")

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
        n: nodes per side, from 4 to 4096.
        kind: `"vertex"` (nodes include the boundary, h = 1/(n-1)) or `"periodic"` (x = 1 is x = 0,
            h = 1/n).
    """

    n: Annotated[int, Bounds(least=4, most=LARGEST)]
    kind: GridKind = "vertex"

    def __post_init__(self) -> None:
        check_fields(self, "{} of a grid")

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

    def check_shape(self, field: torch.Tensor, what: str = "a field") -> None:
        """Refuse a field whose last two dimensions are not the grid's, which it would not fit.

        Raises:
            InputError: the shape is another one, such as that of a rectangle.
        """
        if tuple(field.shape[-2:]) != self.shape:
            raise InputError(
                f"{what} on a grid of {self.n} x {self.n} nodes must have the shape (..., {self.n},"
                f" {self.n}), got {tuple(field.shape)}; give its own grid, or resample it: "
                f"rectangles are not supported"
            )

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
