"""Options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from pdeinv.errors import InputError

__all__ = ["Parameters", "PdeName", "Seed", "parsed"]


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed} is out of range; use an integer from 0 to {2**32 - 1}")
    return seed


PdeName = Annotated[str, typer.Option("--pde", help="poisson, helmholtz, darcy or navier-stokes.")]
Seed = Annotated[
    int,
    typer.Option(
        callback=_checked_seed, help="Seed of all randomness; the same seed gives the same result."
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="A PDE parameter other than the default; may be repeated.",
    ),
]


def parsed(parameters: list[str] | None) -> dict[str, float]:
    """Numbers by name, of NAME=NUMBER."""
    values = {}
    for item in parameters or []:
        name, equals, text = item.partition("=")
        try:
            number = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(
                f"--param {item!r} is not of the form NAME=NUMBER, for example --param tau=5"
            )
        values[name.strip()] = int(number) if number.is_integer() else number
    return values
