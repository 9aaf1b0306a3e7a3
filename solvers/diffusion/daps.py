"""Decoupled annealing posterior sampling (DAPS)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.priors.schedule import heun, noise_levels
from pdeinv.solvers.diffusion.base import DiffusionSolver, Problem
from pdeinv.solvers.diffusion.guidance import combine_steps, term_gradients, value_and_gradient

__all__ = ["DAPS"]

_STEPS = 200  # of the published runs
_POWER = 8  # iterations
_TEMPERATURE = 0.1  # of the injected noise, relative to Langevin's


@dataclass(frozen=True, kw_only=True)
class DAPS(DiffusionSolver):
    """DAPS in function space: at each noise level a state is denoised by an ODE, drawn towards the
    sensors, and noised anew.

        x̂0 ← ODE from (x, s);    `langevin` times: x0 ← x0 - η ∇[‖x0 - x̂0‖² / 2s² + w mean (y - H
        x0)² / 2τ²] + 0.1 sqrt(2η) ξ; x ← x0 + s' ξ

    in normalised fields of standard deviation 0.5. The rate η falls from 1e-4 to 1e-6 along the
    levels. The published gradient is that with respect to the values at 128 x 128 nodes; with a
    noise that is the same function on every grid, so is the gradient here. Where η exceeds what
    keeps the iteration stable it is cut to that. A noisy reading has τ² plus its variance for τ²,
    and η grows as the curvature of the loss falls by that; with `careful=False` neither is done.

    Arguments:
        steps: noise levels, from 10 to 0.01.
        ode_steps: Heun's steps of the ODE at each, down to 0.001.
        langevin: steps at each level.
        rate, last_rate: η at the first level and at the last, for 200 levels; in proportion larger
            for fewer.
        tau: standard deviation that the sensors are given.
        weights: w of sensors on the coefficient, and on the solution.
        every: Langevin steps for which the gradients of further guidance terms are kept.

    Reference:
        Zhang et al., *Improving diffusion inverse problem solving with decoupled noise annealing*,
        CVPR 2025, algorithm 1 (arXiv 2407.01521); the constants are those of Yao et al. (FunDPS),
        NeurIPS 2025, for Poisson (arXiv 2505.17004).
    """

    steps: int = 200
    ode_steps: int = 10
    langevin: int = 100
    rate: float = 1e-4
    last_rate: float = 1e-6
    tau: float = 1e-3
    weights: tuple[float, float] = (10.0, 1.0)
    every: int = 50

    name: ClassVar[str] = "daps"

    def draw(self, problem, n, bar):
        sigmas = noise_levels(self.steps, 0.01, 10.0).tolist()
        x = problem.start(n, sigmas[0])
        area = 1 / (2 * self.tau**2)
        loss = problem.misfit(
            tuple(area * w for w in self.weights), ("mean-square",) * 2, blur=self.tau
        )
        as_if_exact = problem.misfit(loss.weights, loss.measures, blur=torch.inf)
        bend = None
        for i, (sigma, after) in bar(list(enumerate(itertools.pairwise(sigmas)))):
            with torch.no_grad():
                denoised = heun(problem.denoise, x, noise_levels(self.ode_steps, 0.001, sigma))
            if bend is None:
                bend, exact = (
                    self._curvature(problem, f, denoised[:1]) for f in (loss, as_if_exact)
                )
            done = i / max(self.steps - 1, 1)
            rate = self.rate * _STEPS / self.steps * (self.last_rate / self.rate) ** done
            # Noisy readings bend the loss less, and are to be met in as many steps
            if self.careful:
                rate = min(rate * exact / max(bend, 1e-300), 1 / (bend + sigma**-2))
            x = self._towards_sensors(problem, loss, denoised, x, sigma, rate)
            if after > 0:
                x = x + after * problem.noise(n)
        return x

    def full(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """The state (coefficient, solution) of what is sampled; differentiable."""
        return x

    def _towards_sensors(self, problem, loss, denoised, x_t, sigma, rate):
        x, unit = denoised, problem.scale
        for j in range(self.langevin):
            _, main = value_and_gradient(lambda state: loss(self.full(problem, state)), x)
            if j % self.every == 0:
                others = term_gradients(problem.terms, x_t, sigma, x)
            push, *further = (
                unit**2 * problem.to_function_space(g)
                for g in (main, *(gradient for _, gradient, _ in others))
            )
            further = [(way, share, None) for way, (*_, share) in zip(further, others, strict=True)]
            pull = (x - denoised) / sigma**2 + combine_steps(push, further, unit)
            x = problem.checked(
                x - rate * pull + _TEMPERATURE * (2 * rate) ** 0.5 * problem.noise(len(x))
            )
        return x

    def _curvature(self, problem, loss, x):
        """The largest eigenvalue of the loss's second derivative in normalised variables, by power
        iteration."""
        unit = problem.scale
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            slope = (
                torch.autograd.grad(loss(self.full(problem, leaf)).sum(), leaf, create_graph=True)[
                    0
                ]
                * unit
            )
        v, size = slope.detach(), 0.0
        for _ in range(_POWER):
            v = problem.to_function_space(v / v.norm().clamp(min=1e-300))
            (bent,) = torch.autograd.grad(slope, leaf, v, retain_graph=True)
            v = bent * unit
            size = float(v.norm())
        return size
