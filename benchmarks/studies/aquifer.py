"""The aquifer of `pdeinv problem aquifer`, reconstructed from heads and a few conductivities:
`pdeinv study aquifer`.

Truths are drawn and solved on a grid twice as fine, and the solvers are given the prior's numbers.
Other standard deviations of the logarithm show where the method ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pdeinv.benchmarks.problem_kinds import AQUIFERS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.studies.example_scores import (
    SCORES,
    measure_missing,
    score_cells,
    scores_file,
)
from pdeinv.datasets import Problem
from pdeinv.problems.examples import Example, example_by_name

__all__ = ["LOG_STD", "METHODS", "aquifer_table", "run"]

METHODS = ("gauss-newton", "optimal-interpolation", "kriging")
"""Our solver; the best linear estimate from all readings, of a sample covariance; and each field by
itself."""
LOG_STD = 1.5
"""Standard deviation of the logarithm of the conductivity in the example."""
_SHOWN = (*AQUIFERS.identity, "error", "spread", "coverage90", "converged", "seconds")


@dataclass(frozen=True)
class _Varied(Example):
    """The example with another standard deviation of the logarithm."""

    log_std: float = LOG_STD

    @cached_property
    def problem(self) -> Problem:
        given = super().problem
        prior = given.coefficient_prior.with_numbers(log_std=self.log_std)
        return replace(given, prior=prior)


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
    log, usual = scores_file(out, AQUIFERS), example_by_name("aquifer")
    for log_std in log_stds:
        example = _Varied(usual.name, usual.summary, usual.readings, log_std)
        cells = [(method, method, {"log_std": log_std}) for method in methods]
        measure_missing(log, example, instances, cells, _SHOWN, command, echo)
    return log.read()


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
