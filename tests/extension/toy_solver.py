"""A toy solver: the best linear estimate from states that are drawn and solved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.datasets import Problem
from pdeinv.posterior import Posterior
from pdeinv.solvers.base import Solver
from pdeinv.solvers.forward import clamped

__all__ = ["ToySolver"]


@dataclass(frozen=True)
class ToySolver(Solver):
    """The ensemble Kalman analysis of random states, of few lines and for any PDE.

    Arguments:
        draws: states.
    """

    draws: int = 200

    name: ClassVar[str] = "toy-solver"

    def condition(self, pde, prior, observation, n_samples, generator, progress):
        problem, count = Problem(pde, prior), max(self.draws, n_samples)
        states = problem.sample(count, observation.grid, generator)
        readings, scale = observation(states), states.flatten(2).std(dim=(0, 2))
        floor = 1e-3 * scale[observation.channel]
        noise = torch.maximum(observation.noise_std, floor)
        x, y = states - states.mean(dim=0), readings - readings.mean(dim=0)
        gram = y.T @ y / len(states) + torch.diag(noise**2)
        white = torch.randn(readings.shape, dtype=readings.dtype, generator=generator)
        innovation = observation.values + noise * white - readings
        weights = y @ torch.linalg.solve(gram, innovation.T) / len(states)
        posterior = states + torch.einsum("ij,i...->j...", weights, x)
        posterior = clamped(posterior, problem.coefficient_prior.bounds)
        mean = posterior.mean(dim=0)
        misfit = (observation.values - observation(mean[None])[0]) / noise
        record = {
            "reduced_chi_squared": float(misfit.square().mean()),
            "solver_calls": len(states),
        }
        return Posterior(
            pde.fields,
            observation.grid,
            mean,
            posterior.std(dim=0),
            posterior[:n_samples],
            record,
        )
