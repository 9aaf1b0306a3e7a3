"""`pdeinv check`."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.cli.options import ANY_PDE_HELP, Parameters, ProblemFile, Seed, posed

__all__ = ["check"]


def check(
    pde: Annotated[str | None, typer.Argument(help=ANY_PDE_HELP)] = None,
    problem: ProblemFile = None,
    param: Parameters = None,
    grid: Annotated[int, typer.Option(help="Nodes on the shorter side.")] = 16,
    seed: Seed = 0,
) -> None:
    """Check a PDE of one's own: shapes, batches, claims and derivatives, on random coefficients."""
    from pdeinv.checks import Bounds, integer
    from pdeinv.datasets import check_pde
    from pdeinv.grid import LARGEST

    nodes = integer("--grid", grid, Bounds(8, LARGEST))
    given = posed(pde, problem, param, "PDE")
    table = check_pde(given.physics, given.coefficient_prior, grid=nodes, seed=seed)
    width = int(table.check.str.len().max())
    typer.echo(f"{given.physics.name}: {given.physics.equation}")
    typer.echo(f"{'check':<{width}}  deviation  allowed")
    for check, deviation, allowed, note in table.itertuples(index=False):
        limit = f"{allowed:.2g}" if allowed < float("inf") else "any"
        typer.echo(f"{check:<{width}}  {deviation:<9.2g}  {limit:<7}  {note}".rstrip())
