"""Tables of the tests themselves: generated inputs, covered lines, mutants."""

from __future__ import annotations

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table

__all__ = ["covered_table", "generated_table", "mutations_table"]


def generated_table(records: list[Record]) -> str:
    """Return the numbers of inputs of each kind as a Markdown table."""
    rows = [(r["inputs"], [r["used"] + r["refused"], r["used"], r["refused"]]) for r in records]
    return _summed(["inputs"], ["generated", "used", "refused in one sentence"], rows)


def covered_table(records: list[Record]) -> str:
    """Return the lines of each folder, and those that ran, as a Markdown table."""
    rows = [(r["folder"], [r["lines"], r["covered"]]) for r in records]
    return _summed(["folder"], ["lines", "run by tests"], rows, of=(1, 0))


def mutations_table(records: list[Record]) -> str:
    """Return what became of the mutants of each group as a Markdown table."""
    names = ("of", "mutants", "killed", "survived", "untested")
    rows = [(r["group"], [r[name] for name in names]) for r in records]
    return _summed(["group"], ["there are", "tried", *names[2:]], rows, of=(2, 1))


def _summed(
    labels: list[str],
    heads: list[str],
    rows: list[tuple[str, list[int]]],
    of: tuple[int, int] | None = None,
) -> str:
    """Return a table of counts with their sums, and the percentage of two columns."""
    rows = [
        *rows,
        ("all", [sum(each) for each in zip(*(counts for _, counts in rows), strict=True)]),
    ]
    cells = [[name, *(f"{n:,}" for n in counts)] for name, counts in rows]
    if of is not None:
        heads = [*heads, "%"]
        for row, (_, counts) in zip(cells, rows, strict=True):
            row.append(f"{100 * counts[of[0]] / counts[of[1]]:.1f}" if counts[of[1]] else "")
    return render_table(labels, heads, cells)
