"""The contract of an inverse solver."""

from __future__ import annotations

import dataclasses
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch

from pdeinv import seeds
from pdeinv.annotations import check_fields
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.claims import check_claims
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.memory import check_memory, result_memory
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.progress import ProgressBar, progress_bar
from pdeinv.solvers.evidence.infer import condition
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.leave_one_out import sampled_leave_one_out
from pdeinv.solvers.posterior_checks import check_posterior
from pdeinv.solvers.stored_gain import StoredGain
from pdeinv.solvers.supported_readings import (
    FOOTPRINTS,
    Special,
    check_physics,
    check_supported,
)
from pdeinv.torch_state import one_thread

__all__ = [
    "LEAST_SAMPLES",
    "MisfitTest",
    "ProgressBar",
    "Solver",
    "progress_bar",
]

LEAST_SAMPLES = 16
"""Samples behind a standard deviation that has no closed form."""

MisfitTest: TypeAlias = Literal["two-sided", "one-sided", "none"]
"""Which side of 1 a reduced chi-squared is evidence on; see `Solver.misfit`."""


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
    prior_used: ClassVar[str] = ""
    """What the method uses in the place of the given prior, as a phrase; empty where it uses it."""
    misfit: ClassVar[MisfitTest] = "one-sided"
    """What a reduced chi-squared far from 1 is evidence of.

    "two-sided" where it is distributed as a chi-squared under the model, with the record's
    `degrees_of_freedom`: a large one speaks against the sensors, the PDE or the noise, and a small
    one says that the noise is overstated or the prior too variable. "one-sided" where a small one
    says nothing, since the method fits its own amplitude or judges with its own error. "none" where
    it is the misfit of a sampler's own mean, which also falls with more steps.
    """
    failure_remedy: ClassVar[str] = (
        "check the units of the readings, their noise_std and the PDE's parameters"
    )
    """What may help where a result is not finite, as a phrase."""
    misfit_remedy: ClassVar[str] = ""
    """What lowers the misfit where it may also be that of the method's own mean, as a phrase:
    "use ..."; empty where it is that of the sensors alone."""
    memory_remedy: ClassVar[str] = (
        "use a coarser grid or fewer samples, or average neighbouring readings"
    )
    """What saves memory, as a phrase."""
    takes: ClassVar[frozenset[Special]] = frozenset({FOOTPRINTS})
    """What the method supports beyond readings of points with independent noise."""
    mixture_points: ClassVar[int] = 12
    """Points of unknown numbers, at most, at which `condition` is evaluated."""
    infers_numbers: ClassVar[bool] = False
    """Whether `condition` itself infers unknown numbers."""
    amplifies_rounding: ClassVar[bool] = False
    """Whether a last bit may become another answer. Such a method computes with one thread, since
    the number of threads decides the order of sums; any other uses the caller's threads, and its
    answer depends on their number by less than a thousandth of its standard deviation."""

    on_processor: ClassVar[bool] = False
    """Whether `condition` needs tensors of the processor, whatever the observation's device."""

    def __post_init__(self) -> None:
        check_fields(self, f"{{}} of {self.name}")

    @property
    def uses_noise(self) -> bool:
        """Whether the weight of a reading depends on its noise."""
        return True

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
        """Return the posterior of the state (coefficient, solution, ...) given the observation.

        Arguments:
            pde: the physics.
            prior: of the state or of the coefficient; None for the `default_prior` of the PDE.
            observation: operator, readings and noise, on the grid of the result.
            n_samples: posterior samples to draw.
            generator: source of all randomness; the first seed of `seeds.SOLVER` if None.
            progress: show a bar where the work takes more than two seconds.

        Raises:
            InputError: the problem is not accepted, a claim does not hold, or memory would not do.
            NumericalError: an iteration failed on valid input, or the result is not finite.
        """
        prior = Problem.of(pde, prior).prior
        self.check(pde, prior)
        pde.check_grid(observation.grid)
        check_supported(self, pde, prior, observation)
        work = f"{len(observation)} sensors and {n_samples} samples on {observation.grid} nodes"
        need = self.memory(pde, prior, observation, n_samples)
        check_memory(need, f"the {self.name} solver with {work}", self.memory_remedy)
        check_claims(pde, prior, observation.grid, derivative=self.differentiates(pde, prior))
        here = observation.to("cpu") if self.on_processor else observation
        generator = generator or seeds.generator(seeds.SOLVER)
        start = time.perf_counter()
        try:
            with one_thread() if self.amplifies_rounding else nullcontext():
                problem = Problem(pde, prior)
                found = condition(self, problem, here, n_samples, generator, progress)
        except (torch.linalg.LinAlgError, np.linalg.LinAlgError) as error:
            raise NumericalError(
                f"the linear algebra of the {self.name} solver failed ({error}); "
                f"{self.failure_remedy}"
            ) from error
        except NumericalError as error:
            raise error.within(f"the {self.name} solver failed: ") from error
        posterior = found.to(observation.values.device)
        check_posterior(posterior, self, pde, observation.grid, n_samples)
        if posterior.leave_one_out is None and self.misfit != "none":
            posterior.leave_one_out = sampled_leave_one_out(posterior, observation)
        posterior.record = {
            "solver": self.name,
            "solver_settings": json.dumps(self.settings(), default=_in_words),
            "seconds": round(time.perf_counter() - start, 4),
            "device": str(here.values.device),
            "network_evaluations": 0,
            **posterior.record,
        }
        return posterior

    def linearised(
        self, pde: PDE, prior: Prior, observation: Observation, progress: bool = False
    ) -> LinearisedReadings | None:
        """Return the readings as a linear function of the latent field, near where the posterior
        is: what the evidence of unknown numbers takes. None where the method has no evidence.

        Arguments:
            pde, prior, observation, progress: as in `__call__`.
        """
        return None

    def for_points(
        self,
        points: Sequence[tuple[Problem, Observation, float]],
        generator: torch.Generator | None,
        progress: bool,
    ) -> Solver:
        """Return the solver that `condition`s at each of several points of unknown numbers: one of
        fewer draws, where they are costly, and with what is found once for all points.

        Arguments:
            points: the problem and the readings of each, with its numbers and its weight.
            generator, progress: as of `__call__`.
        """
        return self

    def stored_gain(
        self, pde: PDE, prior: Prior, observation: Observation, progress: bool = False
    ) -> StoredGain | None:
        """Return the mean as an affine function of the readings; None where it is no such function,
        or where nothing is gained. The values of the readings are not used.

        Arguments:
            pde, prior, observation, progress: as in `__call__`.
        """
        return None

    def starting_at(self, mode: torch.Tensor) -> Solver:
        """Return the solver that starts its search at the `Posterior.mode` of other readings of the
        same sensors: itself where it does not search for one."""
        return self

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        """Estimate the bytes that `condition` takes at most; arguments as in `__call__`.

        These are those of the samples. Override it where the method holds other arrays, such as
        one of a row for each sensor.
        """
        return result_memory(pde, observation.grid, n_samples)

    def settings(self) -> dict[str, Any]:
        """Return the settings by name."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def accepts(self, pde: PDE, prior: Prior) -> bool:
        """Return whether the method is defined for this PDE and this prior of its coefficient."""
        return True

    def accepts_prior(self, prior: Prior) -> bool:
        """Return whether the method can use a prior of this kind."""
        return isinstance(prior, CoefficientPrior)

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        """Return whether the method needs derivatives of the PDE's solution map."""
        return False

    def suits_prior(self, prior: Prior) -> bool:
        """Return whether "auto" may take the method for this prior."""
        return self.accepts_prior(prior)

    def check(self, pde: PDE, prior: Prior) -> None:
        """Refuse a PDE or a prior that the method does not accept.

        Raises:
            InputError: one of them is not accepted.
        """
        if not self.accepts_prior(prior):
            wanted = self.wants_prior or "a prior of pdeinv.coefficients"
            raise InputError(
                f"the {self.name} solver needs {wanted}, got {type(prior).__name__}; choose "
                f"another prior or the solver 'auto'"
            )
        if not pde.differentiable and self.differentiates(pde, prior):
            raise InputError(
                f"the {self.name} solver needs derivatives of the solution of {pde.name}, which "
                f"states none; choose the solver 'auto', or give the PDE its gradient"
            )
        check_physics(self, pde)
        if not self.accepts(pde, prior):
            kind = prior.name if isinstance(prior, CoefficientPrior) else type(prior).__name__
            raise InputError(
                f"the {self.name} solver is not made for {pde.name} with the {kind} prior: "
                f"{self.needs}; choose the solver 'auto'"
            )

    @abstractmethod
    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        """Return the posterior; arguments as in `__call__`.

        Its record holds at least `reduced_chi_squared` and `solver_calls`, the number of solves
        (see `ForwardMap`).
        """


def _in_words(value: object) -> str:
    """Return a setting that JSON has no form for, without an address in memory."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
