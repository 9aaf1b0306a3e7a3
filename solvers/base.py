"""The contract of an inverse solver."""

from __future__ import annotations

import dataclasses
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import ClassVar, TypeAlias

import torch
from tqdm import tqdm

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior

__all__ = [
    "ProgressBar",
    "Solver",
    "check_memory",
    "cholesky_with_nugget",
    "count_informative",
    "nugget_variance",
    "progress_bar",
    "propagate",
]

_MEMORY = 12e9  # bytes that a solver may ask for
LEAST_SAMPLES = 16  # behind a spread that has no closed form


ProgressBar: TypeAlias = Callable[..., Iterable]
"""`progress_bar` with its `show` bound: (iterable, description=..., unit=...) -> iterable."""


class Solver(ABC):
    """From sensors to a posterior. A subclass is a dataclass of settings with one method,
    `condition`."""

    name: ClassVar[str]
    needs: ClassVar[str] = ""
    """What `accepts` asks of a PDE, as a phrase."""
    wants_prior: ClassVar[str] = ""
    """What `accepts_prior` requires of a prior, as a phrase; empty where none is used."""
    takes_prior: ClassVar[bool] = False

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
        """Posterior of the state (coefficient, solution) given the observation.

        Arguments:
            pde: the physics.
            prior: what is known beforehand; None for the PDE's own random coefficient.
            observation: operator, readings and noise, on the grid of the result.
            n_samples: posterior samples to draw.
            generator: source of all randomness; the same seed gives the same answer.
            progress: show a bar where the work takes more than two seconds.

        Raises:
            InputError: the solver is not made for this PDE, or takes no prior but the PDE's own.
        """
        self.check(pde, prior)
        start = time.perf_counter()
        posterior = self.condition(pde, prior, observation, n_samples, generator, progress)
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        posterior.record = {
            "solver": self.name,
            "solver_settings": json.dumps(settings, default=repr),
            "seconds": round(time.perf_counter() - start, 4),
            "network_evaluations": 0,
            **posterior.record,
        }
        return posterior

    def accepts(self, pde: PDE) -> bool:
        """Whether the method is defined for this PDE."""
        return True

    def accepts_prior(self, prior: Prior | None) -> bool:
        """Return whether the method can use this prior; None is the PDE's own or a shipped one."""
        return prior is None or self.takes_prior

    def check(self, pde: PDE, prior: Prior | None) -> None:
        """Refuse a PDE or a prior that the method is not made for."""
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
            f"the {self.name} solver knows only the PDE's own prior; set the PDE's parameters "
            f"instead"
        )

    @abstractmethod
    def condition(self, pde, prior, observation, n_samples, generator, progress) -> Posterior:
        """The method itself; see `__call__` for the arguments."""


def progress_bar(iterable, description: str, show: bool, unit: str = "it"):
    """A tqdm bar that appears only once the work has taken two seconds."""
    return tqdm(iterable, desc=description, disable=not show, delay=2, unit=unit, leave=False)


def check_memory(numbers: float, what: str, remedy: str) -> None:
    """Refuse work that would hold more double-precision numbers than a laptop can."""
    if 8 * numbers > _MEMORY:
        raise InputError(
            f"{what} would take {8e-9 * numbers:.0f} GB, more than {1e-9 * _MEMORY:.0f}; {remedy}"
        )


def nugget_variance(own: torch.Tensor, observation: Observation, relative: float) -> torch.Tensor:
    """Variance to add to each reading, (m,): a share of the mean of `own`, the readings' prior
    variances, of its field."""
    # For a field that is only seen where it cannot vary, any positive number does
    nugget = torch.ones_like(own)
    for channel in (0, 1):
        mine = observation.channel == channel
        if float(own[mine].sum()) > 0:
            nugget[mine] = relative * own[mine].mean()
    return nugget


def count_informative(own: torch.Tensor, observation: Observation) -> int:
    """Number of readings that can vary, at least 1: an exact sensor on a fixed boundary tells
    nothing."""
    return max(1, int((own + observation.noise_std**2 > 1e-20 * own.max()).sum()))


def propagate(
    pde: PDE, mean: torch.Tensor, samples: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, spread (n, n) and samples (s, n, n) of the solution, for a coefficient's mean and
    samples."""
    solved = pde.solve(torch.cat([mean[None], samples])[:, None])[:, 0]
    return solved[0], (solved[1:] - solved[0]).square().mean(dim=0).sqrt(), solved[1:]


def cholesky_with_nugget(gram: torch.Tensor, nugget: torch.Tensor) -> torch.Tensor:
    """Lower Cholesky factor of gram + diag(nugget); the nugget grows tenfold until the matrix is
    positive definite."""
    for _ in range(12):
        lower, info = torch.linalg.cholesky_ex(gram + torch.diag(nugget))
        if int(info) == 0:
            return lower
        nugget = 10 * nugget
    raise RuntimeError(
        "the sensors' covariance is not positive semi-definite; the prior's covariance is "
        "inconsistent"
    )
