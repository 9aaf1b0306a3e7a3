"""Figures of a reconstruction."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

__all__ = ["plot_reconstruction"]


def plot_reconstruction(result: xr.Dataset, truth: xr.Dataset | None = None) -> Figure:
    """Both fields, one a row: truth (where known), posterior mean with the sensors on it, standard
    deviation, error.

    Truth and mean share one colour scale, error and standard deviation another.

    Arguments:
        result: what `pdeinv.reconstruct` returned.
        truth: the two fields under their physical names, with dimensions (y, x), on the result's
            grid.
    """
    names = [v.removesuffix("_mean") for v in result.data_vars if str(v).endswith("_mean")]
    columns = ["truth", "mean", "std", "error"] if truth is not None else ["mean", "std"]
    figure = Figure(figsize=(1.4 + 2.7 * len(columns), 6.1), layout="constrained")
    axes = figure.subplots(len(names), len(columns), sharex=True, sharey=True, squeeze=False)
    for row, name in zip(axes, names, strict=True):
        mean, std = result[f"{name}_mean"], result[f"{name}_std"]
        label = str(mean.attrs.get("long_name", name)).removeprefix("posterior mean of the ")
        panels = {"mean": mean, "std": std}
        if truth is not None:
            panels |= {"truth": truth[name], "error": np.abs(mean - truth[name].values)}
        field_panels = [panels[c] for c in ("truth", "mean") if c in panels]
        limits = (
            min(float(p.min()) for p in field_panels),
            max(float(p.max()) for p in field_panels),
        )
        # A few nodes off by much (the edges of a jump) must not darken the rest of the panel.
        top = (
            max(float(np.quantile(panels[c], 0.995)) for c in ("std", "error") if c in panels)
            or 1.0
        )
        for axis, column in zip(row, columns, strict=True):
            is_field = column in ("truth", "mean")
            vmin, vmax = limits if is_field else (0.0, top)
            image = axis.imshow(
                panels[column],
                origin="lower",
                extent=_extent(mean),
                vmin=vmin,
                vmax=vmax,
                cmap="viridis" if is_field else "magma",
                interpolation="nearest",
            )
            title = {
                "truth": "truth",
                "mean": "posterior mean",
                "std": "standard deviation",
                "error": "|mean − truth|",
            }[column]
            axis.set_title(
                f"{label}\n{title}" if column == columns[0] else f"\n{title}", fontsize=10
            )
            axis.set_aspect("equal")
            mine = result["sensor_field"] == name
            # An empty line outside its axes makes the layout collapse
            if column == "mean" and mine.any():
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
            if column in ("mean", columns[-1]):
                bar = figure.colorbar(
                    image, ax=axis, shrink=0.85, pad=0.02, extend="neither" if is_field else "max"
                )
                bar.formatter.set_powerlimits((-2, 3))
                units = mean.attrs.get("units", "1")
                bar.set_label("dimensionless" if units == "1" else units, fontsize=8)
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


def _extent(field: xr.DataArray):
    x = field["x"].values
    half = (x[1] - x[0]) / 2
    return (x[0] - half, x[-1] + half, x[0] - half, x[-1] + half)
