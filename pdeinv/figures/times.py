"""Parts of a result or of a truth, of one experiment or replicate or at one time, for figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from pdeinv.fields import SAME_TIME
from pdeinv.sensors.columns import experiment_name

__all__ = ["part_at", "place_of", "short_coordinate", "with_plain_times"]

_DECODED = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")
_CODES = dict(zip(_DECODED, ("W", "D", "h", "m", "s", "ms", "us"), strict=True))
"""Units that xarray decodes, and their codes in numpy."""


def with_plain_times(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset whose times are numbers in their unit: those of a stored one may be decoded.

    Some versions of xarray decode a coordinate in days or hours to durations.
    """
    if "time" not in dataset.coords or dataset["time"].dtype.kind != "m":
        return dataset
    time = dataset["time"]
    unit = str(time.encoding.get("units", time.attrs.get("units", "days")))
    numbers = time.values / np.timedelta64(1, _CODES.get(unit.rstrip("s") + "s", "D"))  # type: ignore[call-overload]
    return dataset.assign_coords(time=(time.dims, numbers, {**time.attrs, "units": unit}))


def short_coordinate(value: object) -> str:
    """Return a time, or the name of a replicate, an experiment or a sample, for people."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def place_of(values: np.ndarray, value: object) -> int | None:
    """Return the index of a name among names (m,), or of the nearest of times (m,) that agree with
    a time; None where there is none."""
    if isinstance(value, str):
        found = np.flatnonzero([experiment_name(given) == value for given in pd.Series(values)])
        return int(found[0]) if len(found) else None
    if values.dtype.kind not in "iuf" or not len(values):
        return None
    distance = np.abs(values.astype(float) - float(value))  # type: ignore[arg-type]
    if np.isnan(distance).all():
        return None
    nearest = int(np.nanargmin(distance))
    return nearest if distance[nearest] <= SAME_TIME * abs(float(value)) else None  # type: ignore[arg-type]


def part_at(truth: xr.Dataset, dimension: str, value: object, whole: bool) -> xr.Dataset | None:
    """Return the part of a truth of one experiment or replicate or at one time; None where it has
    none.

    Arguments:
        truth: with the coordinate, or without.
        dimension: `experiment`, `replicate` or `time`.
        value: the name, or the time.
        whole: whether a truth without the coordinate is that of this place.
    """
    if dimension not in truth.coords:
        return truth if whole else None
    found = place_of(np.atleast_1d(truth[dimension].values), value)
    if found is None:
        return None
    return truth.isel({dimension: found}) if dimension in truth.dims else truth
