"""FunDPS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.priors.schedule import noise_levels
from pdeinv.solvers.diffusion.base import (
    DiffusionSolver,
    Problem,
    guided_sampling,
    heun_step,
    published_residual,
)

__all__ = ["FunDPS"]

_STEPS = 500  # of the published runs
# The largest σ; for sensors on the coefficient, and on the solution: weight, measure, weight of the
# PDE's residual.
_PUBLISHED = {
    "darcy": (80.0, (1e4, "mean-square", 0.0), (5e4, "mean-square", 0.0)),
    "poisson": (10.0, (1e4, "mean-square", 0.0), (2e4, "mean-square", 0.0)),
    "helmholtz": (80.0, (1e4, "mean-square", 1.0), (5e3, "root-mean-square", 1.0)),
    "navier-stokes": (80.0, (5e3, "mean-square", 1.0), (7.5e3, "root-mean-square", 10.0)),
}


@dataclass(frozen=True, kw_only=True)
class FunDPS(DiffusionSolver):
    """FunDPS: Heun's steps with Gaussian-random-field noise, each pushed by the gradient of the
    sensors' squared misfit.

    In normalised fields of standard deviation 0.5,

        x ← Heun(x) - min(1, s) w ∇ mean (y - H x̂0)²,    x̂0 = D(x, s), the first denoising of the
        step

    with the published weights w (for a root mean square where they are marked so), and a small
    multiple of the PDE's residual below s = 1. The published gradient is that with respect to the
    values at 128 x 128 nodes; with a noise that is the same function on every grid, so is the
    gradient here.

    Arguments:
        steps: of the noise levels.
        weight: multiplies the sensors' published weights. All are for 500 steps and grow in
            proportion for fewer, so that as much is pushed in all.
        coarse: share of the steps to take on half as many nodes per side, before the modes beyond
            are filled with noise (the paper's two-resolution variant).
        sigma_min: the last level.

    Reference:
        Yao et al., *Guided diffusion sampling on function spaces with applications to PDEs*,
        NeurIPS 2025, algorithm 1 and appendix (arXiv 2505.17004).
    """

    steps: int = 500
    weight: float = 1.0
    coarse: float = 0.0
    sigma_min: float = 0.002

    name: ClassVar[str] = "fundps"

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.coarse < 1:
            raise InputError(
                f"coarse = {self.coarse} is a share of the steps; use a number from 0 to less "
                f"than 1"
            )

    def draw(self, problem, n, bar):
        largest, *_ = _PUBLISHED.get(problem.pde.name, _PUBLISHED["darcy"])
        sigmas = noise_levels(self.steps, self.sigma_min, largest)
        split = round(self.coarse * self.steps)
        if split and problem.gaussian.noise.kind == "white":
            raise InputError(
                "coarse steps need noise that is the same function on every grid; this prior's is "
                "white"
            )
        if split == 0:
            return self._down(problem, problem.start(n, float(sigmas[0])), sigmas, bar)
        grid = problem.grid
        half = Grid(grid.n // 2, grid.kind)
        coarse = problem.on_grid(half)
        x = self._down(coarse, coarse.start(n, float(sigmas[0])), sigmas[: split + 1], bar)
        return self._down(
            problem, _refined(problem, x, half, float(sigmas[split])), sigmas[split:], bar
        )

    def _down(self, problem, x, sigmas, bar):
        _, *sets = _PUBLISHED.get(problem.pde.name, _PUBLISHED["darcy"])
        boost = _STEPS / self.steps
        misfit = problem.misfit(
            tuple(boost * self.weight * s[0] for s in sets), tuple(s[1] for s in sets)
        )
        observed = [s for c, s in enumerate(sets) if bool((problem.observation.channel == c).any())]
        physics = boost * max(s[2] for s in observed)

        def loss(i, sigma, state):
            total = misfit(state)
            if physics and sigma <= 1:
                total = total + physics * published_residual(problem.pde, state).square().mean(
                    dim=(1, 2, 3)
                )
            return min(1.0, sigma) * total

        return guided_sampling(problem, x, sigmas, heun_step, loss, problem.scale, bar)


def _refined(problem: Problem, x: torch.Tensor, coarse: Grid, sigma: float) -> torch.Tensor:
    """The noised functions x of a coarse grid on the problem's: with noise in the modes that only
    this one tells apart."""
    g, fine = problem.gaussian, problem.grid
    tables = g.coefficients(g.normalise(x), coarse)
    noise = g.coefficients(problem.noise(len(x)).float() / g.scale[:, None, None], fine)
    for c, basis in enumerate(g.bases):
        low = basis.resize(torch.ones_like(tables[c]), noise[c].shape[-1])
        tables[c] = basis.resize(tables[c], noise[c].shape[-1]) + sigma * noise[c] * (1 - low)
    return g.physical(g.synthesis(tables, fine))
