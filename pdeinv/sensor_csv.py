"""The format of sensor tables: their CSV files and their columns."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import pandas as pd

from pdeinv.errors import InputError

__all__ = ["NUMERIC", "check_columns", "read_csv"]

NUMERIC = ("x", "y", "value", "noise_std")
"""Columns of numbers."""
_REQUIRED = ("field", "x", "y", "value")


def read_csv(path: Path) -> pd.DataFrame:
    """Return the table of a CSV file with a header.

    Spaces after commas, empty lines and comments (`#`) are ignored.

    Arguments:
        path: the file, in UTF-8.

    Raises:
        InputError: the file cannot be read, or is not comma-separated text.
    """
    text = _read_text(path)
    try:
        return _parse(text)
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path.name} is empty; give it the columns field, x, y, value[, noise_std]"
        ) from None
    except pd.errors.ParserWarning:
        raise InputError(f"{path.name}{_long_rows(text)}") from None
    except pd.errors.ParserError as error:
        reason = str(error).strip().splitlines()[-1].rpartition("C error: ")[-1]
        raise InputError(f"{path.name} cannot be read as CSV ({reason}); mend that line") from None


def check_columns(table: pd.DataFrame, origin: str) -> None:
    """Check the columns of a table of readings.

    Arguments:
        table: the readings.
        origin: origin of the table, for the message.

    Raises:
        InputError: a column is missing, misspelt or there twice, or the table is empty.
    """
    missing = [c for c in _REQUIRED if c not in table]
    if missing:
        raise InputError(
            f"{origin} has no column {missing[0]!r}; its columns, separated by commas, "
            f"must be field, x, y, value and, optionally, noise_std (found: "
            f"{', '.join(map(repr, table.columns)) or 'none'})"
        )
    for column in ("field", *NUMERIC):
        if (table.columns == column).sum() > 1:
            raise InputError(f"{origin} has the column {column!r} more than once; keep one of them")
    if table.empty:
        raise InputError(f"{origin} has no readings; give it at least one row")
    # A misspelt column of noise must not make its readings exact
    for column in table.columns if "noise_std" not in table else ():
        words = re.split(r"[^a-z]+", column.lower())
        if any(word.startswith(("noise", "std", "sigma", "err", "uncert")) for word in words):
            raise InputError(
                f"{origin} has a column {column!r} but no 'noise_std'; rename or drop it"
            )


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise UnicodeError
    except FileNotFoundError:
        raise InputError(f"the sensor file {str(path)!r} does not exist; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the name of a sensor file in it") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); choose a readable file"
        ) from None
    except UnicodeError:
        raise InputError(
            f"{path.name} is not a text file in UTF-8; save the table as comma-separated text (CSV)"
        ) from None
    return text


def _parse(text: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        # Without this and `index_col`, pandas would make the first column of rows that are longer
        # than the header an index.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        settings = {"skipinitialspace": True, "comment": "#", "index_col": False}
        header = pd.read_csv(io.StringIO(text), header=None, nrows=1, dtype=str, **settings)
        table = pd.read_csv(io.StringIO(text), **settings)
    if header.shape[1] != table.shape[1]:
        return table
    # pandas would rename a second "value" to "value.1", and hide the mistake
    return table.set_axis(header.iloc[0].astype(str).tolist(), axis=1)


def _long_rows(text: str) -> str:
    """Return the sentence about a table with rows longer than its header."""
    lines = [line.partition("#")[0] for line in text.splitlines()]
    head = next(line for line in lines if line.strip())
    for mark, name in ((";", "semicolons"), ("\t", "tabs")):
        if mark in head and "," not in head:
            return f" has {name} between its values; save it with commas, and points in decimals"
    long = next(
        (i for i, line in enumerate(lines, 1) if line.count(",") > head.count(",")),
        "of quoted values",
    )
    return (
        f", line {long} has more values than columns; mend it, with commas between values and "
        f"points in decimals"
    )
