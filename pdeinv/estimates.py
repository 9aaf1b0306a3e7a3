"""Inferred numbers for people: an estimate, its unit and its interval in a few digits."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

from pdeinv.parameters import LEVEL

__all__ = ["estimate_in_words", "estimates_of"]

_DIGITS = 2  # significant ones of the width of an interval, and of a number at least


def estimates_of(result: xr.Dataset) -> Iterator[str]:
    """Yield a line for each number that a result has inferred, of each replicate.

    Arguments:
        result: of `pdeinv.reconstruct`.
    """
    if "parameter" not in result.dims:
        return
    units = result["parameter_units"].values
    several = "replicate" in result["parameter_mean"].dims
    for where in result["replicate"].values if several else [None]:
        part = result.sel(replicate=where) if several else result
        columns = (part[f"parameter_{what}"].values for what in ("mean", "low", "high"))
        for name, unit, mean, low, high in zip(
            result["parameter"].values, units, *columns, strict=True
        ):
            if np.isfinite(mean):  # a replicate may lack it
                line = estimate_in_words(str(name), mean, low, high, str(unit))
                yield f"replicate {where}: {line}" if several else line


def estimate_in_words(name: str, mean: float, low: float, high: float, units: str = "1") -> str:
    """Return an estimate as a line.

    Arguments:
        name: of the number.
        mean: the estimate.
        low, high: ends of its interval.
        units: of the number.

    Example:
        >>> estimate_in_words("length", 413.2, 281.7, 638.1, "m")
        'length 410 m (90 %: 280–640)'
    """
    place = math.floor(math.log10(high - low)) - _DIGITS + 1 if high > low else -12
    unit = "" if units == "1" else f" {units}"
    ends = [_rounded(end, place) for end in (low, high)]
    between = " to " if low < 0 or any("e" in end for end in ends) else "–"
    return f"{name} {_rounded(mean, place)}{unit} ({LEVEL} %: {between.join(ends)})"


def _rounded(value: float, place: int) -> str:
    """Return a number to a decimal place, but with at least a few significant digits."""
    size = math.floor(math.log10(abs(value))) if value else place + 1
    place = min(place, size - _DIGITS + 1)
    if not -4 <= size <= 5:
        return f"{value:.{max(size - place, 0)}e}"
    return f"{round(value, -place):.{max(-place, 0)}f}"
