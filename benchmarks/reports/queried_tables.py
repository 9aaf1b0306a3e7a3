"""Tables of documentation pages that compare several files of records, as Markdown."""

from __future__ import annotations

from pdeinv.benchmarks.published import best_published
from pdeinv.benchmarks.reports.queries import (
    GUIDED,
    PLACES,
    Place,
    Results,
    Suite,
    difference,
    mean,
)
from pdeinv.benchmarks.reports.tables import render_table

__all__ = ["equireg_tasks_table", "equireg_verdict_table", "joint_prior_table", "single_table"]


def equireg_verdict_table(results: Results) -> str:
    """Return EquiReg's changes over all tasks: errors and CRPS in per cent, and coverage."""
    suite = Suite(results, "suite-standard")
    measures = ("sample_error", "error", "corrected", "crps")
    numbers = ["single samples", "mean of 4 samples", "mean, corrected", "CRPS"]
    rows = [
        [
            method,
            *(f"{suite.by_equireg_overall(method, m):+.1f}" for m in measures),
            _coverage(suite, method),
        ]
        for method in GUIDED
    ]
    return render_table(["solver"], [*numbers, "coverage of 90 %, %"], rows)


def equireg_tasks_table(results: Results) -> str:
    """Return EquiReg's change of the corrected mean on each task, and the coverage."""
    suite = Suite(results, "suite-standard")
    rows = [
        [
            " ".join(place),
            *(
                f"{suite.by_equireg(place, method, 'corrected'):+.1f}; "
                f"{_coverage(suite, method, place)}"
                for method in GUIDED
            ),
        ]
        for place in PLACES
    ]
    return render_table(["task", *GUIDED], [], rows)


def _coverage(suite: Suite, method: str, place: Place | None = None) -> str:
    places = PLACES if place is None else [place]
    return " → ".join(f"{suite.coverage(method, on, places):.0f}" for on in (False, True))


def joint_prior_table(results: Results) -> str:
    """Return the errors of the moment solver with its rivals' prior, in per cent."""
    rows = []
    for place in (p for p in PLACES if p[0] == "darcy"):
        ours = results.values("moment-equireg-64", place, "moment")
        fundps, limit = (results.values("suite-standard", place, m) for m in ("fundps", "limit"))
        shared = ({i: side[i] for i in ours} for side in (ours, fundps, limit))
        own, rival, reference = (f"{100 * mean(side).value:.2f}" for side in shared)
        paired = 100 * difference(ours, fundps)
        rows.append([place[1], own, rival, f"{paired:.2f}", reference])
    numbers = ["`moment`, joint prior, %", "FunDPS, %", "difference", "`level-set`, %"]
    return render_table(["Darcy, 16 instances"], numbers, rows)


def single_table(results: Results) -> str:
    """Return single samples of the moment solver, what an exact one has, and published ones."""
    rows = []
    for place in PLACES:
        single = results.values("moment-128", place, "moment", "sample_error")
        limit = mean(results.values("standard-128", place, "limit", first=len(single)))
        rate = place == ("darcy", "inverse")
        rows.append(
            [
                " ".join(place) + (" (error rate)" if rate else ""),
                f"{100 * mean(single):.2f}",
                "" if rate else f"{100 * 2**0.5 * limit.value:.2f}",
                f"{best_published(*place):.2f}",
            ]
        )
    numbers = ["single samples of `moment`, %", "√2 times the limit, %", "best published, %"]
    return render_table(["task"], numbers, rows)
