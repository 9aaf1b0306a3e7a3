"""Diffusion posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pdeinv.checks import Positive, Steps
from pdeinv.priors.schedule import noise_levels
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import DPS_WEIGHT, STEPS, ddpm_levels
from pdeinv.solvers.diffusion.sampling import guided_sampling

__all__ = ["DPS"]


@dataclass(frozen=True, kw_only=True)
class DPS(DiffusionSolver):
    """DPS on functions, the plainest of the guided solvers.

    Each ancestral step is followed by a step against the gradient of the sensors' misfit:

        x ← x̂0 + (s'² / s²) (x - x̂0) + s' sqrt(1 - s'² / s²) ξ - ζ ∇ ‖y - H x̂0‖,    x̂0 = D(x, s)

    in normalised fields of standard deviation 0.5, with s' the level after s and ξ the noise field.
    The paper's step size ζ' / ‖y - H x̂0‖ on the squared norm is this with ζ = 2 ζ'. Its ζ' near 1
    is for images with 10⁵ measurements; a few hundred sensors need more.

    The paper writes this for DDPM's states, x / sqrt(1 + s²). With `preset="published"` the levels
    are those of DDPM, and in x the gradient has the factor sqrt((1 + s²) (1 + s'²)) of the change
    of variable.

    Arguments:
        steps: number of noise levels, from 80 down.
        weight: ζ; 40, or the paper's 2, if None. By default it is for the published 1,000 steps
            and grows in proportion for fewer, so that the steps add up to the same length.

    Reference:
        Chung et al., *Diffusion posterior sampling for general noisy inverse problems*, ICLR 2023,
        algorithm 1 (arXiv 2209.14687).
    """

    steps: Steps = STEPS["dps"]
    weight: Positive | None = None

    name: ClassVar[str] = "dps"
    held: ClassVar[tuple[int, float]] = (36, 60e6)

    def preset_values(self) -> dict[str, Any]:
        """Return the preset's values of settings that are None unless given."""
        return {"weight": DPS_WEIGHT[self.preset]}

    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Draw n posterior samples; see `DiffusionSolver.draw`."""
        weight = self.settings()["weight"]
        sigmas = noise_levels(self.steps)
        factors = torch.full((self.steps,), STEPS["dps"] / self.steps, dtype=torch.float32)
        first = float(sigmas[0])
        if problem.published:
            sigmas = ddpm_levels(self.steps)
            spread = (1 + sigmas**2).sqrt()
            factors, first = spread[:-1] * spread[1:], float(spread[0])
        misfit = problem.misfit((weight, weight), ("norm", "norm"))

        def loss(i: int, sigma: float, x0_hat: torch.Tensor) -> torch.Tensor:
            return float(factors[i]) * misfit(x0_hat)

        start = problem.start(n, first)
        return guided_sampling(problem, start, sigmas, _ancestral_step, loss, problem.scale, bar)


def _ancestral_step(
    problem: SamplingProblem, x: torch.Tensor, sigma: float, after: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the states drawn at the next level, and the denoised states."""
    x0_hat = problem.denoise(x, sigma)
    kept = (after / sigma) ** 2
    ahead = x0_hat + kept * (x - x0_hat)
    if after > 0:
        ahead = ahead + after * (1 - kept) ** 0.5 * problem.noise(len(x))
    return ahead, x0_hat
