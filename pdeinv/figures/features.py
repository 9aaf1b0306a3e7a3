"""Lakes, rivers and walls in a panel."""

from __future__ import annotations

from typing import Any

from matplotlib import patheffects
from matplotlib.axes import Axes

from pdeinv.site import Outline

__all__ = ["FEATURES", "plot_features"]

FEATURES: dict[str, tuple[dict[str, Any], str]] = {
    "fixed": ({"color": "black", "lw": 1.6, "ls": "-"}, "fixed value"),
    "leakage": ({"color": "black", "lw": 1.6, "ls": (0, (1, 1.2))}, "leakage"),
    "barrier": ({"color": "black", "lw": 3.0, "ls": "-"}, "barrier"),
}
"""Look and name of a feature, by its kind."""
_HALO = 1.2  # points of white around a line


def plot_features(axis: Axes, features: tuple[Outline, ...]) -> None:
    """Draw the outlines of features: solid where the solution is fixed, dotted where something
    leaks, thick where nothing crosses.

    Arguments:
        axis: the panel.
        features: to be drawn.
    """
    for feature in features:
        look, _ = FEATURES[feature.kind]
        halo = [patheffects.withStroke(linewidth=look["lw"] + 2 * _HALO, foreground="white")]
        for line in feature.lines:
            axis.plot(
                *line.T,
                **look,
                path_effects=halo,
                solid_capstyle="butt",
                zorder=2.5,
                scalex=False,
                scaley=False,
            )
