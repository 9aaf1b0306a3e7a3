"""`pdeinv study soak`: many reconstructions at once; `memory`: what commands take."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.cli.study import ResumingOut
from pdeinv.errors import InputError

__all__ = ["memory", "soak"]


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
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies.soak import COUNTS, run, soak_table

    for name in part or ():
        if name not in COUNTS:
            raise InputError(f"part must be one of {', '.join(COUNTS)}, got {name!r}; choose one")
    records = run(
        out,
        parts=part or (),
        count=count,
        workers=workers,
        command=typed_command(),
        echo=typer.echo,
    )
    typer.echo(soak_table(records))


def memory(
    out: ResumingOut,
    case: Annotated[
        list[str] | None, typer.Option(help="Name of a command; may be repeated. All if not given.")
    ] = None,
    grid: Annotated[
        list[int] | None,
        typer.Option(min=8, max=4096, help="Nodes per side; may be repeated. 64 and 128 if none."),
    ] = None,
    sensors: Annotated[
        list[int] | None,
        typer.Option(min=1, max=10**6, help="Sensors; may be repeated. 100 and 1000 if none."),
    ] = None,
) -> None:
    """Measure the peak of the memory that commands take, and what they state before."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies.memory import CASES, memory_table, run

    for name in case or ():
        if name not in CASES:
            raise InputError(f"case must be one of {', '.join(CASES)}, got {name!r}; choose one")
    records = run(
        out,
        cases=case or (),
        grids=grid or (64, 128),
        sensors=sensors or (100, 1000),
        command=typed_command(),
        echo=typer.echo,
    )
    typer.echo(memory_table(records))
