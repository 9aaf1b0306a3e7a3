"""A Fourier neural operator that was trained to answer sensors: the regression baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.posterior import Posterior
from pdeinv.priors import SensorRegressor
from pdeinv.solvers.base import LEAST_SAMPLES
from pdeinv.solvers.learned import LearnedSolver
from pdeinv.solvers.linear_algebra import nugget_variance

__all__ = ["FNO"]

# Of a reading's variance, beside its noise: for sensors that the residuals happen to explain
_LEFT = 1e-3


@dataclass(frozen=True)
class FNO(LearnedSolver):
    """Regression: a Fourier neural operator maps masked readings and their mask to the mean of both
    fields, at once.

    The mean needs no PDE, and milliseconds. Samples are the mean plus the network's residuals on
    states of the PDE's own prior that the same sensors read, with the same noise: as wide as its
    errors are, whatever their cause, but the same for all readings of these sensors. Each takes a
    solve.

    The prior is a `SensorRegressor`: the shipped one of the PDE if none is given, or a file of
    `pdeinv train --model regressor`.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021 (arXiv 2010.08895).
    """

    name: ClassVar[str] = "fno"
    suffix: ClassVar[str] = "-regressor"
    models: ClassVar[tuple[type, ...]] = (SensorRegressor,)
    wants_prior: ClassVar[str] = "a regressor from sensors, such as `pdeinv.priors.load` returns"

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        regressor, told = self.resolve_prior(pde, prior)
        draws = max(n_samples, LEAST_SAMPLES)
        states = pde.sample(draws, observation.grid, generator)
        readings = observation(states)
        noise = observation.noise_std * torch.randn(
            readings.shape, dtype=readings.dtype, generator=generator
        )
        residuals = states - pde.clamp(regressor.answers(observation, readings + noise))
        mean = pde.clamp(regressor(observation)[None])[0]
        samples = pde.clamp(mean + residuals)
        left = observation(residuals).square().mean(dim=0)
        variance = (
            left
            + observation.noise_std**2
            + nugget_variance(readings.var(dim=0), observation, _LEFT)
        )
        misfit = (observation.values - observation(mean[None])[0]) ** 2 / variance
        record = {
            "reduced_chi_squared": float(misfit.mean()),
            "network_evaluations": 2,  # for each sample: the mean's and its residual's
            "solver_calls": draws,
            **told,
        }
        return Posterior(
            pde.fields,
            observation.grid,
            mean,
            residuals.square().mean(dim=0).sqrt(),
            samples[:n_samples],
            record,
        )
