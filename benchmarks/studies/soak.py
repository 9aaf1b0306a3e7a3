"""Many reconstructions in one process, in threads and in workers: `pdeinv study soak`.

Small problems of all PDEs with their default solvers take turns. The first answers to each table,
one by one with one thread, are what all later ones are compared with.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path

from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.soak_kinds import SOAKS
from pdeinv.benchmarks.soak_parts import PARTS, Made
from pdeinv.benchmarks.soak_process import changes, open_files, snapshot

__all__ = ["COUNTS", "run", "soak_table"]

COUNTS = {"single": 2000, "threads": 500, "forked": 500, "spawned": 500}
"""Reconstructions of each part."""

_SEED = 0
_ALIKE = 1e-3  # standard deviations by which an answer may depend on the number of threads
_TITLES = {
    "single": "one after another",
    "threads": "in threads at once",
    "forked": "in forked workers",
    "spawned": "in spawned workers",
}


def run(
    out: Path,
    *,
    parts: Sequence[str] = (),
    count: int | None = None,
    workers: int = 4,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Make the reconstructions of the parts that the file lacks.

    Arguments:
        out: JSON-lines file of the records.
        parts: keys of `COUNTS`; all if there is none.
        count: reconstructions of each part; None for those of `COUNTS`.
        workers: threads, or processes, at once.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = []
    for part in parts or COUNTS:
        shared = {"part": part, "reconstructions": count or COUNTS[part], "seed": _SEED}
        units.append(Unit(shared, partial(_measured, shared, 1 if part == "single" else workers)))
    log = JsonLines(out, SOAKS, key=lambda r: values_of(r, SOAKS.identity))
    return append_missing(log, units, _line, command=command, echo=echo)


def _measured(shared: Record, workers: int) -> list[Record]:
    """Return the record of a part."""
    resource_tracker.ensure_running()  # the first spawned process would, and keeps a file open
    before, files = snapshot(), open_files()
    start = time.perf_counter()
    made = PARTS[shared["part"]](shared["reconstructions"], workers, shared["seed"])
    seconds = time.perf_counter() - start
    changed = sorted({*changes(before, snapshot()), *made.changed})
    return [
        shared
        | {"pde": "all", "workers": workers, "hung": made.hung, **_sizes(made)}
        | {"failed": len(made.failures), "failures": sorted(set(made.failures))[:5]}
        | {"identical": sum(d == 0 for d in made.differences)}
        | {"different": sum(not d <= _ALIKE for d in made.differences)}
        | {"largest_difference": max(made.differences, default=0.0)}
        | {"changed": ", ".join(changed), "files_before": files, "files_after": open_files()}
        | {"seconds": seconds, "processor_seconds": made.processor_seconds}
    ]


def _sizes(made: Made) -> Record:
    """Return the sizes of the process that grew most."""
    found = [_tenths(sizes) for sizes in made.sizes if len(sizes) > 1]
    second, last, slope = max(found, key=lambda each: each[1] - each[0], default=(0.0, 0.0, 0.0))
    return {"second_tenth": second, "last_tenth": last, "slope": slope}


def _tenths(sizes: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean sizes of the second and of the last tenth, in megabytes, and the kilobytes
    for each reconstruction behind the first tenth."""
    tenth = max(1, len(sizes) // 10)
    tail = sizes[tenth:]
    means = [sum(part) / len(part) / 1e6 for part in (sizes[tenth : 2 * tenth], sizes[-tenth:])]
    middle, centre = sum(tail) / len(tail), (len(tail) - 1) / 2
    spread = sum((i - centre) ** 2 for i in range(len(tail))) or 1.0
    slope = sum((i - centre) * (size - middle) for i, size in enumerate(tail)) / spread
    return means[0], means[1], slope / 1e3


def _line(record: Record) -> str:
    return (
        f"{record['part']}: {record['reconstructions']} reconstructions, {record['failed']} failed,"
        f" {record['hung']} hung, {record['different']} different, "
        f"{record['second_tenth']:.0f} to {record['last_tenth']:.0f} MB, changed: "
        f"{record['changed'] or 'nothing'}"
    )


def soak_table(records: list[Record]) -> str:
    """Return the parts as a Markdown table."""
    heads = ["reconstructions", "failed", "hung", "identical", "different"]
    heads += ["resident size, MB", "growth, kB each", "left changed"]
    rows = [
        [
            _TITLES[r["part"]] + (f", {r['workers']}" if r["workers"] > 1 else ""),
            *(f"{r[name]}" for name in heads[:5]),
            f"{r['second_tenth']:.0f} → {r['last_tenth']:.0f}",
            f"{r['slope']:.1f}",
            r["changed"] or "nothing",
        ]
        for r in records
    ]
    return render_table(["part"], heads, rows)
