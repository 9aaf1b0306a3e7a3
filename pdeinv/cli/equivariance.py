"""`pdeinv equivariance`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import PdeName

__all__ = ["equivariance"]


def equivariance(
    pde: PdeName,
    prior: Annotated[
        str | None, typer.Option(help="File of a trained prior; the shipped one if not given.")
    ] = None,
    inverse_operator: Annotated[
        str | None,
        typer.Option(help="File of `pdeinv train --model inverse-operator`, one more candidate."),
    ] = None,
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 64,
    fields: Annotated[int, typer.Option(help="Fields of each kind.")] = 32,
    out: Annotated[Path | None, typer.Option(help="JSON-lines file to write.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")] = None,
) -> None:
    """Measure which function separates fields of the PDE from others by its equivariance.

    EquiReg needs such a function.
    """
    from pdeinv.files import check_figure, check_writable

    if out:
        check_writable(out)
    if plot:
        check_figure(plot)
    from pdeinv.benchmarks.provenance import provenance, typed_command
    from pdeinv.benchmarks.records import write_records
    from pdeinv.benchmarks.studies import equivariance as study
    from pdeinv.datasets import pde_by_name
    from pdeinv.files import save_figure

    records = study.run(
        pde_by_name(pde), prior, inverse_operator, grid=grid, fields=fields, progress=True
    )
    typer.echo(study.table(records))
    if out:
        made = provenance(typed_command())
        write_records(out, (record | made for record in records))
    if plot:
        save_figure(study.plot(records), plot)
