"""The panel of residuals: where readings and posterior disagree."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from pdeinv.figure_layout import extent_of
from pdeinv.figure_sensors import Shapes, draw_coloured
from pdeinv.grid import Grid

__all__ = ["plot_residuals"]

_ENDS = 3.0  # standard deviations at the ends of the scale
_FLOOR = 1e-3  # least standard deviation of a reading, relative to the readings' spread


def plot_residuals(axis: Axes, name: str, result: xr.Dataset, grid: Grid) -> ScalarMappable:
    """Draw the standardised residuals of the readings of one field, in the shapes of what they
    read.

    Arguments:
        axis: the panel.
        name: of the field.
        result: with the sensors of the panel alone.
        grid: of the fields.
    """
    shapes = Shapes.of_result(result, name)
    axis.set_facecolor("0.92")
    residuals = _residuals(result, name, shapes, grid)
    marks = draw_coloured(axis, shapes, grid, residuals, cmap="RdBu_r", vmin=-_ENDS, vmax=_ENDS)
    if not len(shapes):
        axis.text(
            0.5, 0.5, "no sensors", ha="center", va="center", fontsize=9, transform=axis.transAxes
        )
    left, right, bottom, top = extent_of(grid)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    return marks


def _residuals(result: xr.Dataset, name: str, shapes: Shapes, grid: Grid) -> np.ndarray:
    """Return the residuals (m,) of the readings of one field, over the standard deviation of noise
    and posterior together.

    That is at least a share of the readings' spread: exact readings are met to rounding. A reading
    beyond a limit of detection has the residual of the limit, or 0 where the mean is beyond it too.
    """
    mine = np.asarray(result["sensor_field"] == name)
    mean = result[f"{name}_mean"].values
    order = json.loads(result.attrs.get("interpolation_order", "{}")).get(name, 1)
    values = result["sensor_value"].values[mine]
    noise = result["sensor_noise_std"].values[mine] if "sensor_noise_std" in result else 0.0
    there = _spread(result, name, shapes, grid, order)
    spread = float(np.std(values)) if len(values) > 1 else 0.0
    floor = _FLOOR * (spread or float(np.abs(mean).max()) or 1.0)
    excess = values - shapes.read(grid, order)(mean)
    excess[shapes.censored == "left"] = excess[shapes.censored == "left"].clip(max=0)
    excess[shapes.censored == "right"] = excess[shapes.censored == "right"].clip(min=0)
    return excess / np.sqrt(noise**2 + there**2 + floor**2)


def _spread(result: xr.Dataset, name: str, shapes: Shapes, grid: Grid, order: int) -> np.ndarray:
    """Return the posterior standard deviation (m,) of what is read: interpolated for points, that
    of the samples for others, whose values are correlated."""
    # Cubic weights of a standard deviation could add up to a negative one
    std = np.abs(shapes.read(grid, min(order, 1))(result[f"{name}_std"].values))
    samples = result.get(f"{name}_samples")
    others = shapes.kind != "point"
    if others.any() and samples is not None and samples.sizes["sample"] > 1:
        read = shapes.read(grid, order)
        drawn = [read(one) for one in samples.transpose("sample", "y", "x").values]
        std[others] = np.std(drawn, axis=0, ddof=1)[others]
    return std
