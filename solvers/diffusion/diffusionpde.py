"""DiffusionPDE."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch

from pdeinv.priors.schedule import noise_levels
from pdeinv.solvers.diffusion.base import (
    DiffusionSolver,
    guided_sampling,
    heun_step,
    published_residual,
)
from pdeinv.solvers.diffusion.guidance import norm

__all__ = ["DiffusionPDE"]

_STEPS = 2000  # of the published runs
# Share of the steps after which the PDE's residual guides too, and the sensors a tenth as much
_LATE = 0.8
# Scales of the two fields in the network's input; weights of their sensors and of the residual.
_PUBLISHED = {
    "darcy": ((0.2, 115.0), (5.0, 5000.0), 100.0),
    "poisson": ((1 / 2.15, 36.5), (0.8, 40.0), 1.0),
    "helmholtz": ((1 / 2.15, 1 / 0.028), (0.8, 60.0), 1.0),
    "navier-stokes": ((1 / 1.6, 1 / 1.6), (1.0, 1.0), 1.0),
}


@dataclass(frozen=True, kw_only=True)
class DiffusionPDE(DiffusionSolver):
    """DiffusionPDE: Heun's steps, each pushed by the gradients of the sensors' misfit and, late, of
    the PDE's residual.

        z ← Heun(z) - ζ_a ∇ ‖a - H â‖ - ζ_u ∇ ‖u - H û‖,    (â, û) the second denoising of the step

    with norms in physical units and the gradient taken with respect to the state z at the step's
    start, in the units of the published network. In the last fifth of the steps the two weights are
    a tenth, and ζ_f ∇ ‖residual‖ / N is subtracted too, N being the number of nodes (of cells, on
    the square with u = 0 around, but for Darcy).

    The published prior has white noise; train one with `--noise white` to be faithful in that as
    well.

    Arguments:
        steps: of the noise levels.
        weight: multiplies the sensors' published weights. All are for 2,000 steps and grow in
            proportion for fewer, so that as much is pushed in all.
        sigma_min: the last level.

    Reference:
        Huang et al., *DiffusionPDE: generative PDE-solving under partial observation*, NeurIPS
        2024, algorithm 1 and appendix (arXiv 2406.17763).
    """

    steps: int = 2000
    weight: float = 1.0
    sigma_min: float = 0.002

    name: ClassVar[str] = "diffusionpde"

    def draw(self, problem, n, bar):
        pde, size = problem.pde, problem.grid.n
        units, weights, physics = _PUBLISHED.get(
            pde.name, ((0.5 / problem.spread[0], 0.5 / problem.spread[1]), (1.0, 1.0), 0.0)
        )
        boost = _STEPS / self.steps
        one = torch.ones(2, dtype=torch.float64)
        misfit = problem.misfit(
            tuple(boost * self.weight * w for w in weights), ("norm", "norm"), scale=one
        )
        nodes = (size - 1) ** 2 if pde.name in ("poisson", "helmholtz") else size**2

        def loss(i, sigma, state):
            if i <= _LATE * self.steps:
                return misfit(state)
            return 0.1 * misfit(state) + boost * physics / nodes * norm(
                published_residual(pde, state)
            )

        sigmas = noise_levels(self.steps, self.sigma_min)
        start = problem.start(n, float(sigmas[0]))
        scale = torch.tensor(units, dtype=torch.float64)[:, None, None].reciprocal()
        return guided_sampling(
            problem, start, sigmas, partial(heun_step, second=True), loss, scale, bar
        )
