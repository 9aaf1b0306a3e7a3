"""DiffusionPDE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from pdeinv.checks import Positive, Steps
from pdeinv.datasets.base import PDE
from pdeinv.priors import Prior
from pdeinv.priors.schedule import noise_levels
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import (
    STEPS,
    diffusionpde_constants,
    guidance_residual,
)
from pdeinv.solvers.diffusion.sampling import guided_sampling, heun_step
from pdeinv.solvers.diffusion.sensor_misfit import norm

__all__ = ["DiffusionPDE"]

# Share of the steps after which the PDE's residual guides too, and what the sensors then weigh
_LATE, _LATE_WEIGHT = 0.8, 0.1


@dataclass(frozen=True, kw_only=True)
class DiffusionPDE(DiffusionSolver):
    """DiffusionPDE: Heun's steps, guided by the sensors' misfit and, late, by the PDE's residual.

        z ← Heun(z) - ζ_a ∇ ‖a - H â‖ - ζ_u ∇ ‖u - H û‖,    (â, û) the second denoising of the step

    The norms are in physical units. The gradient is taken with respect to the state z at the step's
    start, in the units of the published network. In the last fifth of the steps the two weights are
    a tenth, and ζ_f ∇ ‖residual‖ / N is subtracted too. N is the number of nodes, or of cells for
    the PDEs whose published code counts those.

    `published.diffusionpde_constants` holds the weights and the units, and what a PDE gets that the
    paper does not have. `published.guidance_residual` has the residual of each preset.

    Arguments:
        steps: number of noise levels.
        weight: multiplies the sensors' published weights. By default all weights are for 2,000
            steps and grow in proportion for fewer, so that the steps add up to the same length.
        sigma_min: the last noise level.

    Reference:
        Huang et al., *DiffusionPDE: generative PDE-solving under partial observation*, NeurIPS
        2024, algorithm 1 and appendix (arXiv 2406.17763).
    """

    steps: Steps = STEPS["diffusionpde"]
    weight: Positive = 1.0
    sigma_min: Positive = 0.002

    name: ClassVar[str] = "diffusionpde"

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Draw n posterior samples; see `DiffusionSolver.draw`."""
        joint, std = len(problem.scale), problem.field_std
        constants = diffusionpde_constants(problem.pde, std[:joint])
        boost = 1.0 if problem.published else STEPS["diffusionpde"] / self.steps
        weights = [boost * self.weight * w for w in constants.weights]
        # The weight of the solution serves what is derived, in units of its own spread
        unit = torch.cat([torch.ones_like(std[:joint]), std[joint:] / std[joint - 1]])
        misfit = problem.misfit(weights, ("norm", "norm"), scale=unit)
        physics = boost * constants.residual_weight / constants.residual_count(problem.grid)

        def loss(i: int, sigma: float, x0_hat: torch.Tensor) -> torch.Tensor:
            if i <= _LATE * self.steps:
                return misfit(x0_hat)
            total = _LATE_WEIGHT * misfit(x0_hat)
            if physics:
                residual = guidance_residual(problem.pde, x0_hat, self.preset)
                total = total + physics * norm(residual)
            return total

        sigmas = noise_levels(self.steps, self.sigma_min)
        start = problem.start(n, float(sigmas[0]))
        scale = start.new_tensor(constants.units).double()[:, None, None].reciprocal()
        step = partial(heun_step, second=True)
        return guided_sampling(problem, start, sigmas, step, loss, scale, bar)
