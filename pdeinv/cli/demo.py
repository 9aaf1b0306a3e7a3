"""`pdeinv demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import PDE_HELP

__all__ = ["demo"]


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the sensor tables, NetCDF files and figures.")
    ] = Path("pdeinv-demo"),
    pde: Annotated[
        list[str] | None,
        typer.Option(help=f"{PDE_HELP} Repeat for several; by default all with an example."),
    ] = None,
) -> None:
    """Reconstruct shipped examples from shipped sensors and print a scorecard."""
    from pdeinv.benchmarks.demo import run_demo

    run_demo(out, pde, echo=typer.echo)
