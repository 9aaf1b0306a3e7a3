"""Whether a dataset was made of a problem."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDE, PDES, Problem, open_dataset, problem_of
from pdeinv.datasets.channels import CHOICES
from pdeinv.datasets.header import FORMAT, Header
from pdeinv.errors import InputError

__all__ = ["check_dataset"]


def check_dataset(
    path: str | os.PathLike, problem: Problem, *, coefficient: bool = False, **contents: Any
) -> None:
    """Refuse a dataset whose physics or prior are not those of a problem.

    A file that does not state what it was made of is taken to be of the problem.

    Arguments:
        path: the dataset.
        problem: the problem.
        coefficient: compare what the coefficient alone depends on.
        contents: `names` and `dims`, as of `open_dataset`.

    Raises:
        InputError: the dataset cannot be read, or states something else.
    """
    with open_dataset(path, pde=problem.physics, **contents) as dataset:
        header = Header.read(dataset.attrs, path)
        if header.format != FORMAT:
            return
        physics = problem.physics
        if header.pde in PDES:
            made = problem_of(dataset)
            differences = [*_physics(made.physics, physics, coefficient), *_priors(made, problem)]
        elif header.pde != physics.name:  # of a user's class, which files know by its name alone
            differences = [f"pde = {described(header.pde)}, not {physics.name!r}"]
        else:
            differences = list(_different(header.pde_parameters, physics.json_parameters()))
    if differences:
        raise InputError(
            f"{path} must be of the problem, got {'; '.join(differences)}; make it with `pdeinv "
            f"generate --problem`, or leave out --problem"
        )


def _physics(made: PDE, wanted: PDE, coefficient: bool) -> Iterator[str]:
    if coefficient:
        keys = {"domain", "coefficient_field"}
    elif type(made) is not type(wanted):
        yield f"pde = {made.name!r}, not {wanted.name!r}"
        return
    else:
        keys = {*wanted.parameters} - {*CHOICES, *wanted.numerical_parameters}
    values = [{key: getattr(pde, key, None) for key in keys} for pde in (made, wanted)]
    yield from _different(values[0], values[1])


def _priors(made: Problem, wanted: Problem) -> Iterator[str]:
    if isinstance(wanted.prior, CoefficientPrior):
        yield from _different(made.coefficient_prior.to_json(), wanted.prior.to_json())


def _different(made: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for key in sorted({*made, *wanted}):
        one, other = made.get(key), wanted.get(key)
        if one != other:
            yield f"{key} = {described(one)}, not {described(other)}"
