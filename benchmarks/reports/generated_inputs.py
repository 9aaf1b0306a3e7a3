"""The table of generated inputs, which the tests of faults count."""

from __future__ import annotations

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table

__all__ = ["generated_table"]


def generated_table(records: list[Record]) -> str:
    """Return the numbers of inputs of each kind as a Markdown table."""
    rows = [[r["inputs"], *(f"{n:,}" for n in _numbers(r))] for r in records]
    total = [sum(each) for each in zip(*map(_numbers, records), strict=True)]
    rows.append(["all", *(f"{n:,}" for n in total)])
    return render_table(["inputs"], ["generated", "used", "refused in one sentence"], rows)


def _numbers(record: Record) -> tuple[int, int, int]:
    return record["used"] + record["refused"], record["used"], record["refused"]
