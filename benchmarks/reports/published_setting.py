"""The published solvers at their papers' setting: single samples next to the papers' figures."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from pdeinv.benchmarks.published import PUBLISHED
from pdeinv.benchmarks.records import Record, settings_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.reports.queries import PLACES, Place, Results
from pdeinv.benchmarks.reports.standings import reported

__all__ = ["RUNS", "papers_figures", "published_setting_table", "runs_of", "single_sample"]

RUNS: dict[str, Callable[[Record], bool]] = {
    "preset `published`": lambda r: _published(r) and not r["given_prior"],
    "the same, exact denoiser": lambda r: _published(r) and bool(r["given_prior"]),
    "preset `default`": lambda r: not _published(r) and not r["given_prior"],
}
"""What ran, and which records are of it."""
PAPERS = {"fundps": "FunDPS", "diffusionpde": "DiffusionPDE", "ddis": "DDIS"}
"""How the names of the published figures begin, by method."""


def published_setting_table(results: Results, name: str, reference: str) -> str:
    """Return errors of single samples in per cent, next to those of the papers and of `moment`.

    Arguments:
        results: all records.
        name: of the file of instances of the published solvers.
        reference: of that with `moment` on the same instances.
    """
    rows = []
    ran = {r["method"] for r in results.rows(f"{name}.instances")}
    for method in (*PAPERS, *sorted(ran - PAPERS.keys())):
        for place in PLACES:
            runs = [runs_of(results, name, place, method, run) for run in RUNS]
            instances = {r["instance"] for run in runs for r in run}
            if not instances:
                continue
            right = [
                r for r in _on(results, reference, place, "moment") if r["instance"] in instances
            ]
            rows.append(
                [
                    method,
                    " ".join(place),
                    "; ".join(f"{error:g}" for error in papers_figures(method, place)),
                    *(single_sample(run) for run in runs),
                    single_sample(right),
                    str(len(instances)),
                ]
            )
    return render_table(
        ["solver", "task"],
        ["paper, %", *(f"{run}, %" for run in RUNS), "`moment`, %", "instances"],
        rows,
    )


def papers_figures(method: str, place: Place) -> list[float]:
    """Return what papers report for a method on a task, in per cent, its own paper first."""
    if method not in PAPERS:
        return []
    return [
        by_task[place]
        for title, (_, by_task) in PUBLISHED.items()
        if title.startswith(PAPERS[method]) and place in by_task
    ]


def runs_of(results: Results, name: str, place: Place, method: str, run: str) -> list[Record]:
    """Return the records of a run, one for each instance; arguments as in the table."""
    return [r for r in _on(results, name, place, method) if RUNS[run](r)]


def single_sample(rows: list[Record]) -> str:
    """Return the mean error of single samples in per cent, or that they diverged."""
    known = [r["sample_error"] for r in rows if r["sample_error"] is not None]
    lost = len(rows) - len(known)
    if not rows or not known:
        return "diverged" if rows else ""
    return f"{100 * fmean(known):.2f}" + (f" ({lost} diverged)" if lost else "")


def _on(results: Results, name: str, place: Place, method: str) -> list[Record]:
    rows = results.rows(f"{name}.instances")
    return reported([r for r in rows if (r["pde"], r["task"]) == place and r["method"] == method])


def _published(record: Record) -> bool:
    return settings_of(record).get("preset") == "published"
