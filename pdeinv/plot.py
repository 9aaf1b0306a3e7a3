"""Figures of a reconstruction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

__all__ = ["plot_reconstruction"]

_TITLES = {
    "truth": "truth",
    "mean": "posterior mean",
    "std": "standard deviation",
    "error": "|mean − truth|",
}
_FIELDS = ("truth", "mean")
"""Panels on the field's colour scale; the others share another."""


def plot_reconstruction(result: xr.Dataset, truth: xr.Dataset | None = None) -> Figure:
    """Return a figure with one row for each field.

    The panels are the truth (where given), the posterior mean with the sensors, the standard
    deviation and the error. Truth and mean share one colour scale, error and standard deviation
    another.

    Arguments:
        result: the result of `pdeinv.reconstruct`.
        truth: the two fields under their physical names, with dimensions (y, x), on the result's
            grid.
    """
    names = [str(v).removesuffix("_mean") for v in result.data_vars if str(v).endswith("_mean")]
    columns = ["truth", "mean", "std", "error"] if truth is not None else ["mean", "std"]
    figure = Figure(figsize=(1.4 + 2.7 * len(columns), 6.1), layout="constrained")
    axes = figure.subplots(len(names), len(columns), sharex=True, sharey=True, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        _plot_row(figure, dict(zip(columns, row, strict=True)), name, result, truth)
        row[0].set_ylabel("y")
    for axis in axes[-1]:
        axis.set_xlabel("x")
    chi2 = result.attrs.get("reduced_chi_squared")
    figure.suptitle(
        f"{result.attrs.get('pde', '')} · {result.attrs.get('solver', '')} · "
        f"{result.sizes.get('sensor', 0)} sensors"
        + (f" · reduced χ² = {chi2:.2f}" if chi2 is not None else ""),
        fontsize=11,
    )
    return figure


def _plot_row(
    figure: Figure,
    axes: Mapping[str, Axes],
    name: str,
    result: xr.Dataset,
    truth: xr.Dataset | None,
) -> None:
    """Draw the panels of one field, by column."""
    mean = result[f"{name}_mean"]
    panels = {"mean": mean, "std": result[f"{name}_std"]}
    if truth is not None:
        panels |= {"truth": truth[name], "error": abs(mean - truth[name].values)}
    label = str(mean.attrs.get("long_name", name)).removeprefix("posterior mean of the ")
    first, *_, last = axes
    for column, axis in axes.items():
        is_field = column in _FIELDS
        low, high = _field_limits(panels) if is_field else (0.0, _top(panels))
        image = axis.imshow(
            panels[column],
            origin="lower",
            extent=_extent(mean),
            vmin=low,
            vmax=high,
            cmap="viridis" if is_field else "magma",
            interpolation="nearest",
        )
        axis.set_title(f"{label if column == first else ''}\n{_TITLES[column]}", fontsize=10)
        axis.set_aspect("equal")
        if column == "mean":
            _plot_sensors(axis, result, name)
        if column in ("mean", last):
            bar = figure.colorbar(
                image, ax=axis, shrink=0.85, pad=0.02, extend="neither" if is_field else "max"
            )
            if isinstance(bar.formatter, ScalarFormatter):
                bar.formatter.set_powerlimits((-2, 3))
            units = mean.attrs.get("units", "1")
            bar.set_label("dimensionless" if units == "1" else units, fontsize=8)


def _plot_sensors(axis: Axes, result: xr.Dataset, name: str) -> None:
    mine = result["sensor_field"] == name
    if not mine.any():  # an empty line outside its axes makes the layout collapse
        return
    axis.plot(
        result["sensor_x"][mine],
        result["sensor_y"][mine],
        "o",
        ms=3,
        mfc="white",
        mec="black",
        mew=0.6,
        clip_on=False,
    )


def _field_limits(panels: Mapping[str, xr.DataArray]) -> tuple[float, float]:
    fields = [panels[c] for c in _FIELDS if c in panels]
    return min(float(p.min()) for p in fields), max(float(p.max()) for p in fields)


def _top(panels: Mapping[str, xr.DataArray]) -> float:
    """Return the top of the scale of errors.

    It is a quantile: a few large errors, at the edges of a jump, must not darken the panel.
    """
    others = [panel for column, panel in panels.items() if column not in _FIELDS]
    return max(float(np.quantile(panel, 0.995)) for panel in others) or 1.0


def _extent(field: xr.DataArray) -> tuple[float, float, float, float]:
    x = field["x"].values
    half = (x[1] - x[0]) / 2
    return (x[0] - half, x[-1] + half, x[0] - half, x[-1] + half)
