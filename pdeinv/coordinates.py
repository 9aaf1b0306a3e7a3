"""The x and y coordinates of files and results: written of a grid, and a grid read from them."""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
import xarray as xr

from pdeinv.errors import InputError
from pdeinv.grid import Grid, GridKind

__all__ = ["Axis", "axes_of", "coordinates_of", "grid_from"]

_ROUNDING = 1e-6  # of coordinates, relative to the length of the side
_CENTRES = "centres of cells"  # what the nodes of a cell grid are


class Axis(NamedTuple):
    """The positions of nodes along one direction, and the attributes of their variable."""

    values: np.ndarray
    attributes: dict[str, str | float]


def axes_of(grid: Grid) -> dict[str, Axis]:
    """Return the axes `y` and `x` of a grid; those of a periodic one state their `period`,
    those of a cell grid that their `nodes` are centres."""
    width, height = grid.domain.lengths
    lengths = {"y": height, "x": width}
    axes = {}
    for name, values in zip(("y", "x"), grid.coordinates(), strict=True):
        attributes: dict[str, str | float] = {
            "long_name": f"{name} coordinate",
            "units": grid.unit,
        }
        if grid.periodic:
            attributes["period"] = lengths[name]
        if grid.kind == "cell":
            attributes["nodes"] = _CENTRES
        axes[name] = Axis(values.numpy(), attributes)
    return axes


def coordinates_of(grid: Grid) -> dict[Hashable, tuple[str, np.ndarray, dict[str, str | float]]]:
    """Return the axes of a grid as the coordinates of an xarray object."""
    return {name: (name, *axis) for name, axis in axes_of(grid).items()}


def grid_from(field: xr.DataArray | xr.Dataset, what: str = "the field") -> Grid:
    """Return the grid whose nodes the coordinates `y` and `x` are.

    It is periodic where they state a `period`, or, without a unit and of no stated kind, go from 0
    to one spacing short of 1. It is a cell grid where they state that their `nodes` are centres.

    Arguments:
        field: with the coordinates.
        what: name for messages.

    Raises:
        InputError: the coordinates are not those of a whole uniform grid.
    """
    y, x = (_axis(field, name, what) for name in ("y", "x"))
    if x.kind != y.kind:
        raise InputError(
            f"the coordinates of {what} must be of one kind of grid, got a {x.kind} one along x "
            f"and a {y.kind} one along y; mend the attributes 'period' and 'nodes'"
        )
    unit = str(field["x"].attrs.get("units", "1"))
    extent = (x.first, x.last, y.first, y.last)
    return Grid(y.nodes, x.nodes, extent, unit, x.kind)


class _Line(NamedTuple):
    nodes: int
    first: float
    last: float
    kind: GridKind


def _axis(field: xr.DataArray | xr.Dataset, name: str, what: str) -> _Line:
    values = np.asarray(field[name].values if name in field.coords else [], dtype=float)
    n = len(values)
    wrong = n < 2 or not np.isfinite(values).all() or values[-1] <= values[0]
    if not wrong:
        even = np.linspace(values[0], values[-1], n)
        wrong = bool(np.abs(values - even).max() > _ROUNDING * (values[-1] - values[0]))
    if wrong:
        raise InputError(
            f"the coordinate {name} of {what} must rise in equal steps, as on a whole grid, got "
            f"{'none' if not n else f'{n} values that do not'}; use the field on the grid that it "
            f"was made on, with its x and y"
        )
    length = float(values[-1] - values[0])
    if field[name].attrs.get("nodes") == _CENTRES:
        half = length / (n - 1) / 2
        low, high = (_snapped(float(v), length) for v in (values[0] - half, values[-1] + half))
        return _Line(n, low, high, "cell")
    first, last = (_snapped(float(value), length) for value in values[[0, -1]])
    period, unit = field[name].attrs.get("period"), field[name].attrs.get("units", "1")
    guessed = unit == "1" and field.attrs.get("grid_kind", "periodic") == "periodic"
    if period is None and guessed and first == 0 and abs(last - (1 - 1 / n)) < _ROUNDING:
        period = 1.0
    if period is None:
        return _Line(n, first, last, "vertex")
    return _Line(n, first, first + float(period), "periodic")


def _snapped(value: float, length: float) -> float:
    """Return a coordinate of single precision as the round number that it was made of.

    Arguments:
        value: the coordinate.
        length: of the side.
    """
    nearest = round(value, 6)
    return nearest if abs(nearest - value) < 1e-7 * length else value
