"""The aquifer of `pdeinv problem aquifer` by solves alone, with a number of solves that is given:
`pdeinv study black-box`.

The methods that need no derivatives are compared with Gauss–Newton, which has the gradients of the
head, on the truths of `pdeinv study aquifer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

from pdeinv.benchmarks.problem_kinds import BLACK_BOXES
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.studies.example_scores import (
    SCORES,
    measure_missing,
    score_cells,
    scores_file,
)
from pdeinv.problems.examples import example_by_name
from pdeinv.solvers.base import Solver
from pdeinv.solvers.ensemble_smoother import EnsembleSmoother
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.optimal_interpolation import OptimalInterpolation

__all__ = ["METHODS", "black_box_table", "run"]

METHODS: dict[tuple[str, int], Solver] = {
    (EnsembleSmoother.name, 200): EnsembleSmoother(members=50, rounds=3),
    (EnsembleSmoother.name, 1000): EnsembleSmoother(members=200, rounds=4),
    (OptimalInterpolation.name, 200): OptimalInterpolation(members=200),
    (OptimalInterpolation.name, 1000): OptimalInterpolation(members=1000),
    (GaussNewton.name, 0): GaussNewton(),
}
"""By name and budget of solves; 0 for as many as the method takes."""
_SHOWN = (*BLACK_BOXES.identity, "error", "spread", "coverage90", "solver_calls", "seconds")


def run(
    out: Path,
    *,
    instances: int = 16,
    methods: Sequence[str] = (),
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the methods on truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        methods: names of solvers in `METHODS`; all if empty.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log, example = scores_file(out, BLACK_BOXES), example_by_name("aquifer")
    cells = [
        (method, solver, {"budget": budget})
        for (method, budget), solver in METHODS.items()
        if method in (methods or [method])
    ]
    measure_missing(log, example, instances, cells, _SHOWN, command, echo)
    return log.read()


def black_box_table(records: list[Record]) -> str:
    """Return errors, coverage, solves and seconds of each method and budget, with standard errors
    over the truths.

    Arguments:
        records: as `pdeinv study black-box` writes them.
    """
    rows, order = [], {cell: place for place, cell in enumerate(METHODS)}
    cells = {(r["method"], r["budget"]) for r in records}
    for cell in sorted(cells, key=lambda cell: (order.get(cell, len(order)), cell)):
        mine = [r for r in records if (r["method"], r["budget"]) == cell]
        for field in dict.fromkeys(r["field"] for r in mine):
            of_field = [r for r in mine if r["field"] == field]
            solves = f"{fmean(r['solver_calls'] for r in of_field):.0f}"
            rows.append([cell[0], field, solves, *score_cells(of_field)])
    return render_table(["method", "field"], ["solves", *SCORES], rows)
