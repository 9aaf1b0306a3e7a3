"""`pdeinv generate`, `pdeinv demo` and `pdeinv info`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import Parameters, Seed, parsed

__all__ = ["demo", "generate", "info"]


def generate(
    pde: Annotated[str, typer.Argument(help="poisson, helmholtz, darcy or navier-stokes.")],
    n: Annotated[int, typer.Option(help="Number of (coefficient, solution) pairs.")],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 128,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(help="Processes; as many as pay if not given. The data do not depend on it."),
    ] = None,
    param: Parameters = None,
) -> None:
    """Generate a dataset of random coefficients and their solutions; an interrupted run resumes
    when repeated."""
    from pdeinv.datasets import generate as run
    from pdeinv.datasets import pde_by_name

    run(pde_by_name(pde, **parsed(param)), n, grid, seed, out, workers=workers, progress=True)
    typer.echo(f"{out}: {n} pairs of {pde} on {grid} x {grid} nodes, seed {seed}")


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the sensor tables, NetCDF files and figures.")
    ] = Path("pdeinv-demo"),
    pde: Annotated[list[str] | None, typer.Option(help="Only this PDE; may be repeated.")] = None,
) -> None:
    """Reconstruct shipped examples of all four PDEs from shipped sensors and print a scorecard."""
    from pdeinv.benchmarks.demo import run_demo

    run_demo(out, pde, echo=typer.echo)


def info() -> None:
    """Show the PDEs with their fields and parameters, the solvers, the shipped priors and the
    versions."""
    from importlib.metadata import version

    import torch

    from pdeinv.datasets import PDES
    from pdeinv.priors import shipped
    from pdeinv.solvers import SOLVERS

    typer.echo(
        f"pdeinv {version('pdeinv')}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    typer.echo("\nPDEs on the unit square (fields: coefficient -> solution):")
    for name, kind in sorted(PDES.items()):
        pde = kind()
        typer.echo(f"  {name:<15}{pde.equation}")
        typer.echo(
            f"  {'':<15}{pde.coefficient_field.name} -> {pde.solution_field.name}, "
            f"{pde.grid_kind} grid"
        )
        typer.echo(
            f"  {'':<15}{', '.join(f'{key}={value:g}' for key, value in pde.parameters.items())}"
        )
    typer.echo("\nSolvers:")
    for name, kind in sorted(SOLVERS.items()):
        typer.echo(f"  {name:<22}{(kind.__doc__ or '').splitlines()[0]}")
    typer.echo(f"\nShipped priors and operators: {', '.join(shipped()) or 'none'}")
