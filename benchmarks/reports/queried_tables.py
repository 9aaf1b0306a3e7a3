"""Tables of documentation pages that compare several files of records, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.reports.queries import (
    GUIDED,
    PLACES,
    Place,
    Results,
    Suite,
    Values,
    geometric_ratio,
    mean,
    percent,
)

__all__ = [
    "best_prior_table",
    "equireg_tasks_table",
    "equireg_verdict_table",
    "joint_prior_table",
    "rival_pair",
    "rivals_table",
]

_SUITES = {
    "suite-standard": "64 x 64 nodes, 125 sensors",
    "suite-paper": "128 x 128 nodes, 500 sensors",
}


def equireg_verdict_table(results: Results, *suites: str) -> str:
    """Return EquiReg's effect over all tasks by three figures, each with its standard error.

    They are the change of single samples' error and of the mean's corrected for the spread, in per
    cent, and the coverage without and with it.

    Arguments:
        results: all records.
        suites: names of their files.
    """
    rows = []
    for suite in (Suite(results, name) for name in suites):
        for method in suite.equireg_methods():
            changes = (
                f"{suite.by_equireg_overall(method, m):+.1f}" for m in ("sample_error", "corrected")
            )
            covered = (f"{suite.coverage(method, on):.0f}" for on in (False, True))
            rows.append([_SUITES.get(suite.name, suite.name), method, *changes, *covered])
    numbers = [
        *("single samples", "mean, corrected for the spread"),
        *(f"coverage of 60 %, {use}" for use in ("without", "with EquiReg")),
    ]
    return render_table(["setting", "solver"], numbers, rows)


def equireg_tasks_table(results: Results, name: str) -> str:
    """Return EquiReg's change of the corrected mean on each task, and the coverage of 60 %."""
    suite = Suite(results, name)
    rows = [
        [
            " ".join(place),
            *(
                f"{suite.by_equireg(place, method, 'corrected'):+.1f}; "
                f"{_coverage(suite, method, place)}"
                for method in suite.equireg_methods()
            ),
        ]
        for place in PLACES
    ]
    return render_table(["task", *suite.equireg_methods()], [], rows)


def _coverage(suite: Suite, method: str, place: Place) -> str:
    return " → ".join(f"{suite.coverage(method, on, [place]).value:.0f}" for on in (False, True))


def joint_prior_table(results: Results, ours: str, theirs: str) -> str:
    """Return `rivals_table` where all have the joint prior, of the tasks that are recorded.

    Arguments:
        results: all records.
        ours: name of the file with records of `moment`.
        theirs: name of the file with those of its rivals.
    """
    recorded = {(r["pde"], r["task"]) for r in results.rows(f"{ours}.instances") if _joint(r)}
    places = [place for place in PLACES if place in recorded]
    return rivals_table(results, (ours, theirs), places, GUIDED[:-1], joint=True)


def best_prior_table(results: Results, name: str) -> str:
    """Return `rivals_table` where each has the prior that suits it best."""
    return rivals_table(results, (name, name), PLACES, GUIDED)


def rivals_table(
    results: Results,
    files: tuple[str, str],
    places: Sequence[Place],
    rivals: Sequence[str],
    *,
    joint: bool = False,
) -> str:
    """Return by how many per cent the errors of published solvers exceed those of `moment`.

    One table is of single samples, one of means corrected for the spread. Antithetic pairs leave
    next to no spread in the mean of `moment`, so that it is not corrected.

    Arguments:
        results: all records.
        files: names of the file with records of `moment` and of that with those of the rivals.
        places: tasks.
        rivals: names of solvers.
        joint: whether those of `moment` with the PDE's joint prior count, not those with its own.
    """
    tables = []
    for measure, head in (("sample_error", "single sample"), ("corrected", "mean")):
        lines = {
            place: [
                rival_pair(results, files, place, method, measure, joint=joint) for method in rivals
            ]
            for place in places
        }
        power = 0.5 if measure == "corrected" else 1
        rows = []
        for place, pairs in lines.items():
            own = mean(pairs[0][1]).value ** power
            cells = (f"{percent(geometric_ratio([pair], power)):+.0f}" for pair in pairs)
            rows.append([" ".join(place), f"{100 * own:.2f}", *cells])
        if len(lines) == len(PLACES):
            overall = (geometric_ratio(pairs, power) for pairs in zip(*lines.values(), strict=True))
            rows.append(["all, geometric mean", "", *(f"{percent(r):+.0f}" for r in overall)])
        numbers = [f"{head} of `moment`, %", *(f"{method}, change in %" for method in rivals)]
        tables.append(render_table(["task"], numbers, rows))
    return "\n\n".join(tables)


def rival_pair(
    results: Results,
    files: tuple[str, str],
    place: Place,
    method: str,
    measure: str,
    *,
    joint: bool = False,
) -> tuple[Values, Values]:
    """Return the scores of a published solver and of `moment`; squares where means are corrected.

    Arguments as in `rivals_table`; `measure` is `sample_error` or `corrected`.
    """
    where = {"given_prior": place[0] if joint else None}
    theirs = results.values(files[1], place, method, measure)
    if measure != "corrected":
        return theirs, results.values(files[0], place, "moment", measure, where=where)
    own = results.values(files[0], place, "moment", metric="relative_l2", where=where)
    return theirs, {i: error**2 for i, error in own.items()}


def _joint(record: Record) -> bool:
    return record["method"] == "moment" and record.get("given_prior") == record["pde"]
