"""Columns that tables share: coverage at a level that all rows have, and comparable seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

from pdeinv.benchmarks.records import Record, values_of
from pdeinv.benchmarks.summary import coverage_of

__all__ = [
    "coverage_head",
    "coverage_level",
    "format_number",
    "mean_of_known",
    "processors",
    "render_table",
    "render_timed",
    "seconds_of",
    "shown_coverage",
]

_SECONDS, _UNSHARED = "seconds", "optimal-interpolation"
_MARK = " †"
_NOTES = {
    _MARK: "† Without the solves of its ensemble, 1,000 by default, which all instances share.",
    _SECONDS: "Seconds are left out: they are of more than one processor.",
}


def render_table(
    words: Sequence[str], numbers: Sequence[str], rows: Iterable[Sequence[str]]
) -> str:
    """Return a Markdown table.

    Arguments:
        words: heads of the first columns, aligned to the left.
        numbers: heads of the other columns, aligned to the right.
        rows: cells of each line.
    """
    rule = ["---"] * len(words) + ["---:"] * len(numbers)
    return "\n".join("| " + " | ".join(row) + " |" for row in [[*words, *numbers], rule, *rows])


def render_timed(
    words: Sequence[str],
    numbers: Sequence[str],
    rows: Iterable[Sequence[str]],
    records: Iterable[Record],
) -> str:
    """Return a Markdown table with notes on its seconds.

    The column of seconds is left out where they come from more than one processor.

    Arguments:
        words, numbers, rows: as in `render_table`; one of `numbers` is "seconds".
        records: all whose seconds the rows have.
    """
    place, notes = len(words) + numbers.index(_SECONDS), []
    if len(processors(records)) > 1:
        numbers = [head for head in numbers if head != _SECONDS]
        rows = [[*row[:place], *row[place + 1 :]] for row in rows]
        notes.append(_NOTES[_SECONDS])
    table = render_table(words, numbers, rows)
    if _MARK in table:
        notes.append(_NOTES[_MARK])
    return "\n\n".join([table, *notes])


def processors(records: Iterable[Record]) -> set[str]:
    """Return the processors on which the records' seconds were measured."""
    return {
        name
        for r in records
        if r.get("seconds_per_instance") is not None
        for name in (r.get("timed_on") or r.get("machine", "")).split("; ")
    }


def seconds_of(records: Iterable[Record], form: str = ".2f") -> str:
    """Return the mean seconds of records of one method, marked where they leave something out."""
    records = list(records)
    text = mean_of_known((r.get("seconds_per_instance") for r in records), 1, form)
    return text + _MARK if text and records[0]["method"] == _UNSHARED else text


def coverage_level(records: Iterable[Record]) -> int:
    """Return the level of the intervals whose coverage a table of records shows, in per cent.

    That is 90 where all records have 19 samples (or 39, ...), and 60, which 4 samples have too,
    where numbers are mixed.
    """
    sizes = {values_of(r, ("samples",))[0] for r in records}
    return 90 if all((size + 1) % 20 == 0 for size in sizes) else 60


def coverage_head(level: int) -> str:
    """Return the head of a column of coverage."""
    return f"coverage of {level} %, %"


def shown_coverage(records: Iterable[Record], level: int, form: str = ".0f") -> str:
    """Return the mean coverage of records in per cent, empty where they have no ranks."""
    return mean_of_known((coverage_of(r, level) for r in records), 100, form)


def mean_of_known(values: Iterable[float | None], unit: float, form: str) -> str:
    """Return the mean of the values that are known, in a unit; empty without one."""
    known = [v for v in values if v is not None]
    return format_number(fmean(known), unit, form) if known else ""


def format_number(value: float | None, unit: float, form: str) -> str:
    """Return a number in a unit, empty for None."""
    return "" if value is None else format(unit * value, form)
