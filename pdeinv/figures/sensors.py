"""Sensors in a panel: points, discs, lines, pairs of points, and limits of detection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import patheffects
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import Collection, EllipseCollection, LineCollection
from matplotlib.lines import Line2D

from pdeinv.figures.layout import extent_of, shown_at
from pdeinv.figures.symbols import LIMITS, SENSOR, symbol
from pdeinv.grid import Grid

__all__ = ["Shapes", "draw_coloured", "draw_sensors", "sensor_handles"]

_GEOMETRY = ("x", "y", "radius", "x2", "y2", "kind", "censored")
_EDGED = [patheffects.withStroke(linewidth=2.2, foreground="black")]
_LINES: dict[str, dict[str, Any]] = {
    "line": {"color": "white", "linewidth": 1.2, "path_effects": _EDGED},
    "difference": {
        "color": "black",
        "linewidth": 0.8,
        "path_effects": [patheffects.withStroke(linewidth=2.0, foreground="white")],
    },
}
"""Look of the segments of lines and of differences."""
_UNDER = 1.8  # order of drawing, below the marks


@dataclass(frozen=True)
class Shapes:
    """What the readings of a panel read, and where.

    Arguments:
        table: columns of geometry of the readings.
        points: (m, 2), positions.
        ends: (m, 2), of lines and differences; nan for others.
        radius: (m,), of discs; nan for others.
        kind: (m,), one of `pdeinv.sensors.KINDS` each.
        censored: (m,), "left", "right" or "".
    """

    table: pd.DataFrame
    points: np.ndarray
    ends: np.ndarray
    radius: np.ndarray
    kind: np.ndarray
    censored: np.ndarray

    @classmethod
    def of(cls, table: pd.DataFrame) -> Shapes:
        """Return the shapes of a checked table of readings."""

        def column(name: str, default: Any) -> np.ndarray:
            return np.asarray(table[name] if name in table else [default] * len(table))

        ends = np.stack([column("x2", np.nan), column("y2", np.nan)], axis=1)
        return cls(
            table,
            table[["x", "y"]].to_numpy(dtype=float),
            ends.astype(float),
            column("radius", np.nan).astype(float),
            column("kind", "point").astype(object),
            column("censored", "").astype(object),
        )

    @classmethod
    def of_result(cls, result: xr.Dataset, name: str) -> Shapes:
        """Return the shapes of the readings of one field of a result."""
        mine = np.asarray(result["sensor_field"] == name)
        columns = {c: f"sensor_{c}" for c in _GEOMETRY if f"sensor_{c}" in result}
        return cls.of(pd.DataFrame({c: result[v].values[mine] for c, v in columns.items()}))

    def __len__(self) -> int:
        """Number of readings, m."""
        return len(self.points)

    @property
    def centres(self) -> np.ndarray:
        """The middles (m, 2) of the shapes; of a difference the first point."""
        middles = (self.points + self.ends) / 2
        return np.where((self.kind == "line")[:, None], middles, self.points)


def draw_sensors(axis: Axes, shapes: Shapes, grid: Grid) -> None:
    """Draw sensors in white with black edges, in the domain's coordinates.

    A disc is its circle, a line its segment. A difference is the two points, the one that is
    subtracted in black, and a thin line between. A reading below a limit of detection has a
    triangle that points down, one above it a triangle that points up.

    Arguments:
        axis: the panel.
        shapes: the sensors.
        grid: of the field.
    """
    for discs in _discs(axis, shapes, grid):
        discs.set(facecolor="none", edgecolor="white", linewidth=1.0)
        discs.set(path_effects=_EDGED, zorder=_UNDER)
    for kind, look in _LINES.items():
        for lines in _lines(axis, shapes, grid, kind):
            lines.set(zorder=_UNDER, **look)
    pairs = shapes.kind == "difference"
    _mark(axis, shapes.ends[pairs], grid, SENSOR | {"mfc": "black", "mec": "white"})
    _mark(axis, shapes.points[pairs & (shapes.censored == "")], grid, SENSOR)
    _mark(axis, shapes.centres[(shapes.kind == "point") & (shapes.censored == "")], grid, SENSOR)
    for word, (marker, _) in LIMITS.items():
        places = shapes.centres[shapes.censored == word]
        _mark(axis, places, grid, SENSOR | {"marker": marker, "ms": 5})


def draw_coloured(
    axis: Axes, shapes: Shapes, grid: Grid, values: np.ndarray, **scale: Any
) -> Collection:
    """Draw sensors in the colours of their values, and return an artist with the scale.

    Arguments:
        axis: the panel.
        shapes: the sensors.
        grid: of the field.
        values: (m,), one for each sensor.
        scale: keywords of the colour scale.
    """
    look: dict[str, Any] = {"edgecolors": "0.3", "linewidths": 0.5, "clip_on": False, **scale}

    def mark(places: np.ndarray, chosen: np.ndarray, **marker: Any) -> Collection:
        x, y = shown_at(places[chosen], grid).T
        return axis.scatter(x, y, c=values[chosen], **marker, **look)

    for discs in _discs(axis, shapes, grid, values):
        discs.set(linewidth=0.8, alpha=0.75, edgecolor="0.3", zorder=0.8, **_of_scale(scale))
    for kind, width in (("line", 2.6), ("difference", 1.2)):
        edged = [patheffects.withStroke(linewidth=width + 1, foreground="0.3")]
        for lines in _lines(axis, shapes, grid, kind, values):
            lines.set(linewidth=width, path_effects=edged, zorder=0.8, **_of_scale(scale))
    pairs = shapes.kind == "difference"
    if pairs.any():
        mark(shapes.ends, pairs, s=9)
    for word, (marker, _) in LIMITS.items():
        if (mine := shapes.censored == word).any():
            mark(shapes.centres, mine, s=30, marker=marker, zorder=3)
    plain = ((shapes.kind == "point") | pairs) & (shapes.censored == "")
    return mark(shapes.centres, plain, s=22)


def sensor_handles(shapes: Iterable[Shapes]) -> list[Artist]:
    """Return a handle for each kind of sensor; none where all are points with a plain reading."""
    given = list(shapes)
    kinds = {
        kind for one in given for kind in one.kind[(one.kind != "point") | (one.censored == "")]
    }
    limits = {word for one in given for word in one.censored} - {""}
    ring = {"marker": "o", "ms": 8, "mfc": "none", "mec": "white", "path_effects": _EDGED}
    found = {
        "point": symbol("sensor", **SENSOR),
        "disc": symbol("mean over a disc", **ring),
        "line": Line2D([], [], label="mean along a line", **_LINES["line"]),
        "difference": Line2D([], [], label="difference, white − black", **_LINES["difference"]),
    }
    handles: list[Artist] = [handle for kind, handle in found.items() if kind in kinds]
    handles += [
        symbol(label, **(SENSOR | {"marker": marker, "ms": 5}))
        for word, (marker, label) in LIMITS.items()
        if word in limits
    ]
    return handles if limits or kinds - {"point"} else []


def _of_scale(scale: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a scale as `Artist.set` has them."""
    return {"cmap": scale["cmap"], "clim": (scale["vmin"], scale["vmax"])}


def _mark(axis: Axes, points: np.ndarray, grid: Grid, look: dict[str, Any]) -> None:
    if len(points):  # an empty line outside its axes makes the layout collapse
        axis.plot(*shown_at(points, grid).T, linestyle="none", clip_on=False, **look)


def _discs(
    axis: Axes, shapes: Shapes, grid: Grid, values: np.ndarray | None = None
) -> Iterator[EllipseCollection]:
    """Yield the circles of the discs, if there are some, as one artist."""
    mine = np.flatnonzero(shapes.kind == "disc")
    if not len(mine):
        return
    size = shapes.radius[mine, None]
    which, shift = _images(shapes.points[mine] - size, shapes.points[mine] + size, grid)
    widths = 2 * shapes.radius[mine][which]
    discs = EllipseCollection(
        widths,
        widths,
        np.zeros(len(widths)),
        units="xy",
        offsets=shapes.points[mine][which] + shift,
        offset_transform=axis.transData,
    )
    discs.set_array(None if values is None else values[mine][which])
    axis.add_collection(discs, autolim=False)
    yield discs


def _lines(
    axis: Axes, shapes: Shapes, grid: Grid, kind: str, values: np.ndarray | None = None
) -> Iterator[LineCollection]:
    """Yield the segments of lines or differences, if there are some, as one artist."""
    mine = np.flatnonzero(shapes.kind == kind)
    if not len(mine):
        return
    both = np.stack([shapes.points[mine], shapes.ends[mine]], axis=1)
    which, shift = _images(both.min(axis=1), both.max(axis=1), grid)
    lines = LineCollection(list(both[which] + shift[:, None]), capstyle="round")
    lines.set_array(None if values is None else values[mine][which])
    axis.add_collection(lines, autolim=False)
    yield lines


def _images(low: np.ndarray, high: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return which shapes (q,) to draw, and how far away (q, 2): on a torus, all images that reach
    into the panel.

    Arguments:
        low, high: (k, 2), corners of the boxes around the shapes.
        grid: of the panel.
    """
    if not grid.periodic:
        return np.arange(len(low)), np.zeros((len(low), 2))
    left, right, bottom, top = extent_of(grid)
    first, last = np.array([left, bottom]), np.array([right, top])
    steps = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) * (last - first)
    inside = ((low[:, None] + steps < last) & (high[:, None] + steps > first)).all(axis=2)
    which, step = np.nonzero(inside)
    return which, steps[step]
