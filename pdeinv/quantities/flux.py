"""The total flux through a side of the domain or a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.checks import Bounds, choice, described, number
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.quantities.base import Quantity
from pdeinv.quantities.draws import grid_of, stated
from pdeinv.quantities.nodes import along_line
from pdeinv.units import product

__all__ = ["SIDES", "Flux", "Line", "Point", "flux_through", "point_of"]

SIDES = ("left", "right", "bottom", "top")
Point = tuple[float, float]
Line = tuple[Point, Point]


@dataclass(frozen=True)
class Flux(Quantity):
    """The total flux through a side, out of the domain, or through a line, from its left to its
    right as seen from its first end.

    The flux is linear between the nodes. It is of second order in the distance of the nodes. What
    flows through all sides of a vertex grid equals sources and wells to the accuracy of the solver
    where the sides next to one of values have no flux, and the source is constant near it; where
    sides of values meet, to nearly second order.

    Parts outside of the active domain have no flux.

    Arguments:
        side: "left", "right", "bottom" or "top".
        line: ((x1, y1), (x2, y2)) in the domain, in place of a side.
        thickness: of the medium, by which the flux is multiplied; that of the physics, or 1, if
            None.
        fields: the components of the flux.

    Raises:
        InputError: neither or both are given, or a name or a number is wrong.

    Example:
        >>> Flux(side="left").fields
        ('flux_x', 'flux_y')
    """

    side: str | None = None
    line: Line | None = None
    thickness: float | None = None
    fields: tuple[str, str] = ("flux_x", "flux_y")

    def __post_init__(self) -> None:
        if (self.side is None) == (self.line is None):
            both = "neither" if self.side is None else "both"
            raise InputError(f"side or line of a flux must be given, got {both}; give one of them")
        if self.side is not None:
            choice("side of a flux", self.side, SIDES)
        if self.line is not None:
            object.__setattr__(self, "line", _line_of(self.line))
        if self.thickness is not None:
            number("thickness of a flux", self.thickness, Bounds(above=0))

    def __call__(self, draws: xr.Dataset) -> xr.DataArray:
        grid = grid_of(draws)
        line = self.line or _side(grid, str(self.side))
        thickness = _thickness(draws) if self.thickness is None else self.thickness
        given = draws[self.fields[0]].attrs.get("units", "1")
        units = product(given, grid.unit, grid.unit if thickness != 1 else "1")
        where = f"the {self.side} side" if self.side else f"the line {_shown(line)}"
        values = thickness * flux_through(draws, self.fields, grid, line)
        return values.assign_attrs(long_name=f"flux through {where}", units=units)


def flux_through(
    draws: xr.Dataset, fields: tuple[str, str], grid: Grid, line: Line
) -> xr.DataArray:
    """Return the integral of the flux across a line, of the dimensions other than y and x.

    Raises:
        InputError: an end is outside of the domain.
    """
    import torch

    for end in line:
        if not bool(grid.domain.covers(torch.tensor(end, dtype=torch.float64))):
            raise InputError(
                f"the line of a flux must be in the domain {grid.domain}, got the end ({end[0]:g}, "
                f"{end[1]:g}); use its coordinates"
            )
    weights = xr.DataArray(along_line(grid, *line), dims=("y", "x"))
    tangent = np.subtract(line[1], line[0])
    normal = np.array([tangent[1], -tangent[0]]) / np.hypot(*tangent)
    total = xr.zeros_like(draws[fields[0]].isel(y=0, x=0, drop=True))
    for field, part in zip(fields, normal, strict=True):
        if part:
            used = draws[field].where(weights != 0, 0.0)
            total = total + part * (used * weights).sum(("y", "x"), skipna=False)
    return total


def _side(grid: Grid, side: str) -> Line:
    """Return a side as a line whose right is outside."""
    x0, x1, y0, y1 = grid.extent
    return {
        "left": ((x0, y1), (x0, y0)),
        "right": ((x1, y0), (x1, y1)),
        "bottom": ((x0, y0), (x1, y0)),
        "top": ((x1, y1), (x0, y1)),
    }[side]


def _thickness(draws: xr.Dataset) -> float:
    """Return the thickness that the physics of draws states, else 1."""
    found = stated(draws, "thickness") or [1.0]
    if len(found) > 1 or isinstance(found[0], bool) or not isinstance(found[0], int | float):
        raise InputError(
            f"thickness of a flux must be given where the physics states no single number, got "
            f"{described(found)}; give thickness="
        )
    return float(found[0])


def point_of(what: str, given: Any) -> Point:
    """Return a point as two floats.

    Raises:
        InputError: it is no pair of finite numbers.
    """
    try:
        x, y = given
    except (TypeError, ValueError):
        raise InputError(f"{what} must be (x, y), got {described(given)}; give both") from None
    return number(f"x of {what}", x), number(f"y of {what}", y)


def _line_of(given: Any) -> Line:
    try:
        start, end = given
    except (TypeError, ValueError):
        raise InputError(
            f"line of a flux must be ((x1, y1), (x2, y2)), got {described(given)}; give both ends"
        ) from None
    line = point_of("an end of the line", start), point_of("an end of the line", end)
    if line[0] == line[1]:
        raise InputError(f"line of a flux must have a length, got {described(given)}; move an end")
    return line


def _shown(line: Line) -> str:
    (x1, y1), (x2, y2) = line
    return f"from ({x1:g}, {y1:g}) to ({x2:g}, {y2:g})"
