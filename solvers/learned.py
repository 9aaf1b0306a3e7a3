"""What the solvers with a learned model share: which model they take, and the shipped one where
none is given."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import ClassVar

from pdeinv.errors import InputError
from pdeinv.priors import load, shipped
from pdeinv.solvers.base import Solver

__all__ = ["LearnedSolver", "check_same_problem", "other_physics"]

# By a name's end
_TRAINING = {"": "", "-coefficient": " --channels coefficient", "-regressor": " --model regressor"}
_NUMERICAL = ("dt", "tolerance")  # parameters that change no field by more than a rounding


class LearnedSolver(Solver):
    """Base of the solvers whose prior is a file of `pdeinv train`, or the shipped one of the
    PDE."""

    suffix: ClassVar[str] = ""
    """Of the shipped prior's name, after the PDE's."""
    models: ClassVar[tuple[type, ...]]
    """What the prior may be."""

    def accepts_prior(self, prior):
        return prior is None or isinstance(prior, self.models)

    def check(self, pde, prior):
        super().check(pde, prior)
        if prior is None:
            if pde.name + self.suffix not in shipped():
                raise InputError(
                    f"no prior {pde.name + self.suffix!r} comes with the package; train one with "
                    f"`pdeinv train{_TRAINING.get(self.suffix, '')}` and give it as prior"
                )
            prior = _shipped(pde.name + self.suffix)
            if any(_differences(pde, prior)):
                raise InputError(
                    f"the shipped prior knows {pde.name} with its default parameters alone; train "
                    f"one with `pdeinv train` and "
                    "give it as prior"
                )
            return
        check_same_problem(self.name, pde, self._fields(pde, prior), prior)

    def _fields(self, pde, prior):
        """What the prior must know."""
        return pde.fields

    def resolve_prior(self, pde, prior) -> tuple[object, dict[str, str]]:
        """The prior, or the shipped one, and what the record is to say of it."""
        if prior is not None:
            return prior, {}
        name = pde.name + self.suffix
        return _shipped(name), {"prior": f"the shipped {name}"}


@lru_cache(maxsize=8)
def _shipped(name: str):
    return load(name)


def _parameters(prior) -> tuple[str, dict] | None:
    """Name and parameters of the PDE whose samples the model has seen, where they are known."""
    return getattr(getattr(prior, "gaussian", prior), "pde", None)


def check_same_problem(solver: str, pde, fields, prior) -> None:
    """Refuse a prior of other fields than these of the PDE, or of another physics; one that does
    not tell is believed."""
    wanted, known = ([f.name for f in fs] for fs in (fields, getattr(prior, "fields", fields)))
    if known != wanted:
        raise InputError(
            f"the {solver} solver of {pde.name} needs a prior of {' and '.join(wanted)}, not of "
            f"{' and '.join(known)}"
        )
    if other := other_physics(pde, prior):
        raise InputError(
            f"the prior knows the {known[1]} of {pde.name} with {other}; train one for that"
        )


def other_physics(pde, model) -> str:
    """In words, the parameters with which the model of both fields has seen another physics than
    the PDE's."""
    return ", ".join(
        f"{k} = {_parameters(model)[1][k]!r}, not {pde.parameters[k]!r}"
        for k in _differences(pde, model)[1]
    )


def _differences(pde, prior) -> tuple[list[str], list[str]]:
    """Parameters in which the PDE is not the one that the prior has seen: of the coefficient, and
    of the physics.

    The physics is nothing to a prior of the coefficient alone.
    """
    known = _parameters(prior)
    if known is None or known[0] != pde.name:
        return [], []
    other = {
        k: v for k, v in known[1].items() if k not in _NUMERICAL and pde.parameters.get(k, v) != v
    }
    of_coefficient = [
        k for k, v in other.items() if _distribution(replace(pde, **{k: v})) != _distribution(pde)
    ]
    return of_coefficient, [k for k in other if k not in of_coefficient and len(prior.fields) > 1]


def _distribution(pde):
    return pde.latent_prior, pde.coefficient_range
