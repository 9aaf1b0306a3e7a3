"""The aquifer of `pdeinv problem aquifer`, reconstructed from heads and a few conductivities:
`pdeinv study aquifer`.

Truths are drawn and solved on a grid twice as fine, and the solvers are given the prior's numbers.
Other standard deviations of the logarithm show where the method ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

import numpy as np
import xarray as xr

from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import mean
from pdeinv.benchmarks.study_kinds import AQUIFERS
from pdeinv.datasets import Problem
from pdeinv.problems.examples import Example, Truth, example_by_name
from pdeinv.solvers.base import Solver
from pdeinv.solvers.reconstruction import reconstruct

__all__ = ["LOG_STD", "METHODS", "SCORES", "aquifer_table", "measure", "run", "score_cells"]

METHODS = ("gauss-newton", "optimal-interpolation", "kriging")
"""Our solver; the best linear estimate from all readings, of a sample covariance; and each field by
itself."""
LOG_STD = 1.5
"""Standard deviation of the logarithm of the conductivity in the example."""
_LEVEL = 90  # per cent of a normal distribution within the interval, in standard deviations:
_INTERVAL = 1.6449
SCORES = (
    "RMS error",
    "error over the truth's deviation, %",
    "predicted RMS error",
    coverage_head(_LEVEL),
    "seconds",
    "truths",
)
"""Heads of the columns of `score_cells`."""
_SHOWN = (*AQUIFERS.identity, "error", "spread", "coverage90", "converged", "seconds")
_KNOWN = 1e-9  # standard deviation, relative to the largest, of a node whose value is known


@dataclass(frozen=True)
class _Varied(Example):
    """The example with another standard deviation of the logarithm."""

    log_std: float = LOG_STD

    @cached_property
    def problem(self) -> Problem:
        given = super().problem
        prior = given.coefficient_prior.with_numbers(log_std=self.log_std)
        return Problem(given.physics, prior, given.grid)


def run(
    out: Path,
    *,
    instances: int = 16,
    log_stds: Sequence[float] = (LOG_STD,),
    methods: Sequence[str] = METHODS,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the methods on truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        log_stds: standard deviations of the logarithm of the conductivity.
        methods: names of solvers.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log, usual = JsonLines(out, AQUIFERS, _unit), example_by_name("aquifer")
    for log_std in log_stds:
        example = _Varied(usual.name, usual.summary, usual.readings, log_std)
        for i in range(instances):
            missing = [m for m in methods if (log_std, i, m) not in log]
            truth = example.truth(i) if missing else None
            for method in missing:
                assert truth is not None
                made = provenance(command)
                records = [{"log_std": log_std, **r, **made} for r in measure(truth, method, i)]
                log.append(*records)
                for record in records:
                    echo(", ".join(f"{name} {record[name]}" for name in _SHOWN))
    return log.read()


def _unit(record: Record) -> Hashable:
    return values_of(record, ("log_std", "instance", "method"))


def measure(truth: Truth, solver: str | Solver, i: int) -> list[Record]:
    """Return the scores of a solver on a truth, one record for each field that is read.

    Arguments:
        truth: a truth of the example and its readings.
        solver: its name, or an instance.
        i: number of the truth.
    """
    start = time.perf_counter()
    found = reconstruct(truth.sensors, problem=truth.problem, solver=solver, seed=i)
    seconds = time.perf_counter() - start
    fields = truth.problem.physics.fields
    records = [
        {
            "pde": truth.problem.physics.name,
            "instance": i,
            "seed": i,
            "method": found.attrs["solver"],
            "field": field.name,
            **_scores(found, field.name, truth.state[0, channel, ::2, ::2].numpy()),
            "converged": int(found.attrs.get("converged", 1)),
            "reduced_chi_squared": float(found.attrs["reduced_chi_squared"]),
            "solver_calls": int(found.attrs["solver_calls"]),
            "seconds": round(seconds, 3),
        }
        for channel, field in enumerate(fields)
        if field.name in set(truth.sensors.table.field)
    ]
    return [record | {"rows": len(records)} for record in records]


def _scores(found: xr.Dataset, name: str, exact: np.ndarray) -> Record:
    """Return the scores of one field; nodes whose value is known have no part in the coverage."""
    error = found[f"{name}_mean"].values - exact
    std = found[f"{name}_std"].values
    free = std > _KNOWN * std.max()
    inside = np.abs(error[free]) <= _INTERVAL * std[free]
    return {
        "error": round(_root_mean_square(error), 5),
        "relative_error": round(_root_mean_square(error) / float(exact.std()), 5),
        "spread": round(_root_mean_square(std), 5),
        "coverage90": round(float(inside.mean()), 4),
    }


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def aquifer_table(records: list[Record]) -> str:
    """Return errors, coverage and seconds of each method, with standard errors over the truths.

    Arguments:
        records: as `pdeinv study aquifer` writes them.
    """
    rows, order = [], {method: place for place, method in enumerate(METHODS)}
    for log_std, method in sorted(
        {(r["log_std"], r["method"]) for r in records},
        key=lambda cell: (cell[0], order.get(cell[1], len(order)), cell[1]),
    ):
        mine = [r for r in records if (r["log_std"], r["method"]) == (log_std, method)]
        for field in dict.fromkeys(r["field"] for r in mine):
            of_field = [r for r in mine if r["field"] == field]
            rows.append([f"{log_std:g}", method, field, *score_cells(of_field)])
    return render_table(["deviation of ln K", "method", "field"], list(SCORES), rows)


def score_cells(records: Iterable[Record]) -> list[str]:
    """Return the `SCORES` of one method and field, with standard errors over the truths.

    Arguments:
        records: as `measure` returns them, one for each truth.
    """
    by_instance = {r["instance"]: r for r in records}

    def shown(name: str, factor: float, form: str) -> str:
        values = {i: factor * r[name] for i, r in by_instance.items()}
        # One truth has no standard error
        return f"{mean(values) if len(values) > 1 else next(iter(values.values())):{form}}"

    return [
        shown("error", 1, ".3f"),
        shown("relative_error", 100, ".1f"),
        f"{fmean(r['spread'] for r in by_instance.values()):.3f}",
        shown("coverage90", 100, ".1f"),
        f"{fmean(r['seconds'] for r in by_instance.values()):.1f}",
        str(len(by_instance)),
    ]
