"""`pdeinv study soak`: many reconstructions in one process, in threads and in workers."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.cli.study import ResumingOut
from pdeinv.errors import InputError

__all__ = ["soak"]


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
