"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdeinv.errors import InputError

if TYPE_CHECKING:
    from pdeinv.datasets import Problem

__all__ = [
    "ANY_PDE_HELP",
    "PDE_HELP",
    "Device",
    "Dims",
    "Names",
    "Parameters",
    "PdeName",
    "ProblemFile",
    "Scheduler",
    "Seed",
    "check_outputs",
    "parsed",
    "posed",
]

PDE_HELP = "Name of a PDE (see `pdeinv info`)."
ANY_PDE_HELP = (
    "Name of a PDE (see `pdeinv info`), or file.py:Class or file.py:instance for one of your own."
)


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise InputError(
            f"--seed must be an integer from 0 to {2**32 - 1}, got {seed}; choose another"
        )
    return seed


PdeName = Annotated[str, typer.Option("--pde", help=ANY_PDE_HELP)]
ProblemFile = Annotated[
    Path | None,
    typer.Option(
        "--problem",
        metavar="FILE",
        help="File of a problem (see `pdeinv problem`), in place of a PDE.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="Device of torch on which to compute, such as cuda, or cuda:1. A seed gives the same "
        "random numbers on each."
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        callback=_checked_seed, help="Seed of all randomness; the same seed gives the same result."
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Scheduler of dask, whose workers do the work: tcp://host:8786, a scheduler file that "
        "ends in .json, or local for a cluster on this machine.",
    ),
]
Names = Annotated[
    str | None,
    typer.Option(
        "--names",
        metavar="COEFFICIENT,SOLUTION",
        help="The two variables of a dataset that does not state them.",
    ),
]
Dims = Annotated[
    str | None,
    typer.Option(
        "--dims",
        metavar="AXES",
        help="The axes of these variables in order, such as sample,y,x, if the dataset does not "
        "state them; time for one of which the last is read. Those of a MATLAB file are in "
        "MATLAB's order.",
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        metavar="NAME=VALUE",
        help="Value of a PDE parameter (see `pdeinv info`), or 1e-4..1e-2 for one that is not "
        "known and likely lies in that range; may be repeated.",
    ),
]


def parsed(parameters: list[str] | None) -> dict[str, float | str | tuple[float, float]]:
    """Return the values of NAME=VALUE pairs by name: numbers where they are, pairs of them for a
    range with two dots, else texts.

    Raises:
        InputError: an item has another form.
    """
    values: dict[str, float | str | tuple[float, float]] = {}
    for item in parameters or []:
        name, _, text = (part.strip() for part in item.partition("="))
        if not name or not text:
            raise InputError(f"--param must be NAME=VALUE, got {item!r}; write it as tau=5")
        low, dots, high = text.partition("..")
        try:
            values[name] = (float(low), float(high)) if dots else _number(text)
        except ValueError:
            if dots and "/" not in text:
                raise InputError(
                    f"the range of --param {name} must be LOW..HIGH, got {text!r}; write it as 1..3"
                ) from None
            values[name] = text
    return values


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def posed(
    pde: str | None, problem: Path | None, parameters: list[str] | None, option: str = "--pde"
) -> Problem:
    """Return the problem of a file, or the ready-made one of a name.

    Arguments:
        pde: the name.
        problem: the file.
        parameters: NAME=VALUE pairs, for a name.
        option: how the command line states the name.

    Raises:
        InputError: both or neither are given, or the problem is not allowed.
    """
    from pdeinv.datasets import Problem

    if (pde is None) == (problem is None):
        got = "neither" if pde is None else "both"
        raise InputError(f"one of {option} and --problem must be given, got {got}; give one")
    if problem is None:
        assert pde is not None
        if pde.endswith(".toml"):
            raise InputError(
                f"{option} must be the name of a PDE, or file.py:Class, got {pde!r}; use --problem "
                f"{pde}"
            )
        return Problem.named(pde, **parsed(parameters))
    if parameters:
        raise InputError(
            f"--param must be left out with --problem, got {parameters[0]!r}; state it in {problem}"
        )
    return Problem.load(problem)


def check_outputs(
    results: dict[str, Path | None], figures: dict[str, Path | None], inputs: list[Path]
) -> None:
    """Refuse outputs that cannot be written, and those with the name of another file.

    Arguments:
        results, figures: files to write by their options.
        inputs: files that are read.

    Raises:
        InputError: there is one.
    """
    from pdeinv.files import check_figure, check_writable

    for path in filter(None, results.values()):
        check_writable(path)
    for path in filter(None, figures.values()):
        check_figure(path)
    given = results | figures
    outputs = [path.resolve() for path in given.values() if path]
    if len({*outputs}) < len(outputs) or {*outputs} & {path.resolve() for path in inputs}:
        raise InputError(
            f"an output must not have the name of another file of this command; choose another for "
            f"{' or '.join(given)}"
        )
