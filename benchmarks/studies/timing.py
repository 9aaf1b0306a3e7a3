"""The moment solver's time, next to its rivals' and as tasks grow: `pdeinv study timing`.

Every measurement has a process of its own, so that its peak memory is its own. Rivals run 50 steps.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from pdeinv.benchmarks import published
from pdeinv.benchmarks.cells import Cell, solve, steps_of
from pdeinv.benchmarks.provenance import peak_megabytes, provenance
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.study_kinds import TIMINGS
from pdeinv.benchmarks.tasks import Task
from pdeinv.errors import InputError
from pdeinv.progress import progress_bar

__all__ = ["cells", "cost_table", "growth", "measure", "plot_scaling", "run", "scaling_table"]

_SAMPLES, _GRID, _SENSORS = 16, 128, 500
_GRIDS, _COUNTS = (64, 128, 256), (50, 158, 500, 1581, 5000)
_MEASURED_STEPS = 50


def run(out: Path, *, command: str = "") -> list[Record]:
    """Measure every cell; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        command: command to type for the same records.

    Returns:
        All records of the file.
    """
    log = JsonLines(out, TIMINGS)
    made, spawn = provenance(command), multiprocessing.get_context("spawn")
    missing = [c for c in cells() if values_of(c, TIMINGS.identity) not in log]
    for cell in progress_bar(missing, "runs", unit="run", keep=True):
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            log.append(process.submit(measure, cell).result() | made)
    return log.read()


def cells() -> list[Record]:
    """Return what is measured: every method on every task, and the moment solver on growing ones.

    A cell's `prior` is the joint one's name, None for the solver's own.
    """
    found = []
    for pde in published.PDES:
        methods = [("moment", None), ("moment", pde), *((m, pde) for m in published.STEPS)]
        for kind in ("forward", "inverse"):
            found += [(pde, kind, method, prior, _GRID, _SENSORS) for method, prior in methods]
    sizes = [(n, _SENSORS) for n in _GRIDS] + [(_GRID, m) for m in _COUNTS]
    for pde, kind in published.GROWING_TASKS:
        found += [(pde, kind, "moment", None, n, m) for n, m in sizes]
    return [dict(zip(TIMINGS.identity, cell, strict=True)) for cell in dict.fromkeys(found)]


def measure(cell: Record) -> Record:
    """Return a cell with its seconds, network evaluations and peak memory, in this process."""
    most = published.STEPS.get(cell["method"])
    task = Task(cell["pde"], cell["task"], cell["grid"], cell["sensors"])
    steps = _MEASURED_STEPS if most else None
    solver, prior = Cell(task, cell["method"], steps=steps, prior=cell["prior"]).prepare()
    _, observation = task.instance(0)
    start = time.perf_counter()
    found = solve(task, solver, prior, observation, 0, _SAMPLES)
    seconds = time.perf_counter() - start
    return cell | {
        "seed": task.seed,
        "samples": _SAMPLES,
        "steps": steps_of(solver),
        "published_steps": most or steps_of(solver),
        "seconds": round(seconds, 3),
        "network_evaluations": found.record["network_evaluations"],
        "peak_megabytes": peak_megabytes(),
    }


def growth(sizes: list[float], values: list[float]) -> float:
    """Return the exponent p of the least-squares fit values ~ sizes^p."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def cost_table(records: list[Record]) -> str:
    """Return the seconds of each method at its measured steps, as a Markdown table.

    Raises:
        InputError: they are of more than one machine.
    """
    numbers = (
        f"moment, s; moment with the joint prior, s; DiffusionPDE, {_MEASURED_STEPS} steps, s; "
        f"FunDPS, {_MEASURED_STEPS} steps, s"
    )
    kinds = [("moment", False), ("moment", True), *((method, True) for method in published.STEPS)]
    mine = [r for r in records if (r["grid"], r["sensors"]) == (_GRID, _SENSORS)]
    machines = sorted({r["machine"] for r in mine})
    if len(machines) > 1:
        raise InputError(
            f"seconds must be of one machine, got {'; '.join(machines)}; measure all on one of them"
        )
    rows = []
    for pde, kind in dict.fromkeys((r["pde"], r["task"]) for r in mine):
        found = {
            (r["method"], bool(r["prior"])): f"{r['seconds']:.1f}"
            for r in mine
            if (r["pde"], r["task"]) == (pde, kind)
        }
        rows.append([f"{pde} {kind}", *(found.get(cell, "") for cell in kinds)])
    return render_table(["task"], numbers.split("; "), rows)


def _series(records: list[Record], pde: str, kind: str, by: str) -> list[Record]:
    """Return the moment solver's records on a task, by grid or by sensors with the other fixed."""
    fixed, value = {"grid": ("sensors", _SENSORS), "sensors": ("grid", _GRID)}[by]
    cell = (pde, kind, "moment", None)
    own = [r for r in records if (*values_of(r, TIMINGS.identity[:4]), r[fixed]) == (*cell, value)]
    return sorted(own, key=lambda r: r[by])


def scaling_table(records: list[Record]) -> str:
    """Return seconds and peak memory of the moment solver by grid and by sensors, as Markdown.

    Exponents of their growth follow; in brackets is that of the last two sizes, since a cost that
    never grows hides what does.
    """
    parts = []
    for by, sizes in (("grid", _GRIDS), ("sensors", _COUNTS)):
        heads = [f"{n} x {n}" if by == "grid" else f"{n:,} sensors" for n in sizes]
        heads += [f"exponent, {what} (last two)" for what in ("time", "memory")]
        rows = []
        for pde, kind in published.GROWING_TASKS:
            found = {r[by]: r for r in _series(records, pde, kind, by)}
            if len(found) < 2:
                continue
            row = [
                f"{found[n]['seconds']:.1f} s, {found[n]['peak_megabytes']:,} MB"
                if n in found
                else ""
                for n in sizes
            ]
            for what in ("seconds", "peak_megabytes"):
                values = [r[what] for r in found.values()]
                last_two = growth(list(found)[-2:], values[-2:])
                row.append(f"{growth(list(found), values):.2f} ({last_two:.2f})")
            rows.append([f"{pde} {kind}", *row])
        parts.append(render_table(["task"], heads, rows))
    return "\n\n".join(parts)


def plot_scaling(records: list[Record]) -> Figure:
    """Draw seconds and peak memory against the grid and the sensors, on logarithmic axes."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for column, (by, label) in enumerate((("grid", "nodes per side"), ("sensors", "sensors"))):
        for row, (what, unit) in enumerate(
            (("seconds", "seconds"), ("peak_megabytes", "peak memory, MB"))
        ):
            axis = axes[row, column]
            for pde, kind in published.GROWING_TASKS:
                found = _series(records, pde, kind, by)
                sizes, values = [r[by] for r in found], [r[what] for r in found]
                if len(found) > 1:
                    text = f"{pde} {kind}: exponent {growth(sizes, values):.2f}"
                    axis.loglog(sizes, values, "o-", label=text)
            ticks = _GRIDS if by == "grid" else _COUNTS
            axis.set_xticks(ticks, [f"{t:,}" for t in ticks], minor=False)
            axis.set_xticks([], minor=True)
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
            if column == 0:
                axis.set_ylabel(unit)
            if row == 1:
                axis.set_xlabel(label)
    axes[0, 0].set_title(f"{_SENSORS} sensors")
    axes[0, 1].set_title(f"{_GRID} x {_GRID} nodes")
    return figure
