"""`pdeinv info`."""

from __future__ import annotations

import typer

__all__ = ["info"]


def info() -> None:
    """Show the PDEs, their fields and parameters, the solvers, the shipped priors and versions."""
    from importlib.metadata import version

    import torch

    from pdeinv.datasets import PDES, pde_by_name
    from pdeinv.priors import shipped
    from pdeinv.solvers import SOLVERS

    typer.echo(
        f"pdeinv {version('pdeinv')}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    typer.echo("\nPDEs on the unit square (fields: coefficient -> solution):")
    for name in sorted(PDES):
        pde = pde_by_name(name)
        more = "".join(f", {field.name}" for field in pde.derived)
        typer.echo(f"  {name:<15}{pde.equation}")
        typer.echo(
            f"  {'':<15}{pde.coefficient_field.name} -> {pde.solution_field.name}{more}, "
            f"{pde.grid_kind} grid"
        )
        parameters = (
            f"{key}={value if isinstance(value, str) else f'{value:g}'}"
            for key, value in pde.json_parameters().items()
            if isinstance(value, str | float | int)
        )
        typer.echo(f"  {'':<15}{', '.join(parameters)}")
    typer.echo("\nSolvers:")
    for name, solver in sorted(SOLVERS.items()):
        typer.echo(f"  {name:<22}{(solver.__doc__ or '').splitlines()[0]}")
    typer.echo(f"\nShipped priors and operators: {', '.join(shipped()) or 'none'}")
