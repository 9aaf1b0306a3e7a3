"""Records: what identifies them, and the JSON-lines files that long runs append to and resume."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from pdeinv.errors import InputError
from pdeinv.files import atomic_write, check_writable

__all__ = [
    "CELL",
    "TASK",
    "JsonLines",
    "Record",
    "cell_key",
    "read_records",
    "select_records",
    "values_of",
    "write_records",
]

Record: TypeAlias = dict[str, Any]
"""One JSON object: numbers, text and lists by name."""

TASK = ("pde", "task", "grid", "sensors", "noise", "seed", "variant")
"""The names in a record that identify a task."""
CELL = (*TASK, "method", "equireg", "steps", "settings", "given_prior", "samples")
"""The names that identify a cell: a method with its options, on a task."""
# Older records lack these names
_DEFAULTS = {"equireg": False, "steps": 0, "samples": 19, "variant": "standard"}


def values_of(record: Record, names: Iterable[str]) -> tuple[Any, ...]:
    """Return the values under these names; a missing one has the default of older records."""
    return tuple(record.get(name, _DEFAULTS.get(name)) for name in names)


def cell_key(record: Record) -> tuple[Any, ...]:
    """Return what the records of one cell share and those of other cells do not."""
    return values_of(record, CELL)


def read_records(*paths: str | os.PathLike[str]) -> list[Record]:
    """Return the records of one or more JSON-lines files.

    Raises:
        InputError: a file does not exist, or a line of it is not JSON.
    """
    records: list[Record] = []
    for path in map(Path, paths):
        if not path.is_file():
            raise InputError(
                f"{path} must be a file, and does not exist; give JSON-lines files that `pdeinv "
                f"benchmark` wrote"
            )
        for number, line in enumerate(path.read_text().splitlines(), 1):
            try:
                records.append(json.loads(line))
            except ValueError:
                raise InputError(
                    f"{path}, line {number} must be JSON; delete that line and run again"
                ) from None
    return records


def write_records(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Write a whole JSON-lines file, or leave the old one."""
    with atomic_write(path) as temporary:
        temporary.write_text(_lines(records))


def select_records(
    paths: Iterable[str | os.PathLike[str]], methods: Iterable[str] = ()
) -> list[Record]:
    """Return the records of files, or those of some methods alone.

    Raises:
        InputError: no record is left.
    """
    records, methods = read_records(*paths), tuple(methods)
    found = [r for r in records if not methods or r.get("method") in methods]
    if not found:
        known = ", ".join(sorted({r.get("method", "") for r in records} - {""})) or "none"
        raise InputError(
            f"the methods must be among those of the files ({known}), got "
            f"{', '.join(methods) or 'none'}; choose others"
        )
    return found


class JsonLines:
    """A file of records to which a long run appends, and with which a repeated run goes on.

    Opening it drops what a killed run left incomplete at its end: a line without its line break,
    and the last unit of work unless it has as many records as their `rows` states.

    Arguments:
        path: the file, in a folder that exists; created if it is missing.
        key: returns what identifies a unit of work, of each of its records.

    Raises:
        InputError: the file cannot be written, or a line of it is not JSON.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "squares.jsonl"
        >>> for _ in range(2):  # the second run finds all that it needs
        ...     log = JsonLines(path, lambda record: record["n"])
        ...     for n in (1, 2):
        ...         if n not in log:
        ...             log.append({"n": n, "square": n * n})
        >>> [record["square"] for record in log.read()]
        [1, 4]
    """

    def __init__(self, path: str | os.PathLike[str], key: Callable[[Record], Hashable]) -> None:
        self.path, self.key = check_writable(path), key
        self.path.touch()
        self._drop_cut_line()
        records = self.read()
        last = [r for r in records if key(r) == key(records[-1])]
        if last and len(last) < last[0].get("rows", 1):
            records = records[: -len(last)]
            write_records(self.path, records)
        self._keys = {key(r) for r in records}

    def __contains__(self, key: Hashable) -> bool:
        """Return whether the unit of work with this key is in the file."""
        return key in self._keys

    def append(self, *records: Record) -> None:
        """Write the records of a unit of work at the file's end."""
        with self.path.open("a") as stream:
            stream.write(_lines(records))
        self._keys.update(map(self.key, records))

    def read(self) -> list[Record]:
        """Return all records of the file."""
        return read_records(self.path)

    def _drop_cut_line(self) -> None:
        text = self.path.read_text()
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            with atomic_write(self.path) as temporary:
                temporary.write_text(whole)


def _lines(records: Iterable[Record]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
