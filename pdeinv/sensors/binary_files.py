"""Sensor tables in files that are no text: Excel, Parquet and NetCDF."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pandas as pd

from pdeinv.errors import InputError
from pdeinv.memory import check_memory
from pdeinv.netcdf_input import load_netcdf
from pdeinv.sensors.sources import as_table

__all__ = ["read_binary"]

_HEAD = 8  # bytes that tell the kinds apart
_CELL = 10  # bytes in memory of one in a file, at most
_OLD_EXCEL = b"\xd0\xcf\x11\xe0"


def read_binary(path: Path) -> pd.DataFrame | None:
    """Return the table of an Excel, Parquet or NetCDF file; None of a file of another kind.

    The kind follows from the first bytes, not from the name. Of an Excel file it is the first
    sheet, with the names of the columns in the first row. The variables of a NetCDF file lie along
    one dimension.

    Arguments:
        path: the file.

    Raises:
        InputError: the file is damaged or too large, or a library that reads it is missing.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except (OSError, ValueError):
        return None  # the reader of texts has the message
    if head.startswith(_OLD_EXCEL):
        raise InputError(
            f"{path.name} must be an Excel file of 2007 or later, got an older one; save it as "
            f".xlsx or as comma-separated text (CSV)"
        )
    if head.startswith(b"PK\x03\x04"):
        return _excel(path)
    if head.startswith(b"PAR1"):
        return _parquet(path)
    if head.startswith((b"\x89HDF", b"CDF")):
        remedy = "must be a NetCDF file with a table of sensors; give another, or write it again"
        return as_table(load_netcdf(path, remedy))
    return None


def _excel(path: Path) -> pd.DataFrame:
    _check_library("openpyxl", "an Excel file")
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(one.file_size for one in archive.infolist())
        check_memory(_CELL * size, f"the sheets of {path.name}", "give a smaller file")
        return pd.read_excel(path, engine="openpyxl")
    except InputError:
        raise
    except Exception as error:  # openpyxl has no common one
        raise _damaged(path, "an Excel file", error) from None


def _parquet(path: Path) -> pd.DataFrame:
    _check_library("pyarrow", "a Parquet file")
    try:
        from pyarrow import parquet

        with parquet.ParquetFile(path) as file:
            groups = (file.metadata.row_group(i) for i in range(file.metadata.num_row_groups))
            size = sum(group.total_byte_size for group in groups)
            check_memory(_CELL * size, f"the columns of {path.name}", "give a smaller file")
            return file.read().to_pandas()
    except InputError:
        raise
    except Exception as error:  # pyarrow's are of several kinds
        raise _damaged(path, "a Parquet file", error) from None


def _check_library(name: str, kind: str) -> None:
    try:
        __import__(name)
    except ImportError:
        raise InputError(
            f"{name} must be installed to read {kind}, got none; pip install {name}, or save the "
            f"table as comma-separated text (CSV)"
        ) from None


def _damaged(path: Path, kind: str, error: Exception) -> InputError:
    reason = " ".join(str(error).split())[:100] or type(error).__name__
    return InputError(
        f"{path.name} must be {kind} with a table of sensors, got one that cannot be read "
        f"({reason}); save it again, or as comma-separated text (CSV)"
    )
