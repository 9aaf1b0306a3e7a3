"""For which problem a learned model is: what its training states, compared with a user's PDE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from pdeinv.checks import described
from pdeinv.datasets.base import PDE
from pdeinv.datasets.parameters import from_json
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Field, Grid
from pdeinv.observation import Observation
from pdeinv.priors.base import DenoisingPrior
from pdeinv.priors.normalised import check_trained_grid

__all__ = [
    "check_default_problem",
    "check_same_problem",
    "fields_of",
    "joint_fields",
    "joint_readings",
    "other_physics",
    "with_derived",
]

_MIDDLES = [[0.0, 0.5], [1.0, 0.5], [0.5, 0.0], [0.5, 1.0]]  # of the sides, in shares of them


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


def _trained_on(pde: PDE, model: object) -> PDE | None:
    """Return the PDE on whose states a model was trained, where it has the name of this one.

    None for a model that does not state it.

    Raises:
        InputError: the stored parameters are not those of such a PDE.
    """
    holder = _holder(model)
    stated = holder.pde if isinstance(holder, _WithPDE) else None
    if stated is None or stated[0] != pde.name:
        return None
    known = {name: value for name, value in stated[1].items() if name in pde.parameters}
    return type(pde)(**from_json(type(pde), known))


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


def check_default_problem(pde: PDE, name: str, model: object, command: str) -> None:
    """Refuse a PDE that a shipped model is not for.

    Arguments:
        pde: the physics.
        name, model: of the shipped model.
        command: trains another one, for the message.

    Raises:
        InputError: the model is of another problem, or of a domain of another aspect.
    """
    coefficient, physics = _differences(pde, model)
    if coefficient or physics:
        given = ", ".join(f"{d.name} = {_in_words(d.wanted)}" for d in (*coefficient, *physics))
        raise InputError(
            f"the parameters of {pde.name} must be the defaults for the shipped {name!r}, got "
            f"{given}; train a prior with `{command}` and give it as prior"
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
    differences = _differences(pde, model).physics
    return ", ".join(
        f"{d.name} = {_in_words(d.trained)}, not {_in_words(d.wanted)}" for d in differences
    )


class _Difference(NamedTuple):
    """A parameter with its value in a model's training and in the PDE."""

    name: str
    trained: object
    wanted: object


class _Differences(NamedTuple):
    """Where a model's training differs from the PDE."""

    coefficient: list[_Difference]
    physics: list[_Difference]


def _in_words(value: object) -> str:
    """Return the value of a parameter in one line, cut where it is long."""
    return str(value) if isinstance(value, Domain) else described(value)


def _differences(pde: PDE, model: object) -> _Differences:
    """Return where the training differs, in the coefficient's distribution and in the physics.

    The physics does not matter for a prior of the coefficient alone. The names of the fields are
    compared elsewhere.
    """
    found, trained = _Differences([], []), _trained_on(pde, model)
    if trained is None:
        return found
    alone = len(fields_of(model) or ()) == 1
    for name, wanted in pde.parameters.items():
        value = trained.parameters[name]
        if name in ("outputs", *pde.numerical_parameters) or isinstance(wanted, Field):
            continue
        if wanted == value:
            continue
        if _shapes_coefficient(name, pde, trained):
            found.coefficient.append(_Difference(name, value, wanted))
        elif not alone:
            found.physics.append(_Difference(name, value, wanted))
    return found


def _shapes_coefficient(name: str, pde: PDE, trained: PDE) -> bool:
    """Return whether the distribution of the coefficient depends on a parameter of two PDEs."""
    for one, other in ((pde, trained), (trained, pde)):
        changed: dict[str, Any] = {name: other.parameters[name]}
        try:
            moved = replace(one, **changed)
        except InputError:  # the parameter does not fit the others, such as a well the domain
            continue
        return _distribution(moved) != _distribution(one)
    return False


def _distribution(pde: PDE) -> tuple[object, ...]:
    """Return what determines the distribution of the coefficient: the latent field, the range, and
    the sides on which it is fixed."""
    middles = pde.domain.absolute(torch.tensor(_MIDDLES, dtype=torch.float64))
    fixed = pde.known_values(0, middles)
    return pde.latent_prior, pde.coefficient_range, tuple(map(str, fixed.tolist()))
