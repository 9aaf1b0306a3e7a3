"""Figures of a layout of sensors."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pdeinv.checks import described
from pdeinv.coordinates import grid_from
from pdeinv.errors import InputError
from pdeinv.field_style import field_style, format_bar, spans_decades
from pdeinv.figures.layout import Panel, extent_of
from pdeinv.figures.sensors import Shapes, draw_sensors, sensor_handles
from pdeinv.figures.sides import join_sides
from pdeinv.figures.symbols import add_legend
from pdeinv.grid import Domain, Grid
from pdeinv.sensors import Sensors
from pdeinv.units import in_figures

if TYPE_CHECKING:
    from pdeinv.datasets import PDE, Problem
    from pdeinv.sensors.sources import SensorTable

__all__ = ["plot_sensors"]

_NODES = 256  # of the shorter side of an empty panel, whose frame is half a cell outside


def plot_sensors(
    sensors: Sensors | str | os.PathLike | IO | SensorTable,
    place: Domain | Grid | PDE | Problem | xr.DataArray | xr.Dataset,
) -> Figure:
    """Return a figure of a layout, with one panel for each field that is read.

    A point is a circle of a fixed size, a disc its circle in the domain, a line its segment, a
    difference two joined points, the subtracted one in black. A reading beyond a limit of detection
    has a triangle that points down (below it) or up.

    Arguments:
        sensors: a table, as `pdeinv.reconstruct` takes it; values are not used.
        place: the domain, or what has one: a grid, a PDE, a problem. Or fields with the coordinates
            x and y, such as a truth: those with the names of the table are shown under the sensors.

    Raises:
        InputError: the table cannot be used, a sensor is outside of the domain, or the place has
            none.

    Example:
        >>> from pdeinv import layouts, plot_sensors
        >>> from pdeinv.datasets import Darcy
        >>> x, y = layouts.random(20, 0, layouts.inner(Darcy().domain, radius=0.02)).T
        >>> table = {"field": "permeability", "x": x, "y": y, "value": 0.0, "radius": 0.02}
        >>> figure = plot_sensors(table, Darcy())
    """
    table = Sensors.read(sensors)
    grid = _grid_of(place)
    names = list(dict.fromkeys(table.table.field))
    rows = [table.table[table.table.field == name] for name in names]
    table.places(grid)
    panel = Panel.of(grid, len(names))
    figure = Figure(figsize=panel.figure_size(1, len(names)), layout="constrained")
    axes = figure.subplots(1, len(names), sharex=True, sharey=True, squeeze=False)
    panel.label_axes(axes, grid.unit)
    shapes = [Shapes.of(row) for row in rows]
    for axis, name, one in zip(axes[0], names, shapes, strict=True):
        axis.set_title(f"{name.replace('_', ' ')}\n{_counted(len(one))}", fontsize=10)
        _plot_field(axis, _shown(place, name), grid, panel)
        draw_sensors(axis, one, grid)
        if grid.periodic:
            join_sides(axis)
    add_legend(figure, sensor_handles(shapes))
    panel.fit(figure, axes)
    return figure


def _counted(count: int) -> str:
    return "1 reading" if count == 1 else f"{count} readings"


def _grid_of(place: object) -> Grid:
    if isinstance(place, xr.DataArray | xr.Dataset):
        return grid_from(place, "the truth")
    if isinstance(place, Grid):
        return place
    place = getattr(place, "physics", place)  # of a problem
    domain = getattr(place, "domain", place)
    if not isinstance(domain, Domain):
        raise InputError(
            f"the place of sensors must be a domain or have one, got {described(place)}; give a "
            f"Domain, a PDE, a Problem, or fields with the coordinates x and y"
        )
    ny, nx = (round(_NODES * length) for length in domain.aspect[::-1])
    return Grid(ny, nx, domain.extent, domain.unit, getattr(place, "grid_kind", "vertex"))


def _shown(place: object, name: str) -> xr.DataArray | None:
    """Return the field that is shown under the sensors, if there is one."""
    if isinstance(place, xr.Dataset):
        place = place.get(name)
    if isinstance(place, xr.DataArray) and place.name == name and {*place.dims} == {"y", "x"}:
        return place.transpose("y", "x")
    return None


def _plot_field(axis: Axes, field: xr.DataArray | None, grid: Grid, panel: Panel) -> None:
    left, right, bottom, top = extent_of(grid)
    if field is None:
        axis.set_facecolor("0.92")
        axis.set(xlim=(left, right), ylim=(bottom, top))
        return
    values = np.asarray(field.values, dtype=float)
    image = axis.imshow(
        values,
        origin="lower",
        extent=(left, right, bottom, top),
        aspect="auto",
        interpolation="nearest",
        **field_style(values, logarithmic=spans_decades(values)),
    )
    bar = axis.figure.colorbar(image, ax=axis, **panel.bar)
    format_bar(bar)
    units = in_figures(str(field.attrs.get("units", "1"))) or "dimensionless"
    bar.set_label(units, fontsize=8)
