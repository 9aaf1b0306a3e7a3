"""For which problem a learned model is: what its training states, compared with a user's PDE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Field, Grid
from pdeinv.observation import Observation
from pdeinv.priors.base import DenoisingPrior
from pdeinv.priors.normalised import check_trained_grid
from pdeinv.symmetry import Group

__all__ = [
    "check_default_problem",
    "check_same_problem",
    "fields_of",
    "joint_fields",
    "joint_readings",
    "other_physics",
    "shared_symmetries",
    "trained_coefficients",
    "trained_problem",
    "with_derived",
]


def joint_fields(pde: PDE) -> tuple[Field, ...]:
    """Return the fields of a joint prior: all but those that the PDE derives from them."""
    return pde.fields[: len(pde.fields) - len(pde.outputs)]


def joint_readings(solver: str, pde: PDE, observation: Observation) -> Observation:
    """Return the readings of the fields of a joint prior.

    Arguments:
        solver: name of the solver, for the message.
        pde: the physics.
        observation: all readings.

    Raises:
        InputError: a sensor reads a field that is derived from these.
    """
    known = len(joint_fields(pde))
    derived = observation.channel[observation.channel >= known]
    if len(derived):
        raise InputError(
            f"sensors of the {solver} solver with a prior of {_names(joint_fields(pde))} must read "
            f"these fields, got readings of {pde.fields[int(derived[0])].name}; choose moment or "
            f"ddis with a prior of the {pde.fields[0].name}, or the solver 'auto'"
        )
    return replace(observation, order=observation.order[:known])


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


@runtime_checkable
class _WithPDE(Protocol):
    @property
    def pde(self) -> tuple[str, dict[str, Any]] | None: ...


def fields_of(model: object) -> tuple[Field, ...] | None:
    """Return the fields of a model's channels, or None if it does not state them."""
    return model.fields if isinstance(model, _WithFields) else None


def trained_problem(model: object) -> Problem | None:
    """Return the problem on whose states a model was trained; None where it does not state it.

    Raises:
        InputError: what it states is not that of such a problem.
    """
    holder = _holder(model)
    stated = holder.pde if isinstance(holder, _WithPDE) else None
    if stated is None or stated[0] not in PDES:
        return None
    prior = getattr(holder, "coefficient_prior", None)
    if prior is None:  # of a file of version 2 or before, whose parameters hold its numbers
        return Problem.named(stated[0], **stated[1])
    return Problem(pde_by_name(stated[0], **stated[1]), CoefficientPrior.of(prior))


def trained_coefficients(model: object) -> CoefficientPrior | None:
    """Return the distribution of the coefficients on which a model was trained; None where it does
    not state it."""
    trained = trained_problem(model)
    return trained.coefficient_prior if trained else None


def shared_symmetries(pde: PDE, model: object) -> Group:
    """Return the symmetries of a PDE that the distribution of a model's training has too."""
    coefficients = trained_coefficients(model)
    return Problem(pde, coefficients).symmetries if coefficients else pde.symmetries


def check_same_problem(solver: str, pde: PDE, fields: Sequence[Field], prior: object) -> None:
    """Refuse a prior of other fields, or of another physics.

    A prior that states neither is accepted.

    Arguments:
        solver: name of the solver, for the message.
        pde: the physics.
        fields: those that the prior must have.
        prior: what was given.

    Raises:
        InputError: the prior is of another problem, or of a domain of another aspect.
    """
    known = fields_of(prior)
    if known is not None and _names(known) != _names(fields):
        raise InputError(
            f"the prior of the {solver} solver must be of {_names(fields)} for {pde.name}, got one "
            f"of {_names(known)}; choose another prior or solver"
        )
    if other := other_physics(pde, prior):
        raise InputError(
            f"the prior must be trained for the {fields[-1].name} of {pde.name} with these "
            f"parameters, got one with {other}; train one for them"
        )
    _check_grid(pde, prior)


def check_default_problem(
    pde: PDE, prior: CoefficientPrior, name: str, model: object, command: str
) -> None:
    """Refuse a PDE or a prior of its coefficient that a shipped model is not for.

    Arguments:
        pde: the physics.
        prior: of the coefficient.
        name, model: of the shipped model.
        command: trains another one, for the message.

    Raises:
        InputError: the model is of another problem, or of a domain of another aspect.
    """
    if differences := _differences(pde, model):
        given = ", ".join(f"{d.name} = {_in_words(d.wanted)}" for d in differences)
        raise InputError(
            f"the parameters of {pde.name} must be the defaults for the shipped {name!r}, got "
            f"{given}; train a prior with `{command}` and give it as prior"
        )
    trained = trained_coefficients(model)
    if trained is not None and trained != prior:
        raise InputError(
            f"the prior of the {pde.coefficient_field.name} must be the published one for the "
            f"shipped {name!r}, got one that is {prior.phrase(pde.domain)}; train a prior with "
            f"`{command}` and give it as prior"
        )
    _check_grid(pde, model)


def _check_grid(pde: PDE, model: object) -> None:
    """Refuse a model that was trained on a domain of another aspect, or on another kind of grid."""
    trained = getattr(_holder(model), "grid", None)
    if isinstance(trained, Grid):
        domain = pde.domain
        check_trained_grid(trained, Grid(*trained.shape, domain.extent, domain.unit, pde.grid_kind))


def _holder(model: object) -> object:
    """Return what states the PDE and the grid of a model's training."""
    return model.gaussian if isinstance(model, DenoisingPrior) else model


def _names(fields: Sequence[Field]) -> str:
    return " and ".join(field.name for field in fields)


def other_physics(pde: PDE, model: object) -> str:
    """Return the physical parameters in which a model's training differs from the PDE, as a phrase.

    It is empty if there are none, or if the model does not state them.
    """
    return ", ".join(
        f"{d.name} = {_in_words(d.trained)}, not {_in_words(d.wanted)}"
        for d in _differences(pde, model)
    )


class _Difference(NamedTuple):
    """A parameter with its value in a model's training and in the PDE."""

    name: str
    trained: object
    wanted: object


def _in_words(value: object) -> str:
    """Return the value of a parameter in one line, cut where it is long."""
    return str(value) if isinstance(value, Domain) else described(value)


def _differences(pde: PDE, model: object) -> list[_Difference]:
    """Return where the physics of the training differs.

    A prior of the coefficient alone serves any physics that leaves its coefficients as they are.
    The names of the fields are compared elsewhere.
    """
    trained = trained_problem(model)
    if trained is None or type(trained.physics) is not type(pde):
        return []
    alone = len(fields_of(model) or ()) == 1
    found = []
    for name, wanted in pde.parameters.items():
        value = trained.physics.parameters[name]
        if name in ("outputs", *pde.numerical_parameters) or isinstance(wanted, Field):
            continue
        changed: dict[str, Any] = {name: value}
        if wanted != value and not (alone and _same_restriction(pde, changed)):
            found.append(_Difference(name, value, wanted))
    return found


def _same_restriction(pde: PDE, changed: dict[str, Any]) -> bool:
    """Return whether a PDE with other parameters leaves coefficients as they are where this one
    does."""
    try:
        other = replace(pde, **changed)
    except InputError:  # the parameter does not fit the others, such as a well the domain
        return True
    ones = torch.ones(1, 1, *pde.grid(8).shape, dtype=torch.float64)
    return ones.shape == (1, 1, *other.grid(8).shape) and torch.equal(
        pde.restrict(ones), other.restrict(ones)
    )
