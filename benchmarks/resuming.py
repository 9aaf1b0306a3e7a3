"""Measurements of which a repeated run makes only those that its file of records lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record

__all__ = ["Unit", "append_missing"]


class Unit(NamedTuple):
    """A unit of work.

    Arguments:
        identity: values that identify it, by their names in its records.
        measure: returns its records, with these values; none if nothing could be measured.
    """

    identity: Record
    measure: Callable[[], Sequence[Record]]


def append_missing(
    log: JsonLines,
    units: Iterable[Unit],
    line: Callable[[Record], str],
    *,
    command: str,
    echo: Callable[[str], object],
) -> list[Record]:
    """Append the records of the units that a file lacks, each with what made it.

    Arguments:
        log: the file.
        units: of work, in this order.
        line: returns what is printed of a record.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from pdeinv.benchmarks.kinds import Kind
        >>> squares = Kind("a square", dict[str, int | str], ("square",), ("n",))
        >>> path = Path(tempfile.mkdtemp()) / "squares.jsonl"
        >>> def of(n):
        ...     return Unit({"n": n}, lambda: [{"n": n, "square": n * n}])
        >>> for last in (2, 3):  # the second run adds the last square alone
        ...     found = append_missing(
        ...         JsonLines(path, squares),
        ...         map(of, range(1, last + 1)),
        ...         lambda record: f"{record['n']} squared is {record['square']}",
        ...         command="",
        ...         echo=print,
        ...     )
        1 squared is 1
        2 squared is 4
        3 squared is 9
        >>> len(found)
        3
    """
    for unit in units:
        if log.key(unit.identity) in log:
            continue
        made = provenance(command)
        if records := [record | made for record in unit.measure()]:
            log.append(*records)
            for record in records:
                echo(line(record))
    return log.read()
