"""What files of version 2 and before state: one list of parameters of the PDE and of the prior."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem

__all__ = ["physics_and_prior"]


def physics_and_prior(
    name: str, parameters: Mapping[str, Any]
) -> tuple[PDE, CoefficientPrior | None]:
    """Return a PDE and the prior of its coefficient; None for a prior of which no number is stated.

    Arguments:
        name: of the PDE.
        parameters: of the PDE, and numbers of its `default_prior`.

    Raises:
        InputError: a name is unknown, or a value is not allowed.
    """
    problem = Problem.named(name, **parameters)
    pde = problem.physics
    stated = bool(parameters.keys() - set(pde.parameter_names()))
    return pde, problem.coefficient_prior if stated else None
