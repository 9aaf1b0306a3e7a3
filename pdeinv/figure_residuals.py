"""The panel of residuals: where readings and posterior disagree."""

from __future__ import annotations

import json

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from pdeinv.figure_layout import extent_of, shown_at
from pdeinv.grid import Grid
from pdeinv.interpolation import interpolation_stencil

__all__ = ["plot_residuals"]

_ENDS = 3.0  # standard deviations at the ends of the scale
_FLOOR = 1e-3  # least standard deviation of a reading, relative to the readings' spread


def plot_residuals(axis: Axes, name: str, result: xr.Dataset, grid: Grid) -> ScalarMappable:
    """Draw the standardised residuals of the readings of one field at their sensors.

    Arguments:
        axis: the panel.
        name: of the field.
        result: with the sensors of the panel alone.
        grid: of the fields.
    """
    mine = np.asarray(result["sensor_field"] == name)
    points = np.stack([result["sensor_x"].values[mine], result["sensor_y"].values[mine]], axis=1)
    shown = shown_at(points, grid)
    axis.set_facecolor("0.92")
    marks = axis.scatter(
        shown[:, 0],
        shown[:, 1],
        c=_residuals(result, name, mine, points, grid),
        s=22,
        cmap="RdBu_r",
        vmin=-_ENDS,
        vmax=_ENDS,
        edgecolors="0.3",
        linewidths=0.5,
        clip_on=False,
    )
    if not mine.any():
        axis.text(
            0.5, 0.5, "no sensors", ha="center", va="center", fontsize=9, transform=axis.transAxes
        )
    left, right, bottom, top = extent_of(grid)
    axis.set(xlim=(left, right), ylim=(bottom, top))
    return marks


def _residuals(
    result: xr.Dataset, name: str, mine: np.ndarray, points: np.ndarray, grid: Grid
) -> np.ndarray:
    """Return the residuals (m,) of the readings of one field, over the standard deviation of noise
    and posterior together.

    That is at least a share of the readings' spread: exact readings are met to rounding.
    """
    mean, std = (result[f"{name}_{what}"].values for what in ("mean", "std"))
    order = json.loads(result.attrs.get("interpolation_order", "{}")).get(name, 1)
    values = result["sensor_value"].values[mine]
    noise = result["sensor_noise_std"].values[mine] if "sensor_noise_std" in result else 0.0
    # Cubic weights of a standard deviation could add up to a negative one
    there = _at(points, grid, std, min(order, 1))
    spread = float(np.std(values)) if len(values) > 1 else 0.0
    floor = _FLOOR * (spread or float(np.abs(mean).max()) or 1.0)
    return (values - _at(points, grid, mean, order)) / np.sqrt(noise**2 + there**2 + floor**2)


def _at(points: np.ndarray, grid: Grid, field: np.ndarray, order: int) -> np.ndarray:
    """Return the values (m,) of a field (ny, nx) at points (m, 2)."""
    index, weight = interpolation_stencil(torch.as_tensor(points), grid, order)
    return (field.ravel()[index.numpy()] * weight.numpy()).sum(axis=1)
