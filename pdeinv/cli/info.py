"""`pdeinv info`."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import typer

__all__ = ["info"]

_IN = " " * 17


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
    typer.echo("\nPDEs (fields: coefficient -> solution):")
    for name in sorted(PDES):
        pde = pde_by_name(name)
        coefficient, solution, derived = pde.coefficient_field, pde.solution_field, pde.derived
        typer.echo(f"  {name:<15}{pde.equation}")
        more = f" (and {', '.join(field.name for field in derived)})" if derived else ""
        typer.echo(f"  {'':<15}{coefficient.name} -> {solution.name}{more}, {pde.grid_kind} grid")
        typer.echo(fill(_in_words(pde.parameters), 100, initial_indent=_IN, subsequent_indent=_IN))
    typer.echo("\nSolvers:")
    for name, solver in sorted(SOLVERS.items()):
        typer.echo(f"  {name:<22}{(solver.__doc__ or '').splitlines()[0]}")
    typer.echo(f"\nShipped priors and operators: {', '.join(shipped()) or 'none'}")


def _in_words(parameters: Mapping[str, Any]) -> str:
    """Return the parameters of a PDE; a field by its name, and without an empty list."""
    shown = []
    for name, value in parameters.items():
        phrase = getattr(value, "phrase", getattr(value, "name", value))
        text = phrase() if callable(phrase) else phrase
        if value == ():
            continue
        if isinstance(text, int | float) and not isinstance(text, bool):
            text = f"{text:g}"
        shown.append(f"{name}={text}")
    return ", ".join(shown)
