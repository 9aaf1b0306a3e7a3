"""Uniform grids on the unit square, and the physical fields that live on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from pdeinv.errors import InputError

__all__ = ["Field", "Grid"]


@dataclass(frozen=True)
class Field:
    """What a scalar field is called and how it behaves; the PDEs of this package are
    non-dimensional.

    Arguments:
        name: physical name, also the variable name in every file (`potential`, `permeability`,
            ...).
        long_name: a phrase for axes and NetCDF attributes.
        units: units string in the CF convention; `"1"` for a non-dimensional quantity.
        boundary_value: the value that the field is held to on the boundary, `None` where it is
            free.
        interpolation_order: degree of the polynomial that carries the field from the nodes to an
            off-grid sensor: 3 for a smooth field, 0 (the nearest node) for a piecewise constant
            one.
    """

    name: str
    long_name: str
    units: str = "1"
    boundary_value: float | None = None
    interpolation_order: int = 3

    @property
    def attributes(self) -> dict[str, str | int]:
        """What a file says of a variable that holds this field."""
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
    kind: Literal["vertex", "periodic"] = "vertex"

    def __post_init__(self):
        if self.kind not in ("vertex", "periodic"):
            raise InputError(f"grid kind {self.kind!r} is unknown; use 'vertex' or 'periodic'")
        if not isinstance(self.n, int) or self.n < 4:
            raise InputError(
                f"a grid of {self.n} nodes per side is too coarse; use an integer of at least 4"
            )

    @property
    def periodic(self) -> bool:
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
        return (self.n, self.n)

    def coordinates(self, *, dtype=torch.float64, device=None) -> torch.Tensor:
        """Node positions along one side, shape (n,)."""
        return torch.arange(self.n, dtype=dtype, device=device) / self.cells

    def points(self, *, dtype=torch.float64, device=None) -> torch.Tensor:
        """All nodes as (x, y) pairs, shape (n * n, 2), in the order of a flattened [y, x] array."""
        s = self.coordinates(dtype=dtype, device=device)
        y, x = torch.meshgrid(s, s, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()], dim=1)
