"""The contract of the solvers with a learned model: which model they use, and for which PDE."""

from __future__ import annotations

from abc import abstractmethod
from functools import lru_cache
from typing import ClassVar, Generic, TypeVar

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.priors import Prior, load, shipped
from pdeinv.priors.storage import Role, shipped_name
from pdeinv.solvers.base import Solver
from pdeinv.solvers.trained_checks import check_default_problem, check_same_problem
from pdeinv.solvers.trained_problem import joint_fields

__all__ = ["LearnedSolver", "shipped_model"]

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
    def accepts_prior(self, prior: Prior) -> bool:
        """Return whether the method can use this prior; for one of `pdeinv.coefficients` it is the
        shipped model."""

    @abstractmethod
    def prepare_prior(self, pde: PDE, prior: object) -> PriorT:
        """Return an accepted prior in the form that the method works with."""

    def shipped_role(self) -> Role:
        """Return the role of the shipped model that is used where none is given."""
        return self.role

    def prior_fields(self, pde: PDE, prior: Prior) -> tuple[Field, ...]:
        """Return the fields that the prior must have."""
        return pde.fields[:1] if self.role == "coefficient" else joint_fields(pde)

    def check(self, pde: PDE, prior: Prior) -> None:
        """Refuse a PDE or a prior for which the method is not made.

        Raises:
            InputError: there is no shipped model for the PDE and the coefficient's prior, or the
                prior is of another kind, of other fields, of another physics or of a domain of
                another aspect.
        """
        super().check(pde, prior)
        if isinstance(prior, CoefficientPrior):
            self._check_shipped(pde, prior)
        else:
            check_same_problem(self.name, pde, self.prior_fields(pde, prior), prior)

    def _check_shipped(self, pde: PDE, prior: CoefficientPrior) -> None:
        role = self.shipped_role()
        name, command = _shipped_for(pde, prior, role), _TRAINING[role]
        if name not in shipped():
            raise InputError(
                f"the {self.name} solver needs a prior for {pde.name}, and no {name!r} is shipped; "
                f"train one with `{command}` and give it as prior"
            )
        check_default_problem(pde, prior, name, _shipped(name), command)

    def is_shipped(self, pde: PDE, prior: Prior) -> bool:
        """Return whether there is a shipped model of the PDE and the coefficient's prior."""
        try:
            self.check(pde, prior)
        except InputError:
            return False
        return isinstance(prior, CoefficientPrior)

    def resolve_prior(self, pde: PDE, prior: Prior) -> tuple[PriorT, dict[str, str]]:
        """Return the prior, or the shipped one for a prior of `pdeinv.coefficients`, ready for use;
        and its entry in the record of the run."""
        if not isinstance(prior, CoefficientPrior):
            return self.prepare_prior(pde, prior), {}
        name = _shipped_for(pde, prior, self.shipped_role())
        return self.prepare_prior(pde, _shipped(name)), {"prior": f"the shipped {name}"}


def shipped_model(pde: PDE, prior: CoefficientPrior, role: Role) -> object:
    """Return the shipped model of a role for a PDE of this name, or for that of the first of
    several experiments, and for a prior of this kind."""
    return _shipped(_shipped_for(pde, prior, role))


def _shipped_for(pde: PDE, prior: CoefficientPrior, role: Role) -> str:
    first = next(iter(pde.experiments.values()), pde)
    name = first.name if role == "coefficient" else pde.name
    own = shipped_name(name, role, prior.name)
    return own if own in shipped() else shipped_name(name, role)


@lru_cache(maxsize=8)
def _shipped(name: str) -> object:
    return load(name)
