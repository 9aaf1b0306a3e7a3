"""The columns of a table of readings, and the value in each of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from pdeinv.column_names import instead_of, listed, meant_by, remedy_for, shown
from pdeinv.errors import InputError, warn_input

__all__ = [
    "COLUMNS",
    "LARGEST",
    "NUMERIC",
    "OPTIONAL",
    "REQUIRED",
    "Rows",
    "check_columns",
    "checked_values",
    "experiment_name",
    "is_number",
    "times_of",
]

NUMERIC = ("x", "y", "value", "noise_std")
"""Columns of numbers."""
REQUIRED = ("field", "x", "y", "value")
"""Columns that every table has."""
OPTIONAL = ("experiment", "time")
"""Columns that state of what the readings are."""
COLUMNS = (*REQUIRED, "noise_std", *OPTIONAL)
"""Columns that are used."""
LARGEST = 1e30
"""Bound of readings and of their noise: their squares stay finite."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOTHING = {"", "nan", "na", "n/a", "<na>", "null", "none"}


@dataclass(frozen=True)
class Rows:
    """Names of a table's rows, for messages.

    Arguments:
        origin: origin of the table.
        first: number of the first row.
    """

    origin: str
    first: int

    def name(self, i: int) -> str:
        """Return the name of the row at a position."""
        return f"{self.origin}, row {i + self.first}"

    def refuse(self, bad: ArrayLike, message: Callable[[int], str]) -> None:
        """Raise an InputError about the first bad row, if there is one."""
        found = np.flatnonzero(bad)
        if len(found):
            raise InputError(f"{self.name(int(found[0]))}: {message(int(found[0]))}")


def check_columns(table: pd.DataFrame, origin: str) -> tuple[str, ...]:
    """Return the columns that are not used, and name them in an InputWarning.

    Arguments:
        table: the readings.
        origin: origin of the table, for the message.

    Raises:
        InputError: a column is missing, misspelt or there twice, or the table is empty; or a column
            holds an uncertainty while there is no `noise_std`.
    """
    names = list(table.columns)
    for column in REQUIRED:
        if column not in names:
            raise InputError(f"{origin} has no column {column!r}{instead_of(column, names)}")
    for column in COLUMNS:
        if names.count(column) > 1:
            raise InputError(f"{origin} has the column {column!r} more than once; keep one of them")
    if table.empty:
        raise InputError(f"{origin} has no readings; give it at least one row")
    unused = tuple(dict.fromkeys(name for name in names if name not in COLUMNS))
    # A misspelt column of noise must not make its readings exact
    for column in unused if "noise_std" not in names else ():
        remedy = remedy_for(column)
        if remedy and _holds_numbers(table.loc[:, np.array(names) == column]):
            raise InputError(
                f"{origin} has a column {shown(column)!r} but no 'noise_std'; {remedy}, or drop it"
            )
    if unused:
        what = "column {} is" if len(unused) == 1 else "columns {} are"
        absent = [column for column in OPTIONAL if column not in names]
        near = [(name, meant) for name in unused if (meant := meant_by(name, absent))]
        remedy = "if readings at one place differ in it, keep those of one depth"
        if near:
            remedy = f"did you mean {near[0][1]!r} by {shown(near[0][0])!r}?"
        warn_input(
            f"{origin}: the {what.format(listed(unused))} not used, only field, x, y, value, "
            f"noise_std, experiment and time; {remedy}"
        )
    return unused


def checked_values(table: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return the columns `COLUMNS`: text without blanks around it, and float64.

    An empty cell of `noise_std` is nan: its noise is not stated. There is a column `experiment`
    or `time` only where the table has one. Times stay as they are: see `times_of`.

    Arguments:
        table: the readings, of any types, whose columns `check_columns` accepts.
        rows: names of the rows.

    Raises:
        InputError: a cell holds what is no name or no number, or a number out of its range.
    """
    field = [_text(given) for given in table["field"].tolist()]
    rows.refuse([not f for f in field], lambda i: "field is empty; name the field of the reading")
    found: dict[str, object] = {"field": field}
    for column in NUMERIC:
        if column in table:
            found[column] = _checked_numbers(column, table[column], rows)
        else:
            found[column] = np.nan
    if "experiment" in table:
        found["experiment"] = [experiment_name(given) for given in table["experiment"].tolist()]
    if "time" in table:
        found["time"] = table["time"].to_numpy()
    return pd.DataFrame(found)


def times_of(table: pd.DataFrame, rows: Rows) -> np.ndarray:
    """Return the times (m,) of readings of a physics that evolves, nan where a cell is empty.

    Raises:
        InputError: a cell holds no number.
    """
    if "time" not in table:
        return np.full(len(table), np.nan)
    given = table["time"]
    times = _numbers(given)
    rows.refuse(
        np.isinf(times),
        lambda i: (
            f"time must be a number, got {shown(given.iloc[i])}; give the time since the start, "
            f"or leave it empty for the end"
        ),
    )
    return times


def experiment_name(value: object) -> str:
    """Return the name of an experiment as text; "" for none, and "1" for the number 1."""
    text = _text(value)
    if text.lower() in _NOTHING:
        return ""
    return re.sub(r"\.0+$", "", text) if is_number(text) else text


def is_number(text: str) -> bool:
    """Return whether a text without blanks is a number with a decimal point."""
    return _NUMBER.fullmatch(text) is not None


def _checked_numbers(column: str, given: pd.Series, rows: Rows) -> np.ndarray:
    values = _numbers(given)
    missing = np.isnan(values) & (column != "noise_std")
    rows.refuse(
        missing | np.isinf(values),
        lambda i: (
            f"{column} must be a finite number, got "
            f"{'nothing or nan' if missing[i] else shown(given.iloc[i])}; mend or drop the row"
        ),
    )
    _check_range(column, values, rows)
    return values


def _check_range(column: str, values: np.ndarray, rows: Rows) -> None:
    rows.refuse(
        np.abs(values) >= LARGEST,
        lambda i: (
            f"{column} must be below {LARGEST:g} in size, got {values[i]:g}; drop the row if it "
            f"is a fill value, or use other units"
        ),
    )
    if column == "noise_std":
        rows.refuse(
            values < 0,
            lambda i: (
                f"noise_std must not be negative, got {values[i]:g}; use 0 for an exact reading"
            ),
        )
        rows.refuse(
            (values > 0) & (values < 1 / LARGEST),
            lambda i: (
                f"noise_std must be 0 or at least {1 / LARGEST:g}, got {values[i]:g}; use 0 for "
                f"an exact reading"
            ),
        )


def _numbers(given: pd.Series) -> np.ndarray:
    """Return the numbers of a column: nan for nothing, infinite for what is no number."""
    if isinstance(given.dtype, np.dtype) and given.dtype.kind in "iuf":
        with np.errstate(over="ignore"):
            return given.to_numpy(dtype=float)
    return np.array([_number(value) for value in given.tolist()], dtype=float)


def _number(value: object) -> float:
    if value is None or value is pd.NA:
        return np.nan
    if isinstance(value, str):
        text = value.strip().replace("\N{MINUS SIGN}", "-")
        if text.lower() in _NOTHING:
            return np.nan
        return float(text) if is_number(text) else np.inf
    # numpy's durations count as integers
    if isinstance(value, Real | Decimal) and not isinstance(value, bool | np.timedelta64):
        try:
            return float(value)
        except (OverflowError, ValueError):
            return np.inf
    return np.inf


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    return str(value).strip()


def _holds_numbers(columns: pd.DataFrame) -> bool:
    return any(c.isdigit() for given in columns.to_numpy().ravel() for c in str(given))
