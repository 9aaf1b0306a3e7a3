"""For which problem a learned model is, as its training states it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.external import UnknownFile, named_by_data
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.base import DenoisingPrior
from pdeinv.symmetry import Group

__all__ = [
    "fields_of",
    "joint_fields",
    "names_of",
    "of_coefficient",
    "shared_symmetries",
    "trained_coefficients",
    "trained_grid",
    "trained_physics",
    "with_derived",
]


def joint_fields(pde: PDE) -> tuple[Field, ...]:
    """Return the fields of a joint prior: all but those that the PDE derives from them."""
    derived = sum(f.name in pde.outputs for f in pde.derived)
    return pde.fields[: len(pde.fields) - derived]


def with_derived(pde: PDE, states: torch.Tensor) -> torch.Tensor:
    """Return states (batch, channel, ny, nx) of a joint prior with the PDE's derived fields."""
    if not pde.outputs:
        return states
    a, u = states[:, :1], states[:, 1:]
    return torch.cat([a, pde.completed(a, u)], dim=1)


@runtime_checkable
class _WithFields(Protocol):
    @property
    def fields(self) -> tuple[Field, ...]: ...


def fields_of(model: object) -> tuple[Field, ...] | None:
    """Return the fields of a model's channels, or None if it does not state them."""
    return model.fields if isinstance(model, _WithFields) else None


def trained_physics(model: object) -> PDE | None:
    """Return the PDE on whose states a model was trained; None where it states none of the
    package's.

    Raises:
        InputError: its parameters are wrong.
    """
    stated = getattr(_holder(model), "pde", None)
    with named_by_data():
        return pde_by_name(stated[0], **stated[1]) if stated and stated[0] in PDES else None


def trained_coefficients(model: object) -> CoefficientPrior | None:
    """Return the distribution of the coefficients on which a model was trained; None where it does
    not state it, as for a dataset that another program made, or states a Python file that the
    caller has not loaded.

    Raises:
        InputError: what it states is none.
    """
    stated = getattr(_holder(model), "coefficient_prior", None)
    try:
        with named_by_data():
            return CoefficientPrior.of(stated) if stated else None
    except UnknownFile:
        return None


def of_coefficient(model: object) -> bool:
    """Return whether a model states that it is of one field alone."""
    return len(fields_of(model) or ()) == 1


def shared_symmetries(pde: PDE, prior: object) -> Group:
    """Return the symmetries of a PDE that a prior of the coefficient has too, or the distribution
    of a learned one's training; those of the PDE where it is not known."""
    coefficients = prior if isinstance(prior, CoefficientPrior) else trained_coefficients(prior)
    return Problem(pde, coefficients).symmetries if coefficients else pde.symmetries


def _holder(model: object) -> object:
    """Return what states the PDE and the grid of a model's training."""
    return model.gaussian if isinstance(model, DenoisingPrior) else model


def trained_grid(model: object) -> Grid | None:
    """Return the grid of a model's training, None where it does not state it."""
    grid = getattr(_holder(model), "grid", None)
    return grid if isinstance(grid, Grid) else None


def names_of(fields: Sequence[Field]) -> str:
    """Return the names of fields in words."""
    return " and ".join(field.name for field in fields)
