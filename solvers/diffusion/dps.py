"""Diffusion posterior sampling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.priors.schedule import noise_levels
from pdeinv.solvers.diffusion.base import DiffusionSolver, Problem, guided_sampling

__all__ = ["DPS"]

_STEPS = 1000  # of the published runs


@dataclass(frozen=True, kw_only=True)
class DPS(DiffusionSolver):
    """DPS on functions: ancestral steps, each pushed by the gradient of the sensors' misfit; the
    plainest of these methods.

        x ← x̂0 + (s'² / s²) (x - x̂0) + s' sqrt(1 - s'² / s²) ξ - ζ ∇ ‖y - H x̂0‖,    x̂0 = D(x, s)

    in normalised fields of standard deviation 0.5, with s' the level after s and ξ the noise field.
    The paper's step size ζ' / ‖y - H x̂0‖ on the squared norm is this with ζ = 2 ζ'; its ζ' near 1
    is for images with 10⁵ measurements, and a few hundred sensors need more.

    Arguments:
        steps: of the noise levels from 80 down.
        weight: ζ at the published 1,000 steps; in proportion larger for fewer, so that as much is
            pushed in all.

    Reference:
        Chung et al., *Diffusion posterior sampling for general noisy inverse problems*, ICLR 2023,
        algorithm 1 (arXiv 2209.14687).
    """

    steps: int = 1000
    weight: float = 40.0

    name: ClassVar[str] = "dps"

    def draw(self, problem, n, bar):
        misfit = problem.misfit((self.weight * _STEPS / self.steps,) * 2, ("norm", "norm"))
        sigmas = noise_levels(self.steps)
        start = problem.start(n, float(sigmas[0]))
        return guided_sampling(
            problem,
            start,
            sigmas,
            _ancestral,
            lambda i, sigma, state: misfit(state),
            problem.scale,
            bar,
        )


def _ancestral(problem: Problem, x: torch.Tensor, sigma: float, after: float):
    x0_hat = problem.denoise(x, sigma)
    kept = (after / sigma) ** 2
    ahead = x0_hat + kept * (x - x0_hat)
    if after > 0:
        ahead = ahead + after * (1 - kept) ** 0.5 * problem.noise(len(x))
    return ahead, x0_hat
