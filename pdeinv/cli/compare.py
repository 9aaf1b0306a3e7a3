"""`pdeinv compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["compare"]


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more results of `pdeinv reconstruct` from the same table of sensors."
        ),
    ],
) -> None:
    """Compare results of the same readings: evidence, Bayes factors and predictive scores."""
    from pdeinv.comparison import compare as table_of
    from pdeinv.comparison import of_bounds

    table = table_of(*results)
    typer.echo("\n".join(filter(None, (_shown(table), of_bounds(table)))))


def _shown(table: pd.DataFrame) -> str:
    """Return a table for people, and its most probable model."""
    columns = {
        "solver": table["solver"],
        "log evidence": [
            ("≥ " if row.bound and row.log_evidence == row.log_evidence else "")
            + _number(row.log_evidence)
            for row in table.itertuples()
        ],
        "Bayes factor": table["bayes_factor"].map(_factor),
        "evidence against": table["against"],
        "score": table["score"].map(_number),
        "difference": [
            f"{_number(row.score_difference)} ± {_number(row.score_error)}"
            if row.score_error > 0
            else ""
            for row in table.itertuples()
        ],
    }
    rows = [
        ["", *columns],
        *(
            [name, *row]
            for name, row in zip(table.index, zip(*columns.values(), strict=True), strict=True)
        ),
    ]
    widths = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{cell!s:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _factor(value: float) -> str:
    return ">1e300" if value > 1e300 else _number(value, ".3g")


def _number(value: float, form: str = ".2f") -> str:
    return "none" if value != value else format(value, form)
