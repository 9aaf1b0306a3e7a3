"""What was inferred, for people: numbers with their units and intervals, sides and sources."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import xarray as xr

from pdeinv.parameters import LEVEL

__all__ = ["estimate_in_words", "estimates_of", "inferred_fields_of"]

_DIGITS = 2  # significant ones of the width of an interval, and of a number at least


def estimates_of(result: xr.Dataset) -> Iterator[str]:
    """Yield a line for each number that a result has inferred, of each replicate.

    Arguments:
        result: of `pdeinv.reconstruct`.
    """
    if "parameter" not in result.dims:
        return
    units = result["parameter_units"].values
    for part, label in _replicates(result, "parameter_mean"):
        columns = (part[f"parameter_{what}"].values for what in ("mean", "low", "high"))
        for name, unit, mean, low, high in zip(
            result["parameter"].values, units, *columns, strict=True
        ):
            if np.isfinite(mean):  # a replicate may lack it
                yield label + estimate_in_words(str(name), mean, low, high, str(unit))


def inferred_fields_of(result: xr.Dataset) -> Iterator[str]:
    """Yield a line for each side and source that a result has inferred, of each replicate: the
    range of its posterior mean and its mean standard deviation.

    Arguments:
        result: of `pdeinv.reconstruct`.

    Example:
        A line is `left_head LOW–HIGH m along y (± STD on average)`.
    """
    for mean in [str(name) for name in result.data_vars if str(name).endswith("_mean")]:
        if "inferred" not in result[mean].attrs:
            continue
        name, along = mean.removesuffix("_mean"), [d for d in ("x", "y") if d in result[mean].dims]
        units = str(result[mean].attrs["units"])
        for part, label in _replicates(result, mean):
            values, spread = part[mean].values, float(part[f"{name}_std"].mean())
            if not np.isfinite(spread):  # a replicate may lack it
                continue
            place = math.floor(math.log10(spread)) - _DIGITS + 1 if spread > 0 else -12
            ends = [_rounded(float(end), place) for end in (values.min(), values.max())]
            where = f" along {along[0]}" if len(along) == 1 else ""
            yield (
                f"{label}{name} {_between(*dict.fromkeys(ends))}{_behind(units)}{where} "
                f"(± {_rounded(spread, place)} on average)"
            )


def _replicates(result: xr.Dataset, name: str) -> Iterator[tuple[xr.Dataset, str]]:
    """Yield the result of each replicate and its label; the whole and "" where a variable has no
    replicates."""
    if "replicate" not in result[name].dims:
        yield result, ""
        return
    for where in result["replicate"].values:
        yield result.sel(replicate=where), f"replicate {where}: "


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
    between = _between(*(_rounded(end, place) for end in (low, high)))
    return f"{name} {_rounded(mean, place)}{_behind(units)} ({LEVEL} %: {between})"


def _between(*ends: str) -> str:
    """Return the ends of an interval."""
    plain = not any(end.startswith("-") or "e" in end for end in ends)
    return ("–" if plain else " to ").join(ends)


def _behind(units: str) -> str:
    return "" if units == "1" else f" {units}"


def _rounded(value: float, place: int) -> str:
    """Return a number to a decimal place, but with at least a few significant digits."""
    size = math.floor(math.log10(abs(value))) if value else place + 1
    place = min(place, size - _DIGITS + 1)
    if not -4 <= size <= 5:
        return f"{value:.{max(size - place, 0)}e}"
    return f"{round(value, -place):.{max(-place, 0)}f}"
