"""The scores of a solver on a truth of an example problem."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import fmean

import numpy as np
import xarray as xr

from pdeinv.benchmarks.kinds import Kind
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import mean
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.inferred_field import InferredField
from pdeinv.posterior import Posterior
from pdeinv.problems.examples import Example, Truth
from pdeinv.solvers.base import Solver
from pdeinv.solvers.reconstruction import reconstruct

__all__ = [
    "SCORES",
    "measure",
    "measure_methods",
    "measure_missing",
    "methods_table",
    "score_cells",
    "scores_file",
]

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
_KNOWN = 1e-9  # standard deviation, relative to the largest, of a node whose value is known
_SMALL = 1e-3  # in units that make a number small, as of a source per day


def scores_file(out: Path, kind: Kind) -> JsonLines:
    """Return a file of scores, of which all fields of a truth and a method are one unit of work.

    Arguments:
        out: the JSON-lines file.
        kind: of its records; its identity has the `field`.
    """
    unit = [name for name in kind.identity if name != "field"]
    return JsonLines(out, kind, lambda record: values_of(record, unit))


def measure_missing(
    log: JsonLines,
    example: Example,
    instances: int,
    cells: Sequence[tuple[str, str | Solver, Record]],
    shown: Sequence[str],
    command: str,
    echo: Callable[[str], object],
    fields: Sequence[str] = (),
) -> None:
    """Append the scores of solvers on truths of an example, of which the file has none yet.

    Arguments:
        log: the file of the records.
        example: draws the truths.
        instances: number of truths.
        cells: for each solver its name, the name again or an instance, and further entries of its
            records.
        shown: entries of the lines that are printed.
        command: command to type for the same records.
        echo: prints one line for each record.
        fields: as of `measure`.
    """

    def units() -> Iterator[Unit]:
        for i in range(instances):
            truth = cache(partial(example.truth, i))
            for name, solver, further in cells:
                identity = {**further, "method": name, "instance": i}
                yield Unit(identity, partial(scores, truth, solver, i, further))

    def scores(
        truth: Callable[[], Truth], solver: str | Solver, i: int, further: Record
    ) -> list[Record]:
        return [{**further, **scored} for scored in measure(truth(), solver, i, fields)]

    def line(record: Record) -> str:
        return ", ".join(f"{name} {record[name]}" for name in shown)

    append_missing(log, units(), line, command=command, echo=echo)


def measure_methods(
    out: Path,
    kind: Kind,
    example: Example,
    methods: Sequence[str],
    further: Record,
    instances: int,
    command: str,
    echo: Callable[[str], object],
    fields: Sequence[str] = (),
) -> list[Record]:
    """Measure solvers on truths of an example, and return all records of a file; a repeated run
    keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        kind: of them.
        example: draws the truths.
        methods: names of the solvers.
        further: entries of each record.
        instances, command, echo, fields: as of `measure_missing`.
    """
    log = scores_file(out, kind)
    shown = (*kind.identity, "error", "spread", "coverage90", "converged", "seconds")
    cells = [(method, method, further) for method in methods]
    measure_missing(log, example, instances, cells, shown, command, echo, fields)
    return log.read()


def measure(truth: Truth, solver: str | Solver, i: int, fields: Sequence[str] = ()) -> list[Record]:
    """Return the scores of a solver on a truth, one record for each field.

    Arguments:
        truth: a truth of the example and its readings.
        solver: its name, or an instance.
        i: number of the truth.
        fields: names of the fields, which may be uncertain quantities; those that are read if there
            is none.
    """
    start = time.perf_counter()
    found = reconstruct(truth.sensors, problem=truth.problem, solver=solver, seed=i)
    seconds = time.perf_counter() - start
    exact = _exact(truth)
    records = [
        {
            "pde": truth.problem.physics.name,
            "instance": i,
            "seed": i,
            "method": found.attrs["solver"],
            "field": name,
            **_scores(found, name, exact[f"{name}_mean"].values),
            "converged": int(found.attrs.get("converged", 1)),
            "reduced_chi_squared": float(found.attrs["reduced_chi_squared"]),
            "solver_calls": int(found.attrs["solver_calls"]),
            "seconds": round(seconds, 3),
        }
        for name in fields or dict.fromkeys(truth.sensors.table.field)
    ]
    return [record | {"rows": len(records)} for record in records]


def _exact(truth: Truth) -> xr.Dataset:
    """Return the fields of a truth on the problem's grid, in the form of a result's means."""
    state, fields = truth.state[0], truth.problem.physics.fields
    drawn = []
    for one in truth.problem.physics.uncertain:
        values = one.truth(truth.drawn, truth.grid)
        drawn.append(InferredField(one.field, one.dimensions, values, values, values[None]))
    exact = Posterior(
        fields, truth.grid, state, state, state[None], inferred=tuple(drawn)
    ).to_xarray()
    return exact.isel(x=slice(None, None, 2), y=slice(None, None, 2))


def _scores(found: xr.Dataset, name: str, exact: np.ndarray) -> Record:
    """Return the scores of one field at active nodes; nodes whose value is known have no part in
    the coverage."""
    error = found[f"{name}_mean"].values - exact
    std, known = found[f"{name}_std"].values, np.isfinite(error)
    error, std, exact = error[known], std[known], exact[known]
    free = std > _KNOWN * std.max()
    inside = np.abs(error[free]) <= _INTERVAL * std[free]
    return {
        "error": _rounded(_root_mean_square(error)),
        "relative_error": round(_root_mean_square(error) / float(exact.std()), 5),
        "spread": _rounded(_root_mean_square(std)),
        "coverage90": round(float(inside.mean()), 4),
    }


def _root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def _rounded(value: float) -> float:
    """Return a number with five decimals, or a small one with five digits."""
    return round(value, 5) if value > _SMALL else float(f"{value:.5g}")


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


def methods_table(records: Sequence[Record], methods: Sequence[str]) -> str:
    """Return errors, coverage and seconds of each method and field, with standard errors over the
    truths.

    Arguments:
        records: as `measure` returns them.
        methods: names, in the order of the rows; others come after them.
    """
    cells = dict.fromkeys((r["method"], r["field"]) for r in records)
    order = {method: place for place, method in enumerate(methods)}
    rows = [
        [*cell, *score_cells([r for r in records if (r["method"], r["field"]) == cell])]
        for cell in sorted(cells, key=lambda cell: (order.get(cell[0], len(order)), cell[0]))
    ]
    return render_table(["method", "field"], list(SCORES), rows)
