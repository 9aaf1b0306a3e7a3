"""The contract of an inverse solver."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from pdeinv import seeds
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.torch_state import one_thread

__all__ = [
    "LEAST_SAMPLES",
    "ProgressBar",
    "Solver",
    "antithetic",
    "check_memory",
    "progress_bar",
]

_MEMORY = 12e9  # bytes that a solver may use

LEAST_SAMPLES = 16
"""Samples behind a standard deviation that has no closed form."""

Item = TypeVar("Item")

ProgressBar: TypeAlias = Callable[..., Iterable]
"""`progress_bar` with its `show` bound: (iterable, description=..., unit=...) -> iterable."""


@dataclasses.dataclass(frozen=True)
class Solver(ABC):
    """From sensors to a posterior.

    A subclass is a frozen dataclass of settings with a `name` and one method, `condition`.
    """

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    """What `accepts` requires of a PDE, as a phrase: "it needs ..."."""
    wants_prior: ClassVar[str] = ""
    """What `accepts_prior` requires of a prior, as a phrase; empty where none is used."""
    judges_sensors: ClassVar[bool] = True
    """Whether a large reduced chi-squared is evidence against the sensors, the PDE or the noise.

    False where it is only the misfit of a sampler's own mean, which also falls with more steps.
    True too where the variance of each reading holds the method's own error, as in `FNO`.
    """
    failure_remedy: ClassVar[str] = (
        "check the units of the readings, their noise_std and the PDE's parameters"
    )
    """What may help where a result is not finite, as a phrase."""
    misfit_remedy: ClassVar[str] = ""
    """What lowers the misfit where it may also be that of the method's own mean, as a phrase:
    "use ..."; empty where it is that of the sensors alone."""

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
            generator: source of all randomness; the same seed gives the same answer. If None, the
                first seed of `seeds.SOLVER`.
            progress: show a bar where the work takes more than two seconds.

        Raises:
            InputError: the solver does not accept this PDE or this prior.
            NumericalError: an iteration failed on valid input, or the result is not finite.
        """
        self.check(pde, prior)
        generator = generator or seeds.generator(seeds.SOLVER)
        start = time.perf_counter()
        try:
            with one_thread():
                posterior = self.condition(pde, prior, observation, n_samples, generator, progress)
        except (torch.linalg.LinAlgError, np.linalg.LinAlgError) as error:
            raise NumericalError(
                f"the linear algebra of the {self.name} solver failed ({error}); "
                f"{self.failure_remedy}"
            ) from error
        except NumericalError as error:
            raise type(error)(f"the {self.name} solver failed: {error}") from error
        self._check_result(posterior, observation.grid, n_samples)
        posterior.record = {
            "solver": self.name,
            "solver_settings": json.dumps(self.settings(), default=repr),
            "seconds": round(time.perf_counter() - start, 4),
            "network_evaluations": 0,
            **posterior.record,
        }
        return posterior

    def _check_result(self, posterior: Posterior, grid: Grid, n_samples: int) -> None:
        """Refuse a posterior that is not finite, or of another shape than was asked for.

        Raises:
            NumericalError: so it is.
        """
        state = (len(posterior.fields), *grid.shape)
        shapes = {"mean": state, "std": state, "samples": (n_samples, *state)}
        for name, shape in shapes.items():
            values = getattr(posterior, name)
            if tuple(values.shape) != shape:
                raise NumericalError(
                    f"the {name} of the {self.name} solver must have the shape {shape}, got "
                    f"{tuple(values.shape)}; mend its `condition`"
                )
            channels = zip(posterior.fields, values.unbind(dim=-3), strict=True)
            broken = [f.name for f, v in channels if not bool(v.isfinite().all())]
            if broken:
                raise NumericalError(
                    f"the {name} of {' and '.join(broken)} of the {self.name} solver must be "
                    f"finite, got nan or inf; {self.failure_remedy}"
                )
        chi2 = posterior.record.get("reduced_chi_squared", math.nan)
        if not math.isfinite(float(chi2)):
            raise NumericalError(
                f"the reduced chi-squared of the {self.name} solver must be finite, got {chi2}; "
                f"{self.failure_remedy}"
            )

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
