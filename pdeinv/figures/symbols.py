"""Symbols and small texts of the panels, and their legend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path

from pdeinv.site import Site
from pdeinv.units import in_figures

__all__ = [
    "FEW",
    "FONT",
    "GREY",
    "LETTER",
    "LIMITS",
    "LINE",
    "SENSOR",
    "STROKE",
    "WELL",
    "WELLS",
    "add_legend",
    "legend_of",
    "short_number",
    "symbol",
]

SENSOR: dict[str, Any] = {"marker": "o", "ms": 3, "mfc": "white", "mec": "black", "mew": 0.6}
"""Look of a sensor."""
LIMITS = {"left": ("v", "below the limit"), "right": ("^", "above the limit")}
"""Marker and name of a censored reading, by its word."""
WELL: dict[str, Any] = {"ms": 7, "mfc": "black", "mec": "white", "mew": 0.9}
"""Look of a well, but for its marker."""
WELLS = {-1: ("v", "extraction well"), 1: ("^", "injection well"), 0: ("s", "well at rest")}
"""Marker and name of a well, by the sign of its rate."""
FEW = 4
"""Wells in a panel, at most, that have their rates written."""
STROKE = Path([(0.0, 0.0), (-1.0, 1.0)])
"""Marker of a side through which nothing flows: along it, and out of the domain."""
GREY = "0.35"
"""Colour of what is drawn on sides without a value."""
FONT = 7.0
"""Points of small texts."""
LETTER = 0.58 * FONT / 72
"""Width of a letter of these, on average, inches."""
_ENTRY = 1.5
"""Width of an entry of the legend, inches."""
LINE = 1.3 * FONT / 72
"""Height of a line of these, inches."""


def short_number(value: float) -> str:
    """Return a number for a figure, with four digits."""
    return f"{value:.4g}".replace("-", "−")


def legend_of(sites: Sequence[Site], sensors: Sequence[Artist] = ()) -> list[Artist]:
    """Return a handle for each symbol that needs to be explained; none for a plain figure.

    Arguments:
        sites: sides and wells.
        sensors: handles of sensors other than plain points.
    """
    handles = [
        symbol(label if sign == 0 else f"{label}{_rate_units(sites)}", marker=marker, **WELL)
        for sign, (marker, label) in WELLS.items()
        if any((np.sign(site.wells.rates) == sign).any() for site in sites)
    ]
    if any(side.closed for site in sites if site.varied for side in site.sides.values()):
        handles.append(symbol("no flux", marker=STROKE, ms=8, mfc="none", mec=GREY))
    if not sensors and handles:
        sensors = [symbol("sensor", **SENSOR)]
    return [*sensors, *handles]


def add_legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Write a legend under the panels, in as many rows as it needs."""
    if handles:
        columns = max(1, int(figure.get_size_inches()[0] / _ENTRY))
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(len(handles), columns),
            frameon=False,
            fontsize=8,
            handlelength=1.5,
            handletextpad=0.5,
        )


def _rate_units(sites: Sequence[Site]) -> str:
    """Return the units of the rates that are written, in brackets."""
    written = (s.wells for s in sites if 0 < len(s.wells.rates) <= FEW)
    units = next((in_figures(wells.units) for wells in written), "")
    return f" ({units})" if units else ""


def symbol(label: str, **look: Any) -> Line2D:
    """Return the handle of a mark."""
    return Line2D([], [], linestyle="none", label=label, **look)
