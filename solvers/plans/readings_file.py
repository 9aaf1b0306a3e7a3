"""A growing file of readings: one line for each table, as loggers write them."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdeinv.errors import InputError, warn_input
from pdeinv.files import reading_failure
from pdeinv.sensors.columns import LARGEST, numbers

__all__ = ["ReadingsFile", "Row", "new_rows"]

_TIME = "time"


class Row(NamedTuple):
    """A line of a file of readings.

    Arguments:
        label: of the table, such as "time 12:00" or "line 3".
        values: (m,), nan where a cell is empty.
    """

    label: str
    values: np.ndarray


class ReadingsFile:
    """The lines that have been added to a file of readings since the last look.

    The file is comma-separated text. Its first line names the columns: one for each sensor, in the
    order of the rows of the layout, and optionally a first one `time`. Each further line is a table
    of readings. An empty cell is a missing reading. Empty lines and lines that start with `#` are
    left out. A line counts once its end is written. A file that has become shorter is a new one,
    and is read from its start.

    Arguments:
        path: the file, which may not exist yet.
        m: number of sensors.
    """

    def __init__(self, path: Path, m: int):
        self.path, self.m = path, m
        self._begin()

    def _begin(self) -> None:
        self._offset, self._line = 0, 0
        self._timed: bool | None = None  # None before the header

    def rows(self) -> list[Row]:
        """Return the new tables; a line that is none is left out, with an InputWarning.

        Raises:
            InputError: the file cannot be read, or its first line has not the columns.
        """
        found = []
        for line in self._complete_lines().splitlines():
            self._line += 1
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            cells = [cell.strip() for cell in next(csv.reader([line]), [])]
            if self._timed is None:
                self._timed = self._is_timed(cells)
                continue
            try:
                found.append(self._row(cells))
            except InputError as error:
                warn_input(f"{self.path.name}, line {self._line}: {error}; the line is left out")
        return found

    def _complete_lines(self) -> str:
        try:
            if self.path.stat().st_size < self._offset:
                self._begin()
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            self._begin()
            return ""
        except OSError as error:
            raise reading_failure(self.path, error, "cannot be read; give another") from None
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.decode("utf-8-sig", errors="replace")

    def _is_timed(self, names: list[str]) -> bool:
        timed = names[0].lower() == _TIME
        count = len(names) - timed
        words = [name for name in names if np.isinf(numbers(pd.Series([name], dtype=object))[0])]
        if count != self.m or not words:
            raise InputError(
                f"the first line of {self.path.name} must name {self.m} columns, one for each "
                f"sensor of the layout, behind an optional 'time', got {', '.join(names[:3])}"
                f"{', ...' if len(names) > 3 else ''} ({count} without a time); mend it"
            )
        return timed

    def _row(self, cells: list[str]) -> Row:
        wanted = self.m + bool(self._timed)
        if len(cells) != wanted:
            raise InputError(f"a table must have {wanted} cells, got {len(cells)}")
        own = cells[bool(self._timed) :]
        values = numbers(pd.Series(own, dtype=object))
        wrong = np.flatnonzero(np.abs(values) >= LARGEST)
        if len(wrong):
            i = int(wrong[0])
            raise InputError(
                f"a reading must be a number below {LARGEST:g} in size, got {own[i][:30]!r} of "
                f"sensor {i + 1}"
            )
        return Row(f"time {cells[0]}" if self._timed else f"line {self._line}", values)


def new_rows(
    file: ReadingsFile, every: float = 1.0, polls: int | None = None
) -> Iterator[list[Row]]:
    """Yield the new tables of a file at each look that finds some.

    Arguments:
        file: the file.
        every: seconds between two looks.
        polls: looks in all; None for no end.
    """
    looks = 0
    while True:
        if rows := file.rows():
            yield rows
        looks += 1
        if polls is not None and looks >= polls:
            return
        time.sleep(every)
