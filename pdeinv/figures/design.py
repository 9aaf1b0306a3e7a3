"""A figure of a design: what is uncertain, and where to read next."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from pdeinv.figures.symbols import SENSOR, add_legend, symbol

__all__ = ["plot_design"]

_SIZE = 4.6  # inches of the longer side of the panel
_CHOSEN: dict[str, Any] = {"marker": "o", "ms": 11, "mfc": "white", "mec": "black", "mew": 1.2}
_LARGEST = 60.0  # points squared, of the sensor that is worth most


def plot_design(plan: xr.Dataset) -> Figure:
    """Return a figure of the gain of one reading at each candidate, the present sensors by their
    worth, and the new readings with their order.

    Arguments:
        plan: as `pdeinv.design` returns it.
    """
    x, y = plan["candidate_x"].values, plan["candidate_y"].values
    width, height = max(np.ptp(x), 1e-300), max(np.ptp(y), 1e-300)
    scale = _SIZE / max(width, height)
    size = (max(scale * width, 2.0) + 1.6, max(scale * height, 2.0) + 1.3)
    figure = Figure(figsize=size, layout="constrained")
    axis = figure.subplots()
    side = 72 * scale * np.sqrt(width * height / max(len(x), 1))
    drawn = axis.scatter(
        x, y, c=100 * plan["gain"].values, s=max(side, 4.0) ** 2, marker="s", linewidths=0
    )
    figure.colorbar(drawn, ax=axis, label="variance that one reading removes, %", shrink=0.85)
    worth = np.nan_to_num(plan["worth"].values, nan=0.0).clip(0)
    sizes = 8 + _LARGEST * worth / max(float(worth.max(initial=0.0)), 1e-300)
    axis.scatter(
        plan["sensor_x"], plan["sensor_y"], s=sizes, c="white", edgecolors="black", linewidths=0.7
    )
    for number, (px, py) in enumerate(
        zip(plan["reading_x"].values, plan["reading_y"].values, strict=True), start=1
    ):
        axis.plot(px, py, linestyle="none", **_CHOSEN)
        axis.annotate(str(number), (px, py), ha="center", va="center", fontsize=8)
    axis.set_aspect("equal" if max(width, height) < 6 * min(width, height) else "auto")
    unit = str(plan["candidate_x"].attrs.get("units", "1"))
    suffix = "" if unit == "1" else f" ({unit})"
    axis.set_xlabel(f"x{suffix}")
    axis.set_ylabel(f"y{suffix}")
    before, after = plan.attrs["std_before"], plan["std_after"].values
    axis.set_title(
        f"{plan.attrs['of'].replace('_', ' ')}: standard deviation {before:.3g}, "
        f"{after[-1]:.3g} after {len(after)} readings of {plan.attrs['field'].replace('_', ' ')}",
        fontsize=9,
        wrap=True,
    )
    small = symbol("present sensor, by its worth", **SENSOR)
    add_legend(figure, [small, symbol("new reading, in order", **_CHOSEN | {"ms": 8})])
    return figure
