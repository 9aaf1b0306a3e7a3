"""Symbols and small texts of the panels, and their legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path

from pdeinv.figures.features import FEATURES
from pdeinv.site import Site
from pdeinv.units import in_figures

__all__ = [
    "FEW",
    "FONT",
    "GREY",
    "LETTER",
    "LIMITS",
    "LINE",
    "OPENING",
    "SENSOR",
    "STROKE",
    "WELL",
    "WELLS",
    "add_legend",
    "legend_of",
    "short_number",
    "short_range",
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
OPENING = Path([(-0.7, 0.3), (0.0, 1.0), (0.7, 0.3)], [Path.MOVETO, Path.CURVE3, Path.CURVE3])
"""Marker of a side beyond which the medium goes on: a wave that leaves."""
GREY = "0.35"
"""Colour of what is drawn on sides without a value."""
FONT = 7.0
"""Points of small texts."""
LETTER = 0.58 * FONT / 72
"""Width of a letter of these, on average, inches."""
_LEAST, _MOST = 1e-4, 1e6
"""Sizes beyond which a number has a power of ten."""
_ENTRY = 1.5
"""Width of an entry of the legend, inches."""
LINE = 1.3 * FONT / 72
"""Height of a line of these, inches."""


def short_number(value: float) -> str:
    """Return a number for a figure, with four digits."""
    return f"{value:.4g}".replace("-", "−")


def short_range(values: np.ndarray, std: float | None = None) -> str:
    """Return the range of values for a figure, or the one value, to the same decimal place.

    That is where two digits of the standard deviation end, or of the range, and else four digits of
    the largest value; no number has more than six digits. One value of at most six digits is
    written with all of them.

    Arguments:
        values: (m,).
        std: standard deviation of each; None for values that are stated.

    Example:
        >>> short_range(np.array([50.4718, 52.0312]), 0.1235)
        '50.47 to 52.03 ± 0.12'
        >>> short_range(np.array([-0.0035, 49.9871]))
        '0 to 49.99'
    """
    ends = [float(values.min()), float(values.max())]
    largest = max(map(abs, ends))
    if not std and ends[0] == ends[1]:
        whole = float(f"{largest:.6g}") == largest
        text = _plain(ends[0], _place(largest, 6), True) if whole else short_number(ends[0])
    else:
        finest = _place(max(largest, std or 0.0), 6)
        place = _place(std, 2) if std else max(_place(largest, 4), _place(ends[1] - ends[0], 2))
        stripped = not std or place > finest
        texts = [_plain(end, min(place, finest), stripped) for end in ends]
        text = " to ".join(dict.fromkeys(texts))
    if std is None:
        return text
    return f"{text} ± {_plain(std, _place(std, 2), False)}"


def _place(value: float, digits: int) -> int:
    """Return the decimal place at which so many digits of a value end."""
    return digits - 1 - math.floor(math.log10(abs(value))) if value else 0


def _plain(value: float, place: int, stripped: bool) -> str:
    """Return a number that is rounded to a decimal place."""
    rounded = round(value, place) + 0.0
    if rounded and not _LEAST <= abs(rounded) < _MOST:
        digits = place + 1 + math.floor(math.log10(abs(rounded)))
        text = f"{rounded:.{max(digits, 1)}g}"
    else:
        text = f"{rounded:.{max(place, 0)}f}"
        if stripped and "." in text:
            text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


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
    sides = [side for site in sites if site.varied for side in site.sides.values()]
    if any(side.closed for side in sides):
        handles.append(symbol("no flux", marker=STROKE, ms=8, mfc="none", mec=GREY))
    if any(side.kind == "open" for side in sides):
        handles.append(symbol("open side", marker=OPENING, ms=8, mfc="none", mec=GREY))
    kinds = dict.fromkeys(one.kind for site in sites for one in site.features)
    handles += [
        Line2D([], [], **look, label=label) for look, label in (FEATURES[kind] for kind in kinds)
    ]
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
