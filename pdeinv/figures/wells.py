"""Wells in a panel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes

from pdeinv.figures.layout import Panel, extent_of, shown_at
from pdeinv.figures.symbols import FEW, FONT, LETTER, LINE, WELL, WELLS, short_number
from pdeinv.grid import Grid
from pdeinv.site import Wells

__all__ = ["plot_wells"]

_APART = 0.09  # inches from a well to the text next to it


def plot_wells(
    axis: Axes, wells: Wells, sensors: np.ndarray, grid: Grid, panel: Panel, rates: bool
) -> None:
    """Draw wells as triangles: those that extract point down, those that inject up.

    Arguments:
        axis: the panel.
        wells: to be drawn.
        sensors: (m, 2), which the rates should not hide.
        grid: of the field.
        panel: its size.
        rates: whether to write the rates, where there are few wells.
    """
    points = shown_at(wells.points, grid)
    for sign, (marker, _) in WELLS.items():
        if (mine := np.sign(wells.rates) == sign).any():
            axis.plot(
                *points[mine].T,
                marker,
                **WELL,
                clip_on=False,
                zorder=3,
                scalex=False,
                scaley=False,
            )
    if not rates or not 0 < len(points) <= FEW:
        return
    left, right, bottom, top = extent_of(grid)
    scale = np.array([panel.width / (right - left), panel.height / (top - bottom)])
    corner = np.array([left, bottom])
    texts = [short_number(rate) for rate in wells.rates]
    centres = _free_places(
        (points - corner) * scale,
        (np.concatenate([sensors, points]) - corner) * scale,
        [(len(text) * LETTER, LINE) for text in texts],
        (panel.width, panel.height),
    )
    halo = [patheffects.withStroke(linewidth=2, foreground="white")]
    for text, (x, y) in zip(texts, centres / scale + corner, strict=True):
        axis.text(x, y, text, fontsize=FONT, ha="center", va="center", zorder=4, path_effects=halo)


def _free_places(
    points: np.ndarray,
    occupied: np.ndarray,
    sizes: Sequence[tuple[float, float]],
    panel: tuple[float, float],
) -> np.ndarray:
    """Return the centres (m, 2) of texts next to points where they hide the least; inches.

    Arguments:
        points: (m, 2), to be labelled.
        occupied: (k, 2), to be left free.
        sizes: width and height of each text.
        panel: its width and height.
    """
    middle = np.array(panel) / 2
    placed: list[np.ndarray] = []
    halves: list[np.ndarray] = []
    for point, size in zip(points, sizes, strict=True):
        half = np.array(size) / 2
        choices = [
            point + np.array([dx, dy]) * (half + _APART)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
        ]
        costs = []
        for centre in choices:
            hidden = (np.abs(occupied - centre) < half + 0.03).all(axis=1).sum()
            beyond = np.clip(np.abs(centre - middle) + half - middle, 0, None)
            overlaid = sum(
                bool((np.abs(other - centre) < half + room).all())
                for other, room in zip(placed, halves, strict=True)
            )
            costs.append(hidden + 100 * beyond.sum() + 10 * overlaid)
        placed.append(choices[int(np.argmin(costs))])
        halves.append(half)
    return np.array(placed)
