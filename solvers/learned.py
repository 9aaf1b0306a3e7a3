"""The contract of the solvers with a learned model: which model they use, and for which PDE."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.grid import Field
from pdeinv.priors import Prior, load, shipped
from pdeinv.priors.base import DenoisingPrior
from pdeinv.priors.storage import Role, shipped_name
from pdeinv.solvers.base import Solver

__all__ = ["LearnedSolver", "check_same_problem", "fields_of", "other_physics"]

_TRAINING: dict[Role, str] = {
    "joint": "pdeinv train",
    "white": "pdeinv train --precondition edm --noise white",
    "coefficient": "pdeinv train --channels coefficient",
    "regressor": "pdeinv train --model regressor",
    "operator": "pdeinv train --model operator",
}

PriorT = TypeVar("PriorT")


class LearnedSolver(Solver, Generic[PriorT]):
    """Base of the solvers whose prior is a learned model: a given one, or the shipped one.

    A subclass implements `accepts_prior` and `prepare_prior`.

    Attributes:
        role: what the model is of.
        wants_prior: what `accepts_prior` requires, as a phrase.
    """

    role: ClassVar[Role]
    wants_prior: ClassVar[str]

    @abstractmethod
    def accepts_prior(self, prior: Prior | None) -> bool:
        """Return whether the method can use this prior; None is the shipped one."""

    @abstractmethod
    def prepare_prior(self, pde: PDE, prior: object) -> PriorT:
        """Return an accepted prior in the form that the method works with."""

    def shipped_role(self) -> Role:
        """Return the role of the shipped model that is used where none is given."""
        return self.role

    def prior_fields(self, pde: PDE, prior: Prior) -> tuple[Field, ...]:
        """Return the fields that the prior must have."""
        return pde.fields[:1] if self.role == "coefficient" else pde.fields

    def check(self, pde: PDE, prior: Prior | None) -> None:
        """Refuse a PDE or a prior for which the method is not made.

        Raises:
            InputError: there is no shipped prior for the PDE, or the prior is of another kind, of
                other fields or of another physics.
        """
        super().check(pde, prior)
        if prior is None:
            self._check_shipped(pde)
        else:
            check_same_problem(self.name, pde, self.prior_fields(pde, prior), prior)

    def _check_shipped(self, pde: PDE) -> None:
        role = self.shipped_role()
        name, command = shipped_name(pde.name, role), _TRAINING[role]
        if name not in shipped():
            raise InputError(
                f"the {self.name} solver needs a prior for {pde.name}, and no {name!r} is shipped; "
                f"train one with `{command}` and give it as prior"
            )
        if any(_differences(pde, _shipped(name))):
            raise InputError(
                f"the parameters of {pde.name} must be the defaults for the shipped {name!r}; "
                f"train a prior with `{command}` and give it as prior"
            )

    def resolve_prior(self, pde: PDE, prior: Prior | None) -> tuple[PriorT, dict[str, str]]:
        """Return the prior, or the shipped one for None, ready for use; and its entry in the
        record of the run."""
        if prior is not None:
            return self.prepare_prior(pde, prior), {}
        name = shipped_name(pde.name, self.shipped_role())
        return self.prepare_prior(pde, _shipped(name)), {"prior": f"the shipped {name}"}


@lru_cache(maxsize=8)
def _shipped(name: str) -> object:
    return load(name)


@runtime_checkable
class _WithFields(Protocol):
    @property
    def fields(self) -> tuple[Field, ...]: ...


@runtime_checkable
class _WithPDE(Protocol):
    @property
    def pde(self) -> tuple[str, dict[str, float]] | None: ...


def fields_of(model: object) -> tuple[Field, ...] | None:
    """Return the fields of a model's channels, or None if it does not state them."""
    return model.fields if isinstance(model, _WithFields) else None


def _trained_on(model: object) -> tuple[str, dict[str, float]] | None:
    """Return the name and the parameters of the PDE on whose states a model was trained.

    None for a model that does not state them.
    """
    holder = model.gaussian if isinstance(model, DenoisingPrior) else model
    return holder.pde if isinstance(holder, _WithPDE) else None


def check_same_problem(solver: str, pde: PDE, fields: Sequence[Field], prior: object) -> None:
    """Refuse a prior of other fields, or of another physics.

    A prior that states neither is accepted.

    Arguments:
        solver: name of the solver, for the message.
        pde: the physics.
        fields: those that the prior must have.
        prior: what was given.

    Raises:
        InputError: the prior is of another problem.
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


def _names(fields: Sequence[Field]) -> str:
    return " and ".join(field.name for field in fields)


def other_physics(pde: PDE, model: object) -> str:
    """Return the physical parameters in which a model's training differs from the PDE, as a phrase.

    It is empty if there are none, or if the model does not state them.
    """
    differences = _differences(pde, model).physics
    return ", ".join(f"{d.name} = {d.trained!r}, not {d.wanted!r}" for d in differences)


class _Difference(NamedTuple):
    """A parameter with its value in a model's training and in the PDE."""

    name: str
    trained: float | str
    wanted: float | str


class _Differences(NamedTuple):
    """Where a model's training differs from the PDE."""

    coefficient: list[_Difference]
    physics: list[_Difference]


def _differences(pde: PDE, model: object) -> _Differences:
    """Return where the training differs, in the coefficient's distribution and in the physics.

    The physics does not matter for a prior of the coefficient alone.
    """
    found = _Differences([], [])
    trained_on = _trained_on(model)
    if trained_on is None or trained_on[0] != pde.name:
        return found
    alone = len(fields_of(model) or ()) == 1
    for name, trained in trained_on[1].items():
        if name in pde.numerical_parameters or name not in pde.parameters:
            continue
        wanted, change = pde.parameters[name], {name: trained}
        changed = replace(pde, **cast(dict[str, Any], change))
        if changed == pde:
            continue
        if _distribution(changed) != _distribution(pde):
            found.coefficient.append(_Difference(name, trained, wanted))
        elif not alone:
            found.physics.append(_Difference(name, trained, wanted))
    return found


def _distribution(pde: PDE) -> tuple[object, tuple[float, float] | None]:
    """Return what determines the distribution of the coefficient."""
    return pde.latent_prior, pde.coefficient_range
