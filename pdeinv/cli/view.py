"""`pdeinv view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import check_outputs

__all__ = ["view"]


def view(
    result: Annotated[Path, typer.Argument(help="Result of `pdeinv reconstruct` (NetCDF).")],
    out: Annotated[
        Path | None, typer.Option(help="Page to write (HTML); by default named after the result.")
    ] = None,
) -> None:
    """Write a page that shows a result: fields, samples, the posterior at a point, readings."""
    from pdeinv.files import atomic_write

    page = result.with_suffix(".html") if out is None else out
    check_outputs({"--out": page}, {}, [result])
    from pdeinv.result import open_result
    from pdeinv.view import view_page

    text = view_page(open_result(result))
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    typer.echo(f"{page}: open it in a browser")
