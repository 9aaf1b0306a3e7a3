"""FunDPS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import torch

from pdeinv.checks import Bounds, Positive, Steps
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.priors import Prior
from pdeinv.priors.schedule import noise_levels
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import (
    STEPS,
    SensorLoss,
    fundps_constants,
    guidance_residual,
)
from pdeinv.solvers.diffusion.sampling import StepLoss, guided_sampling, heun_step
from pdeinv.solvers.trained_problem import of_coefficient

__all__ = ["FunDPS"]


@dataclass(frozen=True, kw_only=True)
class FunDPS(DiffusionSolver):
    """FunDPS: Heun's steps with Gaussian-random-field noise, guided by the squared misfit.

    In normalised fields of standard deviation 0.5,

        x ← Heun(x) - min(1, s) w ∇ mean (y - H x̂0)²,    x̂0 = D(x, s), the first denoising of the
        step

    with the published weights w, for a root mean square where the paper has one, and a small
    multiple of the PDE's residual below s = 1. The published gradient is taken with respect to the
    values at 128 x 128 nodes. With a noise that is the same function on every grid, so is the
    gradient here.

    With `preset="published"` the second denoising of the step guides, the gradient is that with
    respect to the nodes' values, the last step is not guided, and the residual has the Huber loss,
    as in the paper's code.

    `published.fundps_constants` holds the weights, and what a PDE gets that the paper does not
    have.

    Arguments:
        steps: number of noise levels.
        weight: multiplies the sensors' published weights. By default all weights are for 500 steps
            and grow in proportion for fewer, so that the steps add up to the same length.
        coarse: share of the steps on half as many nodes per side, from 0 to below 1. Noise then
            fills the modes that only the full grid has (the paper's two-resolution variant).
        sigma_min: the last noise level; the published one if None.

    Reference:
        Yao et al., *Guided diffusion sampling on function spaces with applications to PDEs*,
        NeurIPS 2025, algorithm 1 and appendix (arXiv 2505.17004).
    """

    steps: Steps = STEPS["fundps"]
    weight: Positive = 1.0
    coarse: Annotated[float, Bounds(least=0, below=1)] = 0.0
    sigma_min: Positive | None = None

    name: ClassVar[str] = "fundps"

    def suits_prior(self, prior: Prior) -> bool:
        """Return whether "auto" may take the method for this prior: a joint one."""
        return self.accepts_prior(prior) and not of_coefficient(prior)

    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Draw n posterior samples; see `DiffusionSolver.draw`."""
        seen = self._observed(problem)
        last = self.sigma_min or min(s.sigma_min for s in seen)
        sigmas = noise_levels(self.steps, last, max(s.sigma_max for s in seen))
        split = round(self.coarse * self.steps)
        if split == 0:
            return self._descend(problem, problem.start(n, float(sigmas[0])), sigmas, bar)
        if problem.gaussian.noise.kind == "white":
            raise InputError(
                "the noise of the prior must be the same function on every grid for coarse steps, "
                "got white noise; use coarse=0 or another prior"
            )
        half = problem.grid.resized(problem.grid.ny // 2, problem.grid.nx // 2)
        coarse = problem.on_grid(half)
        x = self._descend(coarse, coarse.start(n, float(sigmas[0])), sigmas[: split + 1], bar)
        x = _refine(problem, x, half, float(sigmas[split]))
        return self._descend(problem, x, sigmas[split:], bar)

    def _descend(
        self, problem: SamplingProblem, x: torch.Tensor, sigmas: torch.Tensor, bar: ProgressBar
    ) -> torch.Tensor:
        """Return the states at the last of these levels, for states x at the first."""
        loss, step = self._loss(problem, sigmas), partial(heun_step, second=problem.published)
        return guided_sampling(problem, x, sigmas, step, loss, problem.scale, bar)

    def _observed(self, problem: SamplingProblem) -> list[SensorLoss]:
        sensors = fundps_constants(problem.pde, self.preset)
        read = problem.observation.channel.clamp(max=len(sensors) - 1)  # as in `misfit`
        return [s for c, s in enumerate(sensors) if bool((read == c).any())]

    def _loss(self, problem: SamplingProblem, sigmas: torch.Tensor) -> StepLoss:
        sensors = fundps_constants(problem.pde, self.preset)
        boost = 1.0 if problem.published else STEPS["fundps"] / self.steps
        first, second = (boost * self.weight * s.weight for s in sensors)
        misfit = problem.misfit((first, second), (sensors[0].measure, sensors[1].measure))
        physics = boost * max(s.residual_weight for s in self._observed(problem))
        # The published step to zero noise is not guided
        unguided = len(sigmas) - 2 if problem.published and float(sigmas[-1]) == 0 else None

        def loss(i: int, sigma: float, x0_hat: torch.Tensor) -> torch.Tensor:
            total = misfit(x0_hat)
            if physics and sigma <= 1:
                residual = guidance_residual(problem.pde, x0_hat, self.preset)
                size = _huber(residual) if problem.published else residual.square()
                total = total + physics * size.mean(dim=(1, 2, 3))
            return (0.0 if i == unguided else min(1.0, sigma)) * total

        return loss


def _huber(x: torch.Tensor) -> torch.Tensor:
    """Return x² / 2 where |x| < 1, and |x| - ½ elsewhere."""
    return torch.where(x.abs() < 1, x.square() / 2, x.abs() - 0.5)


def _refine(problem: SamplingProblem, x: torch.Tensor, coarse: Grid, sigma: float) -> torch.Tensor:
    """Return noised states of a coarse grid on the problem's grid, with noise in the new modes.

    Arguments:
        problem: on the fine grid.
        x: (batch, channel, my, mx), states at the level sigma on the coarse grid.
        coarse: the grid of x.
        sigma: the noise level.
    """
    g, fine = problem.gaussian, problem.grid
    tables = g.coefficients(g.normalise(x), coarse)
    noise = g.coefficients(problem.noise(len(x)).float() / g.scale[:, None, None], fine)
    for c, basis in enumerate(g.bases):
        low = basis.resize(torch.ones_like(tables[c]), basis.capacity(fine))
        tables[c] = basis.resize(tables[c], basis.capacity(fine)) + sigma * noise[c] * (1 - low)
    return g.physical(g.synthesis(tables, fine))
