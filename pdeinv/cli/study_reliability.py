"""`pdeinv study soak`, `memory`, `crashes`, `workers`, `roofline`: what the package survives, and
takes."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.cli.options import Seed
from pdeinv.cli.study import Cases, ResumingOut, checked_instances, checked_names, measure

__all__ = ["crashes", "memory", "roofline", "soak", "workers"]

_Grids = Annotated[
    list[int] | None,
    typer.Option(min=8, max=4096, help="Nodes per side; may be repeated. 64 and 128 if none."),
]


def soak(
    out: ResumingOut,
    part: Annotated[
        list[str] | None,
        typer.Option(
            help="'single', 'threads', 'forked' or 'spawned'; may be repeated. All if none."
        ),
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(min=2, max=10**6, help="Reconstructions of each part. Its own if not given."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Threads, or processes, at once.")
    ] = 4,
) -> None:
    """Make many reconstructions; count failures and other answers, and measure memory."""
    from pdeinv.benchmarks.studies.soak import COUNTS, run, soak_table

    parts = checked_names(part or (), COUNTS, "part")
    measure(run, soak_table, out, parts=parts, count=count, workers=workers)


def memory(
    out: ResumingOut,
    case: Cases = None,
    grid: _Grids = None,
    sensors: Annotated[
        list[int] | None,
        typer.Option(min=1, max=10**6, help="Sensors; may be repeated. 100 and 1000 if none."),
    ] = None,
) -> None:
    """Measure the peak of the memory that commands take, and what they state before."""
    from pdeinv.benchmarks.studies.memory import CASES, memory_table, run

    sizes = {"grids": grid or (64, 128), "sensors": sensors or (100, 1000)}
    measure(run, memory_table, out, cases=checked_names(case or (), CASES, "case"), **sizes)


def roofline(
    out: ResumingOut,
    pde: Annotated[
        list[str] | None,
        typer.Option(help="Name of a published PDE; may be repeated. All if not given."),
    ] = None,
    grid: _Grids = None,
    sensors: Annotated[
        list[int] | None,
        typer.Option(min=1, max=10**6, help="Sensors; may be repeated. 50 and 500 if none."),
    ] = None,
) -> None:
    """Measure the time of each default solver over the least that it must compute."""
    from pdeinv.benchmarks import published
    from pdeinv.benchmarks.studies.roofline import GRIDS, SENSORS, run, speed_table

    sizes = {"grids": grid or GRIDS, "sensors": sensors or SENSORS}
    pdes = checked_names(pde or published.PDES, published.PDES, "PDE")
    measure(run, speed_table, out, pdes=pdes, **sizes)


def crashes(
    out: ResumingOut,
    kills: Annotated[int, typer.Option(help="Number of kills of each command.")] = 100,
    case: Cases = None,
    seed: Seed = 0,
) -> None:
    """Kill commands at random moments, repeat them, and compare with undisturbed runs."""
    from pdeinv.benchmarks.studies.crashes import CASES, crashes_table, run
    from pdeinv.checks import Bounds, integer

    integer("--kills", kills, Bounds(1, 10**6))
    cases = checked_names(case or (), CASES, "case")
    measure(run, crashes_table, out, kills=kills, cases=cases, seed=seed)


def workers(
    out: ResumingOut,
    instances: Annotated[
        int, typer.Option(callback=checked_instances, help="Number of repetitions.")
    ] = 3,
    number: Annotated[
        list[int] | None,
        typer.Option(
            "--workers", min=1, help="Number of workers; may be repeated. 1 and 2 if not given."
        ),
    ] = None,
    case: Cases = None,
    grid: Annotated[
        int | None, typer.Option(help="Nodes per side. Those of each case if not given.")
    ] = None,
) -> None:
    """Time generation, a benchmark and reconstructions on dask clusters of this machine."""
    from pdeinv.benchmarks.studies.workers import CASES, fields_table, run, workers_table

    options = {"workers": number or (1, 2), "cases": checked_names(case or (), CASES, "case")}
    given = {"instances": instances, "grid": grid, **options}
    measure(run, lambda rows: f"{workers_table(rows)}\n\n{fields_table(rows)}", out, **given)
