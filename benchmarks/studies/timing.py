"""The moment solver's time, beside its rivals' and as tasks grow: `python -m
pdeinv.benchmarks.studies.timing --out F.jsonl`.

Every measurement has a process of its own, so that its peak memory is its own. Rivals run 50 steps;
their time is extrapolated to the published number, as every step costs the same.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from pdeinv.benchmarks.provenance import peak_megabytes, provenance
from pdeinv.benchmarks.reports.tables import read_records
from pdeinv.benchmarks.runner import drop_cut_line, solve
from pdeinv.benchmarks.tasks import Task
from pdeinv.errors import run_cli
from pdeinv.files import check_writable, save_figure
from pdeinv.priors import load
from pdeinv.priors.storage import shipped_name
from pdeinv.solvers import SOLVERS

__all__ = ["cost_table", "growth", "measure", "plot_scaling", "scaling_table"]

_SAMPLES, _GRID, _SENSORS = 16, 128, 500
_GRIDS, _COUNTS = (64, 128, 256), (50, 158, 500, 1581, 5000)
_PDES = ("poisson", "helmholtz", "darcy", "navier-stokes")
_KINDS = ("forward", "inverse")
_GROWING = (("poisson", "inverse"), ("darcy", "forward"), ("navier-stokes", "inverse"))
_PUBLISHED = {"diffusionpde": 2000, "fundps": 500}  # steps
_MEASURED = 50
_KEY = ("pde", "task", "method", "prior", "grid", "sensors")


def cells() -> list[dict]:
    """What is measured: every method on every task, then the moment solver on growing tasks."""
    found = []
    for pde in _PDES:
        for kind in _KINDS:
            for method, prior in (
                ("moment", None),
                ("moment", pde),
                *((m, pde) for m in _PUBLISHED),
            ):
                found.append(
                    dict(zip(_KEY, (pde, kind, method, prior, _GRID, _SENSORS), strict=True))
                )
    for pde, kind in _GROWING:
        sizes = [(n, _SENSORS) for n in _GRIDS] + [(_GRID, m) for m in _COUNTS]
        found += [dict(zip(_KEY, (pde, kind, "moment", None, n, m), strict=True)) for n, m in sizes]
    return [c for i, c in enumerate(found) if c not in found[:i]]


def measure(cell: dict) -> dict:
    """One cell's seconds, network evaluations and peak memory, in this process."""
    published = _PUBLISHED.get(cell["method"])
    solver = SOLVERS[cell["method"]](**({"steps": _MEASURED} if published else {}))
    task = Task(cell["pde"], cell["task"], cell["grid"], cell["sensors"])
    _, observation = task.instance(0)
    prior = load(cell["prior"] or shipped_name(cell["pde"], solver.role))
    start = time.perf_counter()
    found = solve(task, solver, prior, observation, 0, _SAMPLES)
    seconds, times = time.perf_counter() - start, published / _MEASURED if published else 1
    return cell | {
        "seed": task.seed,
        "samples": _SAMPLES,
        "steps": solver.steps,
        "published_steps": published or solver.steps,
        "seconds": round(seconds, 3),
        "published_seconds": round(seconds * times, 3),
        "network_evaluations": found.record["network_evaluations"],
        "peak_megabytes": peak_megabytes(),
    }


def growth(sizes: list[float], values: list[float]) -> float:
    """Exponent p of the least-squares fit values ~ sizes^p."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def cost_table(records: list[dict]) -> str:
    """Markdown: seconds of each method at its published number of steps, and how many times the
    moment solver's."""
    lines = [
        "| task | moment, s | moment with the joint prior, s | DiffusionPDE, 2,000 steps, s | "
        "FunDPS, 500 steps, s |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    mine = [r for r in records if (r["grid"], r["sensors"]) == (_GRID, _SENSORS)]
    for pde, kind in dict.fromkeys((r["pde"], r["task"]) for r in mine):
        found = {
            (r["method"], bool(r["prior"])): r for r in mine if (r["pde"], r["task"]) == (pde, kind)
        }
        base, joint, *rivals = (
            found.get(k)
            for k in (("moment", False), ("moment", True), *((m, True) for m in _PUBLISHED))
        )
        if base is None or joint is None:
            continue
        texts = [f"{r['published_seconds']:.1f}" for r in (base, joint)]
        for r in rivals:
            ratios = r and [
                r["published_seconds"] / own["published_seconds"] for own in (base, joint)
            ]
            texts.append(
                f"{r['published_seconds']:,.0f} ({ratios[0]:.0f} and {ratios[1]:.0f} times)"
                if r
                else ""
            )
        lines.append(f"| {pde} {kind} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def _series(records: list[dict], pde: str, kind: str, by: str) -> list[dict]:
    fixed = {"grid": ("sensors", _SENSORS), "sensors": ("grid", _GRID)}[by]
    own = [
        r
        for r in records
        if (r["pde"], r["task"], r["method"], r["prior"]) == (pde, kind, "moment", None)
    ]
    return sorted((r for r in own if r[fixed[0]] == fixed[1]), key=lambda r: r[by])


def scaling_table(records: list[dict]) -> str:
    """Markdown: seconds and peak memory of the moment solver by grid and by sensors, with the
    exponents of their growth.

    In brackets stands the exponent of the last two sizes, since a cost that never grows hides what
    does.
    """
    parts = []
    for by, sizes in (("grid", _GRIDS), ("sensors", _COUNTS)):
        heads = [f"{n} x {n}" if by == "grid" else f"{n:,} sensors" for n in sizes]
        lines = [
            "| task | "
            + " | ".join(heads)
            + " | exponent, time (last two) | exponent, memory (last two) |",
            "| --- |" + " ---: |" * (len(sizes) + 2),
        ]
        for pde, kind in _GROWING:
            found = {r[by]: r for r in _series(records, pde, kind, by)}
            if len(found) < 2:
                continue
            texts = [
                f"{found[n]['seconds']:.1f} s, {found[n]['peak_megabytes']:,} MB"
                if n in found
                else ""
                for n in sizes
            ]
            for what in ("seconds", "peak_megabytes"):
                values = [r[what] for r in found.values()]
                texts.append(
                    f"{growth(list(found), values):.2f} "
                    f"({growth(list(found)[-2:], values[-2:]):.2f})"
                )
            lines.append(f"| {pde} {kind} | " + " | ".join(texts) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def plot_scaling(records: list[dict]) -> Figure:
    """Seconds and peak memory against the grid and against the number of sensors, on logarithmic
    axes."""
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for column, (by, label) in enumerate((("grid", "nodes per side"), ("sensors", "sensors"))):
        for row, (what, unit) in enumerate(
            (("seconds", "seconds"), ("peak_megabytes", "peak memory, MB"))
        ):
            axis = axes[row, column]
            for pde, kind in _GROWING:
                found = _series(records, pde, kind, by)
                sizes, values = [r[by] for r in found], [r[what] for r in found]
                if len(found) > 1:
                    axis.loglog(
                        sizes,
                        values,
                        "o-",
                        label=f"{pde} {kind}: exponent {growth(sizes, values):.2f}",
                    )
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


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("--out", type=Path, help="JSON-lines file; what is there is kept")
    parser.add_argument("--plot", type=Path, help="figure to write")
    parser.add_argument("--cell", type=json.loads, help=argparse.SUPPRESS)
    o = parser.parse_args()
    if o.cell:
        print(json.dumps(measure(o.cell)))
        return
    if not o.out:
        parser.error("--out is needed")
    check_writable(o.out)
    o.out.touch()
    drop_cut_line(o.out)
    done = {tuple(r[k] for k in _KEY) for r in read_records(o.out)}
    made = provenance(
        shlex.join(["python", "-m", "pdeinv.benchmarks.studies.timing", *sys.argv[1:]])
    )
    for cell in tqdm([c for c in cells() if tuple(c[k] for k in _KEY) not in done], unit="run"):
        child = [
            sys.executable,
            "-m",
            "pdeinv.benchmarks.studies.timing",
            "--cell",
            json.dumps(cell),
        ]
        answer = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True).stdout
        with o.out.open("a") as stream:
            stream.write(json.dumps(json.loads(answer.splitlines()[-1]) | made) + "\n")
    records = read_records(o.out)
    print(cost_table(records), scaling_table(records), sep="\n\n")
    if o.plot:
        save_figure(plot_scaling(records), o.plot)


if __name__ == "__main__":
    run_cli(_main)
