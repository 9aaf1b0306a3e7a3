"""Records: the JSON-lines files that long runs append to and resume, and their one reader.

Every line is checked against the schema of its kind (see `kinds`), so that all that uses a record
can rely on it.
"""

from __future__ import annotations

import json
import os
import weakref
from collections.abc import Callable, Collection, Hashable, Iterable
from pathlib import Path
from typing import Any, TypeAlias

from pdeinv.appending import append_whole
from pdeinv.benchmarks.kinds import BASELINES, CELL, INSTANCES, SUMMARIES, TASK, Kind
from pdeinv.benchmarks.prior_kinds import PRIOR_ABLATIONS, PRIORS
from pdeinv.benchmarks.study_kinds import STUDY_KINDS
from pdeinv.checks import described
from pdeinv.errors import InputError, NumericalError
from pdeinv.files import atomic_write, check_writable
from pdeinv.locking import hold
from pdeinv.schema import parse_json

__all__ = [
    "CELL",
    "TASK",
    "JsonLines",
    "Record",
    "cell_key",
    "read_records",
    "select_records",
    "settings_of",
    "values_of",
    "write_records",
]

Record: TypeAlias = dict[str, Any]
"""One JSON object: numbers, text and lists by name."""
Places: TypeAlias = dict[tuple[Any, ...], tuple[Path, int]]
"""The file and the line of a record, by what identifies it."""

_KINDS = (INSTANCES, SUMMARIES, BASELINES, *STUDY_KINDS, PRIORS, PRIOR_ABLATIONS)
# Older records lack these names
_DEFAULTS = {"equireg": False, "steps": 0, "samples": 19, "variant": "standard", "family": ""}
_REMEDY = "correct it, or copy the file again from where it was made"


def values_of(record: Record, names: Iterable[str]) -> tuple[Any, ...]:
    """Return the values under these names; a missing one has the default of older records."""
    return tuple(record.get(name, _DEFAULTS.get(name)) for name in names)


def settings_of(record: Record) -> dict[str, Any]:
    """Return the settings of a record's method that are not the defaults."""
    return dict(json.loads(record.get("settings") or "{}"))


def cell_key(record: Record) -> tuple[Any, ...]:
    """Return what the records of one cell share and those of other cells do not."""
    return values_of(record, CELL)


def read_records(
    *paths: str | os.PathLike[str], kinds: Collection[Kind] | None = None
) -> list[Record]:
    """Return the records of one or more JSON-lines files.

    Arguments:
        paths: of the files; each has lines of one kind.
        kinds: those that can be used, of which all files must share one; any if None.

    Raises:
        InputError: a file does not exist or has no line, or a line is not JSON, is of another kind,
            does not fit the schema of its kind, or repeats another one.
    """
    records: list[Record] = []
    shared: Kind | None = None
    places: Places = {}
    for path in map(Path, paths):
        found, kind = _read(path, _KINDS if kinds is None else kinds, shared)
        if kinds is None:
            places = {}
        elif not found:
            raise InputError(f"{path} is empty; give a file with records")
        else:
            shared = kind
        if kind:
            _check_once(kind, found, path, places)
        records += found.values()
    return records


def write_records(path: str | os.PathLike[str], records: Iterable[Record]) -> None:
    """Write a whole JSON-lines file, or leave the old one."""
    with atomic_write(path) as temporary:
        temporary.write_text(_lines(records))


def select_records(
    paths: Iterable[str | os.PathLike[str]],
    methods: Iterable[str] = (),
    kinds: Collection[Kind] = (SUMMARIES,),
) -> list[Record]:
    """Return the records of files, or those of some methods alone.

    Raises:
        InputError: as `read_records`, or no record is left.
    """
    records, methods = read_records(*paths, kinds=kinds), tuple(methods)
    found = [r for r in records if not methods or r.get("method") in methods]
    if not found:
        names = ", ".join(sorted({r.get("method", "") for r in records} - {""})) or "none"
        raise InputError(
            f"the methods must be among those of the files ({names}), got "
            f"{', '.join(methods) or 'none'}; choose others"
        )
    return found


class JsonLines:
    """A file of records to which a long run appends, and with which a repeated run goes on.

    Opening it drops what a killed run left incomplete at its end: the beginning of a record without
    its line break, and the last unit of work unless it has as many records as their `rows` states.
    Whatever else does not fit is refused, and the file stays as it is. While it is open, no other
    process can open it.

    Arguments:
        path: the file, in a folder that exists; the first record creates it if it is missing.
        kind: of the records.
        key: returns what identifies a unit of work, of each of its records; by default the values
            of the kind's `identity`.

    Raises:
        InputError: the file cannot be written, another process has it open, or as `read_records`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "squares.jsonl"
        >>> squares = Kind("a square", dict[str, int], ("square",), ("n",))
        >>> for _ in range(2):  # the second run finds all that it needs
        ...     log = JsonLines(path, squares)
        ...     for n in (1, 2):
        ...         if (n,) not in log:
        ...             log.append({"n": n, "square": n * n})
        >>> [record["square"] for record in log.read()]
        [1, 4]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        kind: Kind,
        key: Callable[[Record], Hashable] | None = None,
    ) -> None:
        self.path, self.kind = check_writable(path), kind
        weakref.finalize(self, hold(self.path))
        self.key = key = key or (lambda record: values_of(record, kind.identity))
        content = self._content()
        whole = content[: content.rfind(b"\n") + 1]
        # The lines are checked before anything is dropped: the file may not be one of records
        records = list(self._checked(whole))
        self._check_cut(content[len(whole) :])
        last = [r for r in records if key(r) == key(records[-1])]
        if last and len(last) < last[0].get("rows", 1):
            records = records[: -len(last)]
            lines = [line for line in whole.split(b"\n") if line.strip()]
            whole = b"".join(line + b"\n" for line in lines[: -len(last)])
        if whole != content:
            with atomic_write(self.path) as temporary:
                temporary.write_bytes(whole)
        self._keys = {key(r) for r in records}

    def __contains__(self, key: Hashable) -> bool:
        """Return whether the unit of work with this key is in the file."""
        return key in self._keys

    def append(self, *records: Record) -> None:
        """Write the records of a unit of work at the file's end.

        Raises:
            InputError: the file cannot be written; it is as it was.
            NumericalError: one of them could not be read again.
        """
        for record in records:
            if problem := self.kind.problem(record):
                raise NumericalError(
                    f"a record of {self.path} must fit its schema, and {problem}; change what "
                    f"makes it"
                )
        append_whole(self.path, _lines(records).encode())
        self._keys.update(map(self.key, records))

    def read(self) -> list[Record]:
        """Return all records of the file."""
        return list(self._checked(self._content()))

    def _content(self) -> bytes:
        return self.path.read_bytes() if self.path.exists() else b""

    def _checked(self, content: bytes) -> Iterable[Record]:
        found, _ = _parse(content, self.path, (self.kind,), self.kind)
        _check_once(self.kind, found, self.path, {})
        return found.values()

    def _check_cut(self, rest: bytes) -> None:
        """Refuse an end without a line break that is not the beginning of a record."""
        if rest and not rest.startswith(b'{"'[: len(rest)]):
            raise InputError(
                f"the last line of {self.path} must be a record, got "
                f"{described(rest.decode(errors='replace'))}; give the name of another file"
            )


def _read(
    path: Path, kinds: Collection[Kind], shared: Kind | None
) -> tuple[dict[int, Record], Kind | None]:
    """Return the records of a file by their line, and their kind if there are any."""
    if not path.is_file():
        raise InputError(
            f"{path} must be a file, and does not exist; give JSON-lines files that `pdeinv "
            f"benchmark` wrote"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); give a file that can"
        ) from None
    return _parse(content, path, kinds, shared)


def _parse(
    content: bytes, path: Path, kinds: Collection[Kind], kind: Kind | None
) -> tuple[dict[int, Record], Kind | None]:
    records: dict[int, Record] = {}
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line or line.isspace():
            continue
        try:
            record = parse_json(line)
        except ValueError as error:
            raise InputError(
                f"line {number} of {path} must be JSON, and is not ({error}); {_REMEDY}"
            ) from None
        kind = kind or _kind_of(record, path, number, kinds)
        if problem := kind.problem(record):
            other = next((k for k in _KINDS if k is not kind and k.fits(record)), None)
            if other and not kind.fits(record):
                problem = f"the record must be {kind.name}, as the others are, got {other.name}"
            raise InputError(f"{problem}, in line {number} of {path}; {_REMEDY}")
        records[number] = record
    return records, kind if records else None


def _kind_of(record: object, path: Path, number: int, kinds: Collection[Kind]) -> Kind:
    """Return the kind of a file's first record, in this line."""
    found = next((kind for kind in _KINDS if kind.fits(record)), None)
    if found and found in kinds:
        return found
    several = len(kinds) == len(_KINDS)
    wanted = "a record of a benchmark" if several else " or ".join(k.name for k in kinds)
    got = found.name if found else described(record)
    raise InputError(f"line {number} of {path} must be {wanted}, got {got}; give another file")


def _check_once(kind: Kind, records: dict[int, Record], path: Path, places: Places) -> None:
    """Refuse a record that repeats another one.

    Arguments:
        kind: of the records.
        records: by their line.
        path: their file.
        places: where the records of earlier files are; those of this one are added.
    """
    names = [(name, _DEFAULTS.get(name)) for name in kind.identity]
    for number, record in records.items():
        key = tuple([record.get(name, default) for name, default in names])
        before, line = places.setdefault(key, (path, number))
        if (before, line) != (path, number):
            same = ", ".join(
                f"{n} {v}" for (n, _), v in zip(names, key, strict=True) if v is not None
            )
            raise InputError(
                f"line {number} of {path} must differ from line {line} of {before}, and is of the "
                f"same {same}; keep one of them"
            )


def _lines(records: Iterable[Record]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)
