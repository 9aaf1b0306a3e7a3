"""Layouts: tables of sensors whose readings are yet to come, and the readings that come."""

from __future__ import annotations

import os
from copy import copy
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pdeinv.errors import InputError
from pdeinv.sensors import Sensors
from pdeinv.sensors.columns import LARGEST, numbers
from pdeinv.sensors.csv_files import read_csv, read_open_file
from pdeinv.sensors.sources import SensorTable, as_table

__all__ = ["Layout", "Source", "read_layout", "rows_of", "with_readings"]

Source: TypeAlias = "Sensors | str | os.PathLike | IO | SensorTable"
_OF_READINGS = ("value", "noise_std", "replicate")
"""Columns that may differ between tables of the same sensors."""


class Layout(NamedTuple):
    """Sensors, and the readings of their table.

    Arguments:
        sensors: with readings of nan.
        values: (m,), nan where the table has none.
    """

    sensors: Sensors
    values: np.ndarray


def read_layout(source: Source) -> Layout:
    """Return the sensors of a table whose readings may be missing: its column `value`, or cells of
    it.

    Arguments:
        source: as of `Sensors.read`.

    Raises:
        InputError: the file or the table cannot be used.
    """
    if isinstance(source, Sensors):
        return _emptied(source, np.zeros(len(source), dtype=bool))
    origin, first = "the layout", 0
    if isinstance(source, str | os.PathLike):
        path = Path(os.fsdecode(source))
        table, origin, first = read_csv(path), path.name, 1
    elif callable(getattr(source, "read", None)):
        (table, origin), first = read_open_file(source), 1
    else:
        table = as_table(source)
    missing = np.ones(len(table), dtype=bool)
    if list(table.columns).count("value") == 1:
        missing = np.isnan(numbers(table["value"]))
        table = table.assign(value=table["value"].where(~missing, 0.0))
    elif "value" not in table.columns:
        table = table.assign(value=0.0)
    sensors = Sensors(table, origin=origin, first_row=first)
    return _emptied(sensors, missing[sensors.rows])


def _emptied(sensors: Sensors, missing: np.ndarray) -> Layout:
    values = np.where(missing, np.nan, sensors.table.value.to_numpy())
    empty = copy(sensors)
    object.__setattr__(empty, "table", sensors.table.assign(value=np.nan))
    return Layout(empty, values)


def with_readings(sensors: Sensors, values: np.ndarray) -> Sensors:
    """Return the sensors of a layout with readings (m,), without those that are missing (nan)."""
    given = np.flatnonzero(~np.isnan(values))
    if not len(given):
        raise InputError(
            "values must hold at least one reading, got nan for all; leave this table out"
        )
    filled = copy(sensors)
    object.__setattr__(filled, "table", sensors.table.assign(value=values))
    return filled if len(given) == len(values) else filled.of_rows(given)


def rows_of(sensors: Sensors, values: ArrayLike | Source) -> tuple[np.ndarray, bool]:
    """Return tables of readings (b, m) of the sensors of a layout, and whether there is one alone.

    Arguments:
        sensors: of the layout.
        values: (m,) or (b, m), in the order of the rows of the layout; nan is a missing reading. Or
            a table of the same sensors in the same order.

    Raises:
        InputError: the readings are of other sensors, or one is infinite or too large.
    """
    if isinstance(values, Sensors | str | os.PathLike) or _has_columns(values):
        return _of_same(sensors, read_layout(values))[None], True
    try:
        given = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise InputError(
            f"values must be numbers, one for each of {len(sensors)} sensors, got "
            f"{type(values).__name__}; give an array (m,) or (b, m), or a table of the sensors"
        ) from None
    if given.ndim not in (1, 2) or given.shape[-1] != len(sensors) or not given.size:
        raise InputError(
            f"values must have the shape ({len(sensors)},) or (b, {len(sensors)}), got "
            f"{given.shape}; give one value for each row of the layout, nan for a missing one"
        )
    rows = np.atleast_2d(given)
    wrong = np.argwhere(np.abs(rows) >= LARGEST)
    if len(wrong):
        table, i = wrong[0]
        raise InputError(
            f"values must be below {LARGEST:g} in size, got {rows[table, i]:g} of sensor {i + 1}; "
            f"give nan for a missing reading"
        )
    return rows, given.ndim == 1


def _has_columns(values: Any) -> bool:
    named = isinstance(values, dict) or hasattr(values, "columns") or hasattr(values, "data_vars")
    return named or bool(getattr(getattr(values, "dtype", None), "names", None))


def _of_same(sensors: Sensors, layout: Layout) -> np.ndarray:
    """Return the readings of a table, which must be of the same sensors."""
    ours, theirs = (_places(one.table) for one in (sensors, layout.sensors))
    if len(ours) != len(theirs):
        raise InputError(
            f"readings must be of the {len(ours)} sensors of the plan, got {len(theirs)} rows; "
            f"leave the value of a missing reading empty"
        )
    for column in dict.fromkeys((*ours.columns, *theirs.columns)):
        same = column in ours and column in theirs and _equal(ours[column], theirs[column])
        if not same:
            raise InputError(
                f"readings must be of the sensors of the plan in the same order, got another "
                f"{column!r}; keep the rows of the layout, or prepare a plan of these sensors"
            )
    return layout.values


def _places(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[c for c in _OF_READINGS if c in table.columns])


def _equal(ours: pd.Series, theirs: pd.Series) -> bool:
    if ours.dtype.kind == "f" and theirs.dtype.kind == "f":
        return bool(np.allclose(ours, theirs, rtol=1e-9, atol=0, equal_nan=True))
    return bool((ours.astype(str).to_numpy() == theirs.astype(str).to_numpy()).all())
