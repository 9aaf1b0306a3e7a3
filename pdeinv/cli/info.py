"""`pdeinv info`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from pdeinv.coefficients import CoefficientPrior

__all__ = ["info"]

_IN = " " * 19


def info() -> None:
    """Show the PDEs, their fields, parameters and default priors, the kinds of priors, the solvers,
    the shipped models and versions."""
    from importlib.metadata import version

    import torch

    from pdeinv.coefficients import CoefficientPrior
    from pdeinv.datasets import PDES, pde_by_name
    from pdeinv.priors import shipped
    from pdeinv.solvers import SOLVERS
    from pdeinv.solvers.supported_readings import BIASES, CENSORED, UNKNOWNS

    typer.echo(
        f"pdeinv {version('pdeinv')}, torch {torch.__version__}, {torch.get_num_threads()} threads"
    )
    typer.echo("\nPDEs (fields: coefficient -> solution), as published:")
    for name in sorted(PDES):
        pde = pde_by_name(name)
        coefficient, solution, derived = pde.coefficient_field, pde.solution_field, pde.derived
        typer.echo(f"  {name:<17}{pde.equation}")
        more = f" (and {', '.join(field.name for field in derived)})" if derived else ""
        typer.echo(f"  {'':<17}{coefficient.name} -> {solution.name}{more}, {pde.grid_kind} grid")
        typer.echo(_filled(_in_words(pde.parameters)))
        prior = pde.default_prior
        typer.echo(_filled(f"default prior ({prior.name}): {prior.phrase(pde.domain)}"))
    typer.echo("\nPriors of a coefficient, for `prior=` and the table [prior] of a problem file:")
    for kind, prior_class in sorted(CoefficientPrior.kinds.items()):
        words = (prior_class.__doc__ or "").splitlines()[0]
        typer.echo(_filled(words, first=f"  {kind:<17}"))
        typer.echo(_filled(_stated_by(prior_class)))
    typer.echo("\nSolvers:")
    for name, solver in sorted(SOLVERS.items()):
        words = " ".join((solver.__doc__ or "").partition("\n\n")[0].split())
        typer.echo(fill(f"  {name:<22}{words}", 100, subsequent_indent=" " * 24))
    for special, words in (
        (BIASES, "readings that share a bias"),
        (CENSORED, "censored readings"),
        (UNKNOWNS, "unknown numbers"),
    ):
        able = [name for name, solver in sorted(SOLVERS.items()) if special in solver.takes]
        typer.echo()
        given = f"Solvers for {words}: {', '.join(able)}"
        typer.echo(fill(given, 100, subsequent_indent="  ", break_on_hyphens=False))
    typer.echo(f"\nShipped models: {', '.join(shipped()) or 'none'}")


def _filled(text: str, first: str = _IN) -> str:
    return fill(text, 100, initial_indent=first, subsequent_indent=_IN)


def _stated_by(prior: type[CoefficientPrior]) -> str:
    """Return what states a prior: its fields, with their defaults."""
    listed = ", ".join(
        f.name
        if f.default is dataclasses.MISSING
        else f"{f.name}={'unknown' if f.default is None else f.default}"
        for f in dataclasses.fields(prior)
    )
    return listed if prior.storable else f"{listed} (Python only)"


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
