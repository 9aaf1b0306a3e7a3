"""The contract of an inverse solver."""

from __future__ import annotations

import dataclasses
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar

import torch
from tqdm import tqdm

from pdeinv.annotations import check_fields
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior

__all__ = [
    "LEAST_SAMPLES",
    "MisfitTest",
    "ProgressBar",
    "Solver",
    "antithetic",
    "check_memory",
    "progress_bar",
]

_MEMORY = 12e9  # bytes that a solver may use

LEAST_SAMPLES = 16
"""Samples behind a standard deviation that has no closed form."""

MisfitTest: TypeAlias = Literal["two-sided", "one-sided", "none"]
"""Which side of 1 a reduced chi-squared is evidence on; see `Solver.misfit`."""

Item = TypeVar("Item")

ProgressBar: TypeAlias = Callable[..., Iterable]
"""`progress_bar` with its `show` bound: (iterable, description=..., unit=...) -> iterable."""


@dataclasses.dataclass(frozen=True)
class Solver(ABC):
    """From sensors to a posterior.

    A subclass is a frozen dataclass of settings with a `name` and one method, `condition`. The
    annotations of the settings are checked: see `pdeinv.annotations`.
    """

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    """What `accepts` requires of a PDE, as a phrase: "it needs ..."."""
    wants_prior: ClassVar[str] = ""
    """What `accepts_prior` requires of a prior, as a phrase; empty where none is used."""
    misfit: ClassVar[MisfitTest] = "one-sided"
    """What a reduced chi-squared far from 1 is evidence of.

    "two-sided" where it is distributed as a chi-squared under the model, with the record's
    `degrees_of_freedom`: a large one speaks against the sensors, the PDE or the noise, and a small
    one says that the noise is overstated or the prior too variable. "one-sided" where a small one
    says nothing, since the method fits its own amplitude or judges with its own error. "none" where
    it is the misfit of a sampler's own mean, which also falls with more steps.
    """
    misfit_remedy: ClassVar[str] = ""
    """What lowers the misfit where it may also be that of the method's own mean, as a phrase:
    "use ..."; empty where it is that of the sensors alone."""

    def __post_init__(self) -> None:
        check_fields(self, f"{{}} of {self.name}")

    def __call__(
        self,
        pde: PDE,
        prior: Prior | None,
        observation: Observation,
        *,
        n_samples: int = 16,
        generator: torch.Generator | None = None,
        progress: bool = False,
    ) -> Posterior:
        """Return the posterior of the state (coefficient, solution) given the observation.

        Arguments:
            pde: the physics.
            prior: of the state or of the coefficient; None for the PDE's own random coefficient.
            observation: operator, readings and noise, on the grid of the result.
            n_samples: posterior samples to draw.
            generator: source of all randomness; the same seed gives the same answer.
            progress: show a bar where the work takes more than two seconds.

        Raises:
            InputError: the solver does not accept this PDE or this prior.
            NumericalError: an iteration failed on valid input.
        """
        self.check(pde, prior)
        start = time.perf_counter()
        posterior = self.condition(pde, prior, observation, n_samples, generator, progress)
        posterior.record = {
            "solver": self.name,
            "solver_settings": json.dumps(self.settings(), default=repr),
            "seconds": round(time.perf_counter() - start, 4),
            "network_evaluations": 0,
            **posterior.record,
        }
        return posterior

    def settings(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def accepts(self, pde: PDE) -> bool:
        """Return whether the method is defined for this PDE."""
        return True

    def accepts_prior(self, prior: Prior | None) -> bool:
        """Return whether the method can use this prior; None is the PDE's own or a shipped one."""
        return prior is None

    def suits_prior(self, prior: Prior | None) -> bool:
        """Return whether "auto" may take the method for this prior."""
        return self.accepts_prior(prior)

    def check(self, pde: PDE, prior: Prior | None) -> None:
        """Refuse a PDE or a prior that the method does not accept.

        Raises:
            InputError: one of them is not accepted.
        """
        if not self.accepts(pde):
            raise InputError(
                f"the {self.name} solver is not made for {pde.name}: {self.needs}; choose the "
                f"solver 'auto'"
            )
        if self.accepts_prior(prior):
            return
        if self.wants_prior:
            raise InputError(
                f"the {self.name} solver needs {self.wants_prior}, got {type(prior).__name__}; "
                f"choose another prior or the solver 'auto'"
            )
        raise InputError(
            f"the {self.name} solver uses only the PDE's own prior, got {type(prior).__name__}; "
            f"set the PDE's parameters instead"
        )

    @abstractmethod
    def condition(
        self,
        pde: PDE,
        prior: Prior | None,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        """Return the posterior; arguments as in `__call__`.

        Its record holds at least `reduced_chi_squared` and `solver_calls`, the number of solves
        (see `ForwardMap`).
        """


def progress_bar(
    iterable: Iterable[Item], description: str, show: bool, unit: str = "it"
) -> Iterable[Item]:
    """Return the iterable with a bar that appears once the work has taken two seconds."""
    return tqdm(iterable, desc=description, disable=not show, delay=2, unit=unit, leave=False)


def antithetic(draw: Callable[[int], torch.Tensor], n: int) -> torch.Tensor:
    """Return n draws of a symmetric distribution in antithetic pairs.

    Draws 2i and 2i + 1 are x and -x; an odd last one is single.

    Arguments:
        draw: returns k independent draws (k, ...).
        n: number of draws.
    """
    half = draw((n + 1) // 2)
    return torch.stack([half, -half], dim=1).flatten(0, 1)[:n]


def check_memory(numbers: float, what: str, remedy: str) -> None:
    """Refuse work that would hold more double-precision numbers than a laptop can.

    Arguments:
        numbers: how many.
        what: the work, as the subject of the message.
        remedy: what to change.

    Raises:
        InputError: they would take more than 12 GB.
    """
    if 8 * numbers > _MEMORY:
        raise InputError(
            f"{what} would take {8e-9 * numbers:.0f} GB, more than {1e-9 * _MEMORY:.0f}; {remedy}"
        )
