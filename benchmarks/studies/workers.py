"""What several workers save: `pdeinv study workers`.

The same work on dask clusters of one machine, with one worker and with several, in turn. A cluster
has done a little of the work before it is timed, so that its workers have imported what they need.
Each record states how many cores other programs kept busy: on a busy machine ratios are those of
what they left.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import pandas as pd

from pdeinv import layouts
from pdeinv.benchmarks.cells import Cell
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.runner import run_cells
from pdeinv.benchmarks.tasks import Task
from pdeinv.benchmarks.worker_kinds import WORKERS
from pdeinv.coefficients import LogNormal
from pdeinv.datasets import Problem, generate, pde_by_name
from pdeinv.schedulers import local_cluster
from pdeinv.solvers import reconstruct

__all__ = ["CASES", "Case", "fields_table", "run", "workers_table"]

_SEED = 0
_MILLION = 10**6
_PDE = "darcy"


class Case(NamedTuple):
    """Some work.

    Arguments:
        call: does it, with the address of a scheduler, a folder, a grid and the number of items.
        grid: nodes per side.
        items: number of fields, instances or replicates.
        few: number of them that a cluster does before it is timed.
    """

    call: Callable[[str, Path, int, int], object]
    grid: int
    items: int
    few: int


def run(
    out: Path,
    *,
    instances: int = 3,
    workers: Sequence[int] = (1, 2),
    cases: Sequence[str] = (),
    grid: int | None = None,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Time work on clusters; a repeated run keeps the records that the file has.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of repetitions.
        workers: numbers of workers.
        cases: names of `CASES`; all if there is none.
        grid: nodes per side; None for those of the case.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = []
    for instance in range(instances):
        for name in cases or CASES:
            for number in workers:
                case = CASES[name] if grid is None else CASES[name]._replace(grid=grid)
                known = {"work": name, "grid": case.grid, "workers": number, "instance": instance}

                def measure(case: Case = case, known: Record = known) -> list[Record]:
                    return [known | _timed(case, known["workers"])]

                units.append(Unit(known, measure))
    log = JsonLines(out, WORKERS, key=lambda record: values_of(record, WORKERS.identity))
    return append_missing(log, units, _line, command=command, echo=echo)


def _timed(case: Case, workers: int) -> Record:
    with tempfile.TemporaryDirectory() as folder, local_cluster(workers) as address:
        little, whole = (Path(folder) / name for name in ("little", "whole"))
        for place in (little, whole):
            place.mkdir()
        case.call(address, little, case.grid, case.few)
        before, start = _used(), time.perf_counter()
        case.call(address, whole, case.grid, case.items)
        seconds = time.perf_counter() - start
        own, machine = (now - then for now, then in zip(_used(), before, strict=True))
        size = sum(file.stat().st_size for file in whole.glob("*.h5"))
    return {
        "pde": _PDE,
        "seed": _SEED,
        "items": case.items,
        "cores": os.cpu_count() or 1,
        "others": round(max(0.0, machine - own) / seconds, 2),
        "seconds": round(seconds, 3),
        "processor_seconds": round(own, 3),
        **({"bytes": size} if size else {}),
    }


def _used() -> tuple[float, float]:
    """Return the processor seconds of this process and its own, and of the whole machine."""
    import psutil  # comes with dask's distributed

    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # Those of guests are among those of users
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    here = psutil.Process()
    own = [one.cpu_times() for one in (here, *here.children(recursive=True))]
    return sum(t.user + t.system for t in own), sum(times) - idle - guests


def _generate(address: str, folder: Path, grid: int, items: int) -> None:
    shards = max(1, items // 16)
    generate(
        pde_by_name(_PDE), items, grid, _SEED, folder / "f.h5", scheduler=address, shards=shards
    )


def _benchmark(address: str, folder: Path, grid: int, items: int) -> None:
    cell = Cell(Task(_PDE, "inverse", grid, 50), "level-set", items, samples=9)
    run_cells([cell], folder / "r.jsonl", scheduler=address)


def _reconstruct(address: str, folder: Path, grid: int, items: int) -> None:
    physics = pde_by_name(_PDE)
    problem = Problem(physics, LogNormal(median=1.0, log_std=0.5, length=0.3))
    places = np.asarray(layouts.random(40, _SEED, physics.domain))
    x, y = places.T
    table = pd.concat(
        pd.DataFrame({"x": x, "y": y, "value": 0.01 * (1 + 0.1 * i) * x * (1 - x) * y * (1 - y)})
        for i in range(items)
    ).assign(field=physics.solution_field.name, replicate=np.repeat(np.arange(items), len(x)))
    reconstruct(table, problem=problem, noise=1e-3, grid=grid, n_samples=4, scheduler=address)


CASES: Mapping[str, Case] = {
    "generation": Case(_generate, 256, 32, 2),
    "benchmark": Case(_benchmark, 32, 4, 2),
    "reconstructions": Case(_reconstruct, 32, 4, 2),
}


def _line(record: Record) -> str:
    return (
        f"{record['work']}, {record['workers']} workers: {record['items']} items in "
        f"{record['seconds']:.3g} s, while other programs kept {record['others']:.2g} of "
        f"{record['cores']} cores busy"
    )


def _of(records: list[Record], work: str, grid: int, workers: int) -> list[Record]:
    found = [r for r in records if (r["work"], r["grid"], r["workers"]) == (work, grid, workers)]
    return sorted(found, key=lambda r: r["instance"])


def workers_table(records: list[Record]) -> str:
    """Return the seconds of each work as a Markdown table, and the ratios to one worker.

    Seconds and cores are medians over the repetitions. The ratio is that of a repetition: its
    median, and in brackets the least and the largest.
    """
    heads = ["grid", "items", "workers", "seconds", "of one worker / these", "cores busy otherwise"]
    rows = []
    for work, grid, workers in dict.fromkeys((r["work"], r["grid"], r["workers"]) for r in records):
        mine = _of(records, work, grid, workers)
        one = {r["instance"]: r["seconds"] for r in _of(records, work, grid, 1)}
        ratios = [one[r["instance"]] / r["seconds"] for r in mine if r["instance"] in one]
        shown = ""
        if workers > 1 and ratios:
            shown = f"{median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        busy = median(r["others"] for r in mine)
        rows.append(
            [
                work,
                f"{grid} x {grid}",
                f"{mine[0]['items']}",
                f"{workers}",
                f"{median(r['seconds'] for r in mine):.1f}",
                shown,
                f"{busy:.1f} of {mine[0]['cores']}",
            ]
        )
    return render_table(["work"], heads, rows)


def fields_table(records: list[Record]) -> str:
    """Return what a million fields take as a Markdown table, computed from the generated ones.

    The rate is that of a core's processor time, a median over all repetitions.
    """
    heads = [
        "grid",
        "pairs / processor second",
        "bytes / pair",
        "core hours of a million",
        "terabytes",
    ]
    rows = []
    for pde, grid in dict.fromkeys((r["pde"], r["grid"]) for r in records if "bytes" in r):
        mine = [r for r in records if (r["pde"], r["grid"]) == (pde, grid) and "bytes" in r]
        rate = median(r["items"] / r["processor_seconds"] for r in mine)
        size = median(r["bytes"] / r["items"] for r in mine)
        rows.append(
            [
                pde,
                f"{grid} x {grid}",
                f"{rate:.3g}",
                f"{size:,.0f}",
                f"{_MILLION / rate / 3600:,.0f}",
                f"{1e-12 * _MILLION * size:.2f}",
            ]
        )
    return render_table(["physics"], heads, rows)
