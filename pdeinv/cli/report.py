"""`pdeinv report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["report"]


def report(
    place: Annotated[
        Path,
        typer.Argument(
            help="The --out of `pdeinv benchmark`: a suite's folder, or a file NAME.jsonl."
        ),
    ],
    pictures: Annotated[
        bool,
        typer.Option(help="Compute the best, median and worst instance of each task again."),
    ] = True,
) -> None:
    """Write report.md and report.html, with tables and figures of the records of a benchmark."""
    from pdeinv.benchmarks.reports.html_report import write_page

    for path in write_page(place, pictures=pictures, progress=True):
        typer.echo(path)
