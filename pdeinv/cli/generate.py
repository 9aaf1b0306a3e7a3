"""`pdeinv generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import ANY_PDE_HELP, Parameters, Seed, parsed

__all__ = ["generate"]


def generate(
    pde: Annotated[str, typer.Argument(help=ANY_PDE_HELP)],
    n: Annotated[int, typer.Option(help="Number of (coefficient, solution) pairs.")],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    grid: Annotated[int, typer.Option(help="Nodes on the shorter side of the domain.")] = 128,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of worker processes, one thread each; by default as many as are worth "
            "starting. The data do not depend on it."
        ),
    ] = None,
    param: Parameters = None,
) -> None:
    """Generate a dataset of random coefficients and their solutions.

    The same command resumes an interrupted run.
    """
    from pdeinv.datasets import generate as run
    from pdeinv.datasets import pde_by_name

    physics = pde_by_name(pde, **parsed(param))
    run(physics, n, grid, seed, out, workers=workers, progress=True)
    typer.echo(f"{out}: {n} pairs of {pde} on {physics.grid(grid)} nodes, seed {seed}")
