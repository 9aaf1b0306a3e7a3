"""Figures of a reconstruction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TypedDict

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from pdeinv.coordinates import grid_from
from pdeinv.figure_layout import Panel, extent_of
from pdeinv.grid import Grid
from pdeinv.observation import interpolation_stencil

__all__ = ["Style", "field_style", "plot_reconstruction"]

_TITLES = {
    "truth": "truth",
    "mean": "posterior mean",
    "probability": "P(high value)",
    "std": "standard deviation",
    "error": "|mean − truth|",
    "residual": "reading − mean",
}
_FIELDS = ("truth", "mean")
"""Panels on the field's colour scale."""
_ERRORS = ("std", "error")
"""Panels that share another one."""
_SIGNED = 0.1  # share of the largest size that both signs must reach
_RESIDUALS = 3.0  # standard deviations at the ends of the scale
_FLOOR = 1e-3  # least standard deviation of a reading, relative to the readings' spread


class Style(TypedDict):
    """Keywords of `imshow`."""

    cmap: str
    vmin: float
    vmax: float


def field_style(*values: np.ndarray | xr.DataArray) -> Style:
    """Return the colour map and the limits that panels of one field share.

    A field of both signs has a diverging map about 0, any other field a sequential one. The
    undershoot of a positive field does not make it one of both signs.

    Arguments:
        values: of each panel.
    """
    low = min(float(np.nanmin(v)) for v in values)
    high = max(float(np.nanmax(v)) for v in values)
    size = max(-low, high)
    if min(-low, high) > _SIGNED * size:
        return {"cmap": "RdBu_r", "vmin": -size, "vmax": size}
    return {"cmap": "viridis", "vmin": low, "vmax": high}


def plot_reconstruction(result: xr.Dataset, truth: xr.Dataset | None = None) -> Figure:
    """Return a figure with one row for each field, and of several experiments for each of these.

    The panels are the truth (where given), the posterior mean with the sensors, the probability of
    the high value of a two-valued field, the standard deviation, the error (where the truth is
    given) and the residuals. Truth and mean share one colour scale, error and standard deviation
    another. A residual is a reading less the posterior mean there, in units of the standard
    deviation of noise and posterior together. The panels have the domain's aspect.

    Arguments:
        result: the result of `pdeinv.reconstruct`.
        truth: the fields under their physical names, with dimensions (y, x), on the result's grid;
            some may be missing.
    """
    grid = grid_from(result, "the result")
    names = [str(v).removesuffix("_mean") for v in result.data_vars if str(v).endswith("_mean")]
    known = {"truth", "error"} if truth is not None else set()
    if any(f"{name}_probability" in result for name in names):
        known.add("probability")
    columns = [c for c in _TITLES if c in known | {"mean", "std", "residual"}]
    panel = Panel.of(grid, len(columns))
    parts = [part for name in names for part in _parts(name, result, truth)]
    figure = Figure(figsize=panel.figure_size(len(parts), len(columns)), layout="constrained")
    axes = figure.subplots(len(parts), len(columns), sharex=True, sharey=True, squeeze=False)
    for row, part in zip(axes, parts, strict=True):
        _plot_row(figure, dict(zip(columns, row, strict=True)), *part, grid)
    panel.label_axes(axes, grid.unit)
    chi2 = result.attrs.get("reduced_chi_squared")
    figure.suptitle(
        f"{result.attrs.get('pde', '')} · {result.attrs.get('solver', '')} · "
        f"{result.sizes.get('sensor', 0)} sensors"
        + (f" · reduced χ² = {chi2:.2f}" if chi2 is not None else ""),
        fontsize=11,
        wrap=True,
    )
    panel.fit(figure, axes)
    return figure


def _parts(
    name: str, result: xr.Dataset, truth: xr.Dataset | None
) -> Iterator[tuple[str, xr.Dataset, xr.Dataset | None]]:
    """Yield a field's name with the result and the truth of each row: one for each experiment."""
    if "experiment" not in result[f"{name}_mean"].dims:
        yield name, result, truth
        return
    for experiment in result["experiment"].values:
        part = result.sel(experiment=experiment)
        part = part.isel(sensor=np.flatnonzero(part["sensor_experiment"] == experiment))
        mean = part[f"{name}_mean"]
        if mean.isnull().all():  # the experiment has no such field
            continue
        long_name = f"{mean.attrs.get('long_name', name)}, experiment {experiment}"
        part[f"{name}_mean"] = mean.assign_attrs(long_name=long_name)
        if truth is not None and "experiment" in truth.coords:
            yield name, part, truth.sel(experiment=experiment)
        else:
            yield name, part, truth


def _plot_row(
    figure: Figure,
    axes: Mapping[str, Axes],
    name: str,
    result: xr.Dataset,
    truth: xr.Dataset | None,
    grid: Grid,
) -> None:
    """Draw the panels of one field, by column."""
    mean = result[f"{name}_mean"]
    panels = {"mean": mean, "std": result[f"{name}_std"]}
    if f"{name}_probability" in result:
        panels["probability"] = result[f"{name}_probability"]
    if truth is not None and name in truth:
        panels |= {"truth": truth[name], "error": abs(mean - truth[name].values)}
    label = str(mean.attrs.get("long_name", name)).removeprefix("posterior mean of the ")
    units = mean.attrs.get("units", "1")
    units = "dimensionless" if units == "1" else units
    drawn = [c for c in axes if c in panels or c == "residual"]
    last = [c for c in drawn if c in _ERRORS][-1]
    styles = _styles(panels)
    for column, axis in axes.items():
        if column not in drawn:
            axis.set_axis_off()
            continue
        axis.set_title(f"{label if column == drawn[0] else ''}\n{_TITLES[column]}", fontsize=10)
        if column == "residual":
            _plot_residuals(figure, axis, name, result, grid)
            continue
        image = axis.imshow(
            panels[column],
            origin="lower",
            extent=extent_of(grid),
            aspect="auto",
            interpolation="nearest",
            **styles[column],
        )
        if column == "mean":
            _plot_sensors(axis, result, name, grid)
        if column in ("mean", "probability", last):
            extend = "max" if column in _ERRORS else "neither"
            unit = "probability" if column == "probability" else units
            _add_bar(figure, image, axis, unit, extend)


def _styles(panels: Mapping[str, xr.DataArray]) -> dict[str, Style]:
    """Return the colours of the panels of one field, by column.

    The top of the scale of errors is a quantile: a few large errors, at the edges of a jump, must
    not darken the panel.
    """
    field = field_style(*(panels[c] for c in _FIELDS if c in panels))
    top = max(float(np.nanquantile(panels[c], 0.995)) for c in _ERRORS if c in panels) or 1.0
    errors: Style = {"cmap": "magma", "vmin": 0.0, "vmax": top}
    probability: Style = {"cmap": "cividis", "vmin": 0.0, "vmax": 1.0}
    return (
        dict.fromkeys(_FIELDS, field)
        | dict.fromkeys(_ERRORS, errors)
        | {"probability": probability}
    )


def _add_bar(
    figure: Figure, image: ScalarMappable, axis: Axes, label: str, extend: str = "neither"
) -> None:
    bar = figure.colorbar(image, ax=axis, shrink=0.85, pad=0.02, extend=extend)
    if isinstance(bar.formatter, ScalarFormatter):
        bar.formatter.set_powerlimits((-2, 3))
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=8)
    bar.ax.yaxis.get_offset_text().set_fontsize(8)


def _plot_sensors(axis: Axes, result: xr.Dataset, name: str, grid: Grid) -> None:
    mine = np.asarray(result["sensor_field"] == name)
    if not mine.any():  # an empty line outside its axes makes the layout collapse
        return
    x, y = _shown_at(result, mine, grid).T
    axis.plot(
        x,
        y,
        "o",
        ms=3,
        mfc="white",
        mec="black",
        mew=0.6,
        clip_on=False,
    )


def _shown_at(result: xr.Dataset, mine: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the positions (m, 2) of sensors in a panel: on a torus, of the image within it."""
    points = np.stack([np.asarray(result[f"sensor_{axis}"])[mine] for axis in "xy"], axis=1)
    if not grid.periodic:
        return points
    left, right, bottom, top = extent_of(grid)
    corner = np.array([left, bottom])
    return corner + (points - corner) % np.array([right - left, top - bottom])


def _plot_residuals(figure: Figure, axis: Axes, name: str, result: xr.Dataset, grid: Grid) -> None:
    """Draw the standardised residuals of the readings of one field at their sensors."""
    mine = np.asarray(result["sensor_field"] == name)
    points = np.stack([result["sensor_x"].values[mine], result["sensor_y"].values[mine]], axis=1)
    shown = _shown_at(result, mine, grid)
    axis.set_facecolor("0.92")
    marks = axis.scatter(
        shown[:, 0],
        shown[:, 1],
        c=_residuals(result, name, mine, points, grid),
        s=22,
        cmap="RdBu_r",
        vmin=-_RESIDUALS,
        vmax=_RESIDUALS,
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
    _add_bar(figure, marks, axis, "σ", "both")


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
