"""The panel of residuals: where readings and posterior disagree."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from pdeinv.figures.layout import extent_of
from pdeinv.figures.sensors import Shapes, draw_coloured
from pdeinv.footprints import operator_of
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.sensors.instruments import bias_name

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
    result = result.isel(sensor=result["sensor_value"].notnull().values)  # without missing readings
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

    That is at least a share of the spread of the readings, differences apart: exact readings are
    met to rounding. The posterior mean of an instrument's bias is taken off its readings. A reading
    beyond a limit of detection has the residual of the limit, or 0 where the mean is beyond it too.
    """
    mine = np.asarray(result["sensor_field"] == name)
    mean = result[f"{name}_mean"].values
    order = json.loads(result.attrs.get("interpolation_order", "{}")).get(name, 1)
    values = result["sensor_value"].values[mine]
    noise = result["sensor_noise_std"].values[mine] if "sensor_noise_std" in result else 0.0
    sensors = operator_of(shapes.table, grid, order)
    floor = np.full(len(values), float(np.abs(mean).max()) or 1.0)
    of_field = sensors.of_field.numpy()
    for alike in (of_field, ~of_field):
        if alike.sum() > 1 and (spread := float(np.std(values[alike]))):
            floor[alike] = spread
    there = _posterior_std(result, name, sensors)
    bias, bias_std = _biases(result, name, mine)
    deviation = np.sqrt(noise**2 + there**2 + bias_std**2 + (_FLOOR * floor) ** 2)
    excess = values - bias - _read(sensors, mean[None])[0]
    excess[shapes.censored == "left"] = excess[shapes.censored == "left"].clip(max=0)
    excess[shapes.censored == "right"] = excess[shapes.censored == "right"].clip(min=0)
    return excess / deviation


def _biases(result: xr.Dataset, name: str, mine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the means and the standard deviations (m,) of the biases of the readings of one field:
    those of the posterior, or of the prior where the solver does not estimate biases."""
    mean = np.zeros(np.count_nonzero(mine))
    if "sensor_bias_std" not in result:
        return mean, mean
    std = np.nan_to_num(result["sensor_bias_std"].values[mine])
    if "parameter_mean" in result:
        columns = (result[v].values for v in ("parameter", "parameter_mean", "parameter_std"))
        found = {number: moments for number, *moments in zip(*columns, strict=True)}
        read = enumerate(result["sensor_instrument"].values[mine])
        for i, instrument in ((i, one) for i, one in read if std[i]):
            mean[i], std[i] = found.get(bias_name(instrument, name), (mean[i], std[i]))
    return mean, std


def _posterior_std(result: xr.Dataset, name: str, sensors: Observation) -> np.ndarray:
    """Return the posterior standard deviations (m,) of what the sensors read: that of the field at
    points, and that over the samples of other footprints."""
    # Cubic weights of a standard deviation could add up to a negative one
    order = (min(sensors.order[0], 1),)
    there = _read(replace(sensors, order=order), result[f"{name}_std"].values[None])[0]
    others = ~sensors.at_points
    if bool(others.any()):
        samples = result[f"{name}_samples"].transpose("sample", "y", "x").values
        read = _read(sensors.subset(others), samples)
        there[others.numpy()] = read.std(axis=0, ddof=min(1, len(samples) - 1))
    return there


def _read(sensors: Observation, fields: np.ndarray) -> np.ndarray:
    """Return the readings (n, m) of fields (n, ny, nx)."""
    return sensors(torch.as_tensor(fields)[:, None]).numpy()
