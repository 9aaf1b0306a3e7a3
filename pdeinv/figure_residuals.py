"""The panel of residuals: where readings and posterior disagree."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable

from pdeinv.figure_layout import extent_of, shown_at
from pdeinv.footprint_places import Footprints
from pdeinv.footprints import FootprintObservation
from pdeinv.grid import Grid
from pdeinv.observation import Observation

__all__ = ["plot_residuals"]

_ENDS = 3.0  # standard deviations at the ends of the scale
_FLOOR = 1e-3  # least standard deviation of a reading, relative to the readings' spread
_FOOTPRINT = ("kind", "radius", "x2", "y2")


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

    That is at least a share of the spread of the readings, differences apart: exact readings are
    met to rounding.
    """
    mean = result[f"{name}_mean"].values
    order = json.loads(result.attrs.get("interpolation_order", "{}")).get(name, 1)
    values = result["sensor_value"].values[mine]
    noise = result["sensor_noise_std"].values[mine] if "sensor_noise_std" in result else 0.0
    sensors = _operator(result, mine, points, grid, order)
    floor = np.full(len(values), float(np.abs(mean).max()) or 1.0)
    of_field = sensors.of_field.numpy()
    for alike in (of_field, ~of_field):
        if alike.sum() > 1 and (spread := float(np.std(values[alike]))):
            floor[alike] = spread
    there = _posterior_std(result, name, sensors)
    deviation = np.sqrt(noise**2 + there**2 + (_FLOOR * floor) ** 2)
    return (values - _read(sensors, mean[None])[0]) / deviation


def _operator(
    result: xr.Dataset, mine: np.ndarray, points: np.ndarray, grid: Grid, order: int
) -> Observation:
    """Return the operator of the readings of one field, of which it is the only channel."""
    columns = {c: result[f"sensor_{c}"].values[mine] for c in _FOOTPRINT if f"sensor_{c}" in result}
    zeros, channel = torch.zeros(len(points)), torch.zeros(len(points), dtype=torch.long)
    given = (grid, torch.as_tensor(points), channel, zeros, zeros, (order,))
    footprints = Footprints.of_table(pd.DataFrame(columns))
    if footprints is None:
        return Observation(*given)
    return FootprintObservation(*given, **footprints._asdict())


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
