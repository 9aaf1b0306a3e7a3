"""What the solvers with a learned model share: which model they take, and the shipped one where none is given."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from pdeinv.errors import InputError
from pdeinv.priors import load, shipped
from pdeinv.solvers.base import Solver

__all__ = ["LearnedSolver"]

_TRAINING = {"": "", "-coefficient": " --channels coefficient", "-regressor": " --model regressor"}  # by a name's end
_NUMERICAL = ("dt", "tolerance")  # parameters that change no field by more than a rounding


class LearnedSolver(Solver):
    """Base of the solvers whose prior is a file of `pdeinv train`, or the shipped one of the PDE."""

    takes_prior: ClassVar[bool] = True
    suffix: ClassVar[str] = ""
    """Of the shipped prior's name, after the PDE's."""
    models: ClassVar[tuple[type, ...]]
    """What the prior may be."""
    wanted: ClassVar[str]
    """The same, as a phrase."""

    def check(self, pde, prior):
        super().check(pde, prior)
        if prior is None:
            if pde.name + self.suffix not in shipped():
                raise InputError(
                    f"no prior {pde.name + self.suffix!r} comes with the package; train one with "
                    f"`pdeinv train{_TRAINING.get(self.suffix, '')}` and give it as prior"
                )
            return
        if not isinstance(prior, self.models):
            raise InputError(
                f"the {self.name} solver needs {self.wanted}, such as `pdeinv.priors.load(...)` gives, not "
                f"{type(prior).__name__}"
            )
        wanted, known = ([f.name for f in fields] for fields in (self._fields(pde, prior), prior.fields))
        if known != wanted:
            raise InputError(
                f"the {self.name} solver of {pde.name} needs a prior of {' and '.join(wanted)}, not of "
                f"{' and '.join(known)}"
            )

    def _fields(self, pde, prior):
        """What the prior must know."""
        return pde.fields

    def learned(self, pde, prior) -> tuple[object, dict[str, str]]:
        """The prior, or the shipped one, and what the record is to say of it."""
        if prior is not None:
            return prior, {}
        name = pde.name + self.suffix
        prior = _shipped(name)
        known = getattr(prior, "gaussian", prior).pde[1]
        if any(known[k] != v for k, v in pde.parameters.items() if k not in _NUMERICAL):
            raise InputError(
                f"the shipped prior knows {pde.name} with its default parameters alone; train one with `pdeinv train` and "
                "give it as prior"
            )
        return prior, {"prior": f"the shipped {name}"}


@lru_cache(maxsize=8)
def _shipped(name: str):
    return load(name)
