"""A Fourier neural operator that maps readings to both fields: the regression baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.memory import NUMBER
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors import Prior, SensorRegressor
from pdeinv.priors.storage import Role
from pdeinv.solvers.base import LEAST_SAMPLES
from pdeinv.solvers.forward import allowed
from pdeinv.solvers.joint_readings import joint_readings
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.learned import LearnedSolver
from pdeinv.solvers.linear_algebra import carries_weight, nugget_variance, reduced
from pdeinv.solvers.supported_readings import Special
from pdeinv.solvers.trained_problem import trained_coefficients, with_derived

__all__ = ["FNO"]

# Variance added to each reading, relative to its field's: for sensors where residuals vanish
_NUGGET = 1e-3


@dataclass(frozen=True)
class FNO(LearnedSolver[SensorRegressor]):
    """Regression: a Fourier neural operator maps masked readings and their mask to both means.

    The mean needs no PDE and takes milliseconds. Samples are the mean plus the residuals of the
    network on states of the distribution that it was trained on, read by the same sensors with the
    same noise. They are as wide as the network's errors, whatever the cause, but the same for all
    readings of these sensors. Each sample takes one solve.

    The prior is a `SensorRegressor`: the shipped one of the PDE, or one from `pdeinv train --model
    regressor`.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021 (arXiv 2010.08895).
    """

    name: ClassVar[str] = "fno"
    takes: ClassVar[frozenset[Special]] = frozenset()
    role: ClassVar[Role] = "regressor"
    wants_prior: ClassVar[str] = "a regressor from sensors, such as `pdeinv.priors.load` returns"

    @property
    def uses_noise(self) -> bool:
        return False

    def accepts_prior(self, prior: Prior) -> bool:
        """Return whether the method can use this prior."""
        return isinstance(prior, SensorRegressor | CoefficientPrior)

    def prepare_prior(self, pde: PDE, prior: object) -> SensorRegressor:
        """Return an accepted prior."""
        assert isinstance(prior, SensorRegressor)
        return prior

    def memory(self, pde: PDE, prior: Prior, observation: Observation, n_samples: int) -> float:
        answers = 4 * max(n_samples, LEAST_SAMPLES) * observation.grid.nodes
        return super().memory(pde, prior, observation, n_samples) + NUMBER * answers

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        """Evaluate the regressor on the readings and on those of random states; see
        `Solver.__call__`."""
        regressor, named = self.resolve_prior(pde, prior)
        draws = max(n_samples, LEAST_SAMPLES)
        observation = joint_readings(self.name, pde, observation, linear=False)
        coefficients = trained_coefficients(regressor) or pde.default_prior
        forward, bounds = LatentMap(Problem(pde, coefficients), observation), coefficients.bounds
        states = forward.sample(draws, observation.grid, generator)
        states = states[:, : len(observation.order)]
        readings = observation(states)
        drawn = torch.randn(readings.shape, dtype=readings.dtype, generator=generator)
        noise = observation.noise_std * drawn.to(readings)
        residuals = states - allowed(pde, regressor.answers(observation, readings + noise), bounds)
        mean = allowed(pde, regressor(observation)[None], bounds)[0]
        variances = readings.var(dim=0)
        variance = (
            observation(residuals).square().mean(dim=0)
            + observation.noise_std**2
            + nugget_variance(variances, observation, _NUGGET)
        )
        misfit = (observation.values - observation(mean[None])[0]) ** 2 / variance
        samples = with_derived(pde, allowed(pde, mean + residuals, bounds))
        mean, std = with_derived(pde, mean[None])[0], residuals.square().mean(dim=0).sqrt()
        off = samples[:, len(std) :] - mean[len(std) :]
        return Posterior(
            pde.fields,
            observation.grid,
            mean,
            torch.cat([std, off.square().mean(dim=0).sqrt()]),
            samples[:n_samples],
            record={
                "reduced_chi_squared": reduced(misfit, carries_weight(variances, observation)),
                "network_evaluations": 2,  # for each sample: of the mean and of its residual
                "solver_calls": forward.solver_calls,
                **named,
            },
        )
