"""`pdeinv generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import ANY_PDE_HELP, Parameters, ProblemFile, Scheduler, Seed, posed

__all__ = ["generate"]

_NODES = 128


def generate(
    n: Annotated[int, typer.Option(help="Number of (coefficient, solution) pairs.")],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    pde: Annotated[str | None, typer.Argument(help=ANY_PDE_HELP)] = None,
    problem: ProblemFile = None,
    grid: Annotated[
        int | None,
        typer.Option(
            help="Nodes on the shorter side of the domain; by default those of the problem's file, "
            "or 128."
        ),
    ] = None,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Number of worker processes, one thread each; by default as many as are worth "
            "starting. The data do not depend on it."
        ),
    ] = None,
    scheduler: Scheduler = None,
    shards: Annotated[
        int,
        typer.Option(
            help="Number of files, name-0001.h5 and so on for an --out of name.h5; at most one for "
            "16 samples. The data do not depend on it."
        ),
    ] = 1,
    param: Parameters = None,
) -> None:
    """Generate a dataset of random coefficients and their solutions.

    The same command resumes an interrupted run.
    """
    from pdeinv.datasets import generate as run
    from pdeinv.grid import Grid

    given = posed(pde, problem, param, "PDE")
    usual = given.grid if problem else _NODES
    nodes = usual if grid is None else grid
    out = run(
        given,
        n,
        nodes,
        seed,
        out,
        workers=workers,
        scheduler=scheduler,
        shards=shards,
        progress=True,
    )
    made = nodes if isinstance(nodes, Grid) else given.physics.grid(nodes)
    typer.echo(f"{out}: {n} pairs of {given.physics.name} on {made} nodes, seed {seed}")
