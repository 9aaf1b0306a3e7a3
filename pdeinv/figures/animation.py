"""A field that moves: over its times, or over its samples."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.animation import FuncAnimation
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pdeinv.coordinates import grid_from
from pdeinv.field_style import field_style, format_bar
from pdeinv.figures.layout import Panel, extent_of
from pdeinv.figures.times import short_coordinate
from pdeinv.units import in_figures

__all__ = ["animate_field"]


def animate_field(frames: xr.DataArray, mean: np.ndarray, pause: int) -> FuncAnimation:
    """Return an animation of a field over its times or its samples.

    Arguments:
        frames: (time or sample, y, x), with the coordinates of a result.
        mean: values that belong to the scale of the colours, too.
        pause: milliseconds between two frames.
    """
    along = next(str(dim) for dim in frames.dims if dim not in ("y", "x"))
    values = frames.transpose(along, "y", "x").values
    grid = grid_from(frames.to_dataset(name="field"), "the result")
    panel = Panel.of(grid, 1)
    figure = Figure(figsize=panel.figure_size(1, 1), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    image = axis.imshow(
        values[0],
        origin="lower",
        extent=extent_of(grid),
        interpolation="nearest",
        **field_style(values, mean),
    )
    bar = figure.colorbar(image, ax=axis, **panel.bar)
    format_bar(bar)
    bar.set_label(in_figures(str(frames.attrs.get("units", "1"))) or "dimensionless", fontsize=8)
    label = str(frames.attrs.get("long_name", frames.name))
    title = axis.set_title("", fontsize=10)

    def show(i: int) -> list:
        image.set_data(values[i])
        title.set_text(f"{label}\n{along} {short_coordinate(frames[along].values[i])}")
        return [image, title]

    show(0)
    return FuncAnimation(figure, show, frames=len(values), interval=pause, blit=False)
