"""The columns of a table of readings, and the value in each of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from numbers import Real

import numpy as np
import pandas as pd

from pdeinv.errors import InputError, warn_input
from pdeinv.sensors.column_names import (
    instead_of,
    is_same,
    listed,
    meant_by,
    nearest,
    remedy_for,
    shown,
)
from pdeinv.sensors.kinds import KINDS, kinds_of
from pdeinv.sensors.rows import Rows

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
    "numbers",
    "refuse_misnamed",
]

REQUIRED = ("field", "x", "y", "value")
"""Columns that every table has."""
_GEOMETRY = ("radius", "x2", "y2")
_LABELS = ("experiment", "instrument", "replicate")
_WORDS = {"kind": KINDS, "censored": ("left", "right")}
_MEANINGS = {
    "censored": "write left where the true reading is below the value, and right where it is above"
}
_DECISIVE = (*_GEOMETRY, *_WORDS, "replicate")
"""Columns without which a reading would be taken as something else."""
OPTIONAL = ("experiment", "time", *_GEOMETRY, "kind", "censored", "instrument", "replicate")
"""Columns that state of what the readings are, and what reads them."""
NUMERIC = ("x", "y", "value", "noise_std", "time", *_GEOMETRY)
"""Columns of numbers."""
COLUMNS = (*REQUIRED, "noise_std", *OPTIONAL)
"""Columns that are used."""
LARGEST = 1e30
"""Bound of readings and of their noise: their squares stay finite."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_NOTHING = {"", "nan", "na", "n/a", "nat", "<na>", "null", "none"}


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
    refuse_misnamed(names, _DECISIVE, origin)
    if unused:
        what = "column {} is" if len(unused) == 1 else "columns {} are"
        absent = [column for column in OPTIONAL if column not in names]
        near = [(name, meant) for name in unused if (meant := meant_by(name, absent))]
        remedy = "if readings at one place differ in it, keep those of one depth"
        if near:
            remedy = f"did you mean {near[0][1]!r} by {shown(near[0][0])!r}?"
        warn_input(
            f"{origin}: the {what.format(listed(unused))} not used, only field, x, y, value, "
            f"noise_std, {', '.join(OPTIONAL[:-1])} and {OPTIONAL[-1]}; {remedy}"
        )
    return unused


def refuse_misnamed(names: list[str], columns: tuple[str, ...], origin: str) -> None:
    """Refuse a name that is that of a column but for case, blanks or a unit, where that is missing.

    Raises:
        InputError: there is one.
    """
    for column in columns:
        for name in names if column not in names else ():
            if is_same(name, column):
                raise InputError(
                    f"{origin} has a column {shown(name)!r} but no {column!r}; rename it to "
                    f"{column!r}, or drop it"
                )


def checked_values(table: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    """Return the columns `COLUMNS`: text without blanks around it, and float64.

    An empty cell of `noise_std` is nan: its noise is unknown. There is a `noise_std` or a column of
    `OPTIONAL` only where the table has one, but for `kind`, which follows from `radius`, `x2` and
    `y2` too.
    Times stay as they are: see `pdeinv.sensors.times`.

    Arguments:
        table: the readings, of any types, whose columns `check_columns` accepts.
        rows: names of the rows.

    Raises:
        InputError: a cell holds what is no name or no number, or a number out of its range.
    """
    field = _checked_names("field", table["field"], _text, rows)
    rows.refuse([not f for f in field], lambda i: "field is empty; name the field of the reading")
    found: dict[str, object] = {"field": field}
    for column in (*REQUIRED[1:], "noise_std"):
        if column in table:
            found[column] = _checked_numbers(column, table[column], rows)
    for column in _LABELS:
        if column in table:
            found[column] = _checked_names(column, table[column], experiment_name, rows)
    if "time" in table:
        found["time"] = table["time"].to_numpy()
    for column in _GEOMETRY:
        if column in table:
            found[column] = _checked_numbers(column, table[column], rows)
    for column, words in _WORDS.items():
        if column in table:
            found[column] = _checked_words(column, table[column], words, rows)
    checked = pd.DataFrame(found)
    if {"kind", *_GEOMETRY} & {*table.columns}:
        checked["kind"] = kinds_of(checked, rows)
    return checked


def experiment_name(value: object) -> str:
    """Return the name of an experiment, an instrument or a replicate as text; "" for none, "1" for
    the number 1, and a date without its time at midnight."""
    text = re.sub(r"(?<=\d)[ T]00:00(:00)?(\.0+)?$", "", _text(value))
    if text.lower() in _NOTHING:
        return ""
    return re.sub(r"\.0+$", "", text) if is_number(text) else text


def is_number(text: str) -> bool:
    """Return whether a text without blanks is a number with a decimal point."""
    return _NUMBER.fullmatch(text) is not None


def _checked_numbers(column: str, given: pd.Series, rows: Rows) -> np.ndarray:
    values = numbers(given)
    missing = np.isnan(values) & (column in REQUIRED)
    rows.refuse(
        missing | np.isinf(values),
        lambda i: (
            f"{column} must be a finite number, got "
            f"{'nothing or nan' if missing[i] else shown(given.iloc[i])}; "
            f"{_remedy(column, given.iloc[i])}"
        ),
    )
    _check_range(column, values, rows)
    return values


def _remedy(column: str, given: object) -> str:
    """Return what to do with a cell that is no number."""
    text = _text(given)
    for sign, word in {"<": "left", ">": "right"}.items():
        if column == "value" and text.startswith(sign):
            return f"give the limit {shown(text[1:].strip())} alone, and {word!r} in 'censored'"
    return "mend or drop the row"


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


def _checked_names(
    column: str, given: pd.Series, named: Callable[[object], str], rows: Rows
) -> list[str]:
    """Return the names in a column, as `named` reads them: text that a file can hold."""
    found = [named(cell) for cell in given.tolist()]
    rows.refuse(
        [not _is_text(name) for name in found],
        lambda i: (
            f"{column} must be text that UTF-8 can hold, got {shown(found[i])}; write it again"
        ),
    )
    return found


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # half a character, such as of an argument that is not in UTF-8
        return False
    return True


def _checked_words(column: str, given: pd.Series, words: tuple[str, ...], rows: Rows) -> list[str]:
    """Return the words of a column, "" where a cell is empty."""
    found = [text.lower() for text in map(_text, given.tolist())]
    found = ["" if text in _NOTHING else text for text in found]
    rows.refuse(
        [text not in ("", *words) for text in found],
        lambda i: (
            f"{column} must be {' or '.join(words)}, or empty, got {shown(given.iloc[i])!r}; "
            f"{_MEANINGS.get(column) or nearest(found[i], words)}"
        ),
    )
    return found


def numbers(given: pd.Series) -> np.ndarray:
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
