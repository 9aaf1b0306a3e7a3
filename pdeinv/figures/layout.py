"""Panels of fields on a rectangle: their size, their axes, and a figure that they fill."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from pdeinv.grid import Grid

__all__ = ["Panel", "extent_of", "shown_at"]

_SIZE = 2.3  # root of the area of a panel, inches
_NARROWEST, _WIDEST = 1.5, 4.2  # panels, inches
_LEAST, _TALLEST = 1.2, 5.0  # width of a tall panel and its height, inches
_MOST = 16.0  # inches of all panels of a row
_SLENDER = 6.0  # ratio of the sides, beyond which a panel does not have the domain's aspect
_TICKS = (0.55, 0.45)  # inches from one tick to the next, at least, along x and along y
_BAR = 0.1  # inches, width of a colour bar
_THINNEST = 20.0  # ratio of its sides, at most
_ROUNDS = 2  # layouts until the panels have their size


def _ratio(grid: Grid) -> float:
    """Return the width of a panel over its height, in the domain's aspect."""
    left, right, bottom, top = extent_of(grid)
    return (right - left) / (top - bottom)


def extent_of(grid: Grid) -> tuple[float, float, float, float]:
    """Return the edges of the pixels, which are centred on the nodes."""
    x0, _, y0, _ = grid.extent
    hx, hy = grid.hx, grid.hy
    left, bottom = x0 + (grid.first - 0.5) * hx, y0 + (grid.first - 0.5) * hy
    return (left, left + grid.nx * hx, bottom, bottom + grid.ny * hy)


def shown_at(points: np.ndarray, grid: Grid) -> np.ndarray:
    """Return the positions (m, 2) of points in a panel: on a torus, of the image within it."""
    if not grid.periodic:
        return points
    left, right, bottom, top = extent_of(grid)
    corner = np.array([left, bottom])
    return corner + (points - corner) % np.array([right - left, top - bottom])


class Panel(NamedTuple):
    """Width and height of each panel of a figure, inches.

    Arguments:
        width, height: of the panel.
        true: whether it has the domain's aspect: always, but for very slender domains.
    """

    width: float
    height: float
    true: bool

    @classmethod
    def of(cls, grid: Grid, columns: int) -> Panel:
        """Return the panel of fields on a grid.

        Arguments:
            grid: the grid.
            columns: panels in a row.
        """
        own = _ratio(grid)
        ratio = min(own, _SLENDER)
        width = min(max(_SIZE * math.sqrt(ratio), _NARROWEST), _WIDEST, _MOST / columns)
        height = width / ratio
        if height > _TALLEST:
            width, height = max(_TALLEST * ratio, _LEAST), _TALLEST
        return cls(width, height, math.isclose(width / height, own))

    def figure_size(self, rows: int, columns: int) -> tuple[float, float]:
        """Return roughly the size of a figure of panels with titles and colour bars, inches."""
        return (1.4 + (self.width + 0.4) * columns, 0.8 + (self.height + 0.6) * rows)

    @property
    def bar(self) -> dict[str, Any]:
        """Keywords of a colour bar next to the panel, which is wide enough to be seen."""
        shrink = 0.85
        return {
            "shrink": shrink,
            "pad": 0.02,
            "aspect": min(shrink * self.height / _BAR, _THINNEST),
        }

    def label_axes(self, axes: np.ndarray, unit: str) -> None:
        """Name the axes with the domain's unit, and keep their ticks apart.

        Arguments:
            axes: (rows, columns), which share their limits.
            unit: of the coordinates.
        """
        suffix = "" if unit == "1" else f" ({unit})"
        for axis in axes[:, 0]:
            axis.set_ylabel(f"y{suffix}")
        for axis in axes[-1]:
            axis.set_xlabel(f"x{suffix}")
        for axis in axes.flat:
            axis.tick_params(labelsize=8)
            for one, length, step in zip(
                (axis.xaxis, axis.yaxis), (self.width, self.height), _TICKS, strict=True
            ):
                ticks = max(2, int(length / step))
                one.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
                if isinstance(one.get_major_formatter(), ScalarFormatter):
                    one.get_major_formatter().set_useOffset(False)
                    one.get_major_formatter().set_powerlimits((-4, 8))  # northings in full

    def fit(self, figure: Figure, axes: np.ndarray) -> None:
        """Give a figure the size in which each panel has its own.

        Arguments:
            figure: the figure, whose layout matplotlib computes.
            axes: (rows, columns), of the aspect "auto": a panel that does not fill its place would
                hide the space that its labels need.
        """
        rows, columns = axes.shape
        for _ in range(_ROUNDS):
            figure.draw_without_rendering()
            width, height = figure.get_size_inches()
            box = axes[0, 0].get_position(original=True)
            figure.set_size_inches(
                width + columns * (self.width - box.width * width),
                height + rows * (self.height - box.height * height),
            )
        for axis in axes.flat:
            axis.set_aspect("equal" if self.true else "auto")
