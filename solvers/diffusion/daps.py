"""Decoupled annealing posterior sampling (DAPS)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.priors.schedule import heun, noise_levels
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.checks import check_positive, check_weights, check_whole
from pdeinv.solvers.diffusion.guidance import (
    Misfit,
    Step,
    combine_steps,
    term_gradients,
    value_and_gradient,
)
from pdeinv.solvers.diffusion.problem import Problem
from pdeinv.solvers.diffusion.published import DAPS_CONSTANTS, Measure

__all__ = ["DAPS"]

_MEASURES: tuple[Measure, Measure] = ("mean-square", "mean-square")
_POWER_ITERATIONS = 8
_TEMPERATURE = 0.1  # of the injected noise, relative to Langevin's


@dataclass(frozen=True, kw_only=True)
class DAPS(DiffusionSolver):
    """DAPS in function space: at each level, denoise by an ODE, fit the sensors, add noise.

        x̂0 ← ODE from (x, s);    `langevin` times: x0 ← x0 - η ∇[‖x0 - x̂0‖² / 2s² + w mean (y - H
        x0)² / 2τ²] + 0.1 sqrt(2η) ξ; x ← x0 + s' ξ

    in normalised fields of standard deviation 0.5. The rate η falls from 1e-4 to 1e-6 along the
    levels. The published gradient is taken with respect to the values at 128 x 128 nodes. With a
    noise that is the same function on every grid, so is the gradient here.

    Two things are ours, and are off with `careful=False`. A rate beyond the limit of stability is
    cut to it. A noisy reading has τ² plus its variance in place of τ², and η grows as the curvature
    of the loss falls by that.

    Arguments:
        steps: number of noise levels, from 10 to 0.01.
        ode_steps: Heun's steps of the ODE at each level, down to 0.001.
        langevin: Langevin steps at each level.
        rate, last_rate: η at the first level and at the last, for 200 levels; in proportion larger
            for fewer.
        tau: standard deviation of the sensors' noise that the method assumes.
        weights: (2,), w of sensors on the coefficient and on the solution.
        every: Langevin steps for which the gradients of the guidance terms are kept.

    Reference:
        Zhang et al., *Improving diffusion inverse problem solving with decoupled noise annealing*,
        CVPR 2025, algorithm 1 (arXiv 2407.01521); the constants are those of Yao et al. (FunDPS),
        NeurIPS 2025, for Poisson (arXiv 2505.17004).
    """

    steps: int = DAPS_CONSTANTS.steps
    ode_steps: int = DAPS_CONSTANTS.ode_steps
    langevin: int = DAPS_CONSTANTS.langevin
    rate: float = DAPS_CONSTANTS.rate
    last_rate: float = DAPS_CONSTANTS.last_rate
    tau: float = DAPS_CONSTANTS.tau
    weights: tuple[float, float] = DAPS_CONSTANTS.weights
    every: int = 50

    name: ClassVar[str] = "daps"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole(self.name, "steps", self.steps, 2)
        check_whole(self.name, "ode_steps", self.ode_steps, 1)
        check_whole(self.name, "langevin", self.langevin, 1)
        check_whole(self.name, "every", self.every, 1)
        check_positive(self.name, "rate", self.rate)
        check_positive(self.name, "last_rate", self.last_rate)
        check_positive(self.name, "tau", self.tau)
        check_weights(self.name, "weights", self.weights)

    def full(self, problem: Problem, x: torch.Tensor) -> torch.Tensor:
        """Return the states (batch, 2, n, n) of what is sampled; differentiable.

        Arguments:
            problem: counts what the states take.
            x: (batch, channel, n, n), in physical units.
        """
        return x

    def draw(self, problem: Problem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Draw n posterior samples; see `DiffusionSolver.draw`."""
        c = DAPS_CONSTANTS
        sigmas = noise_levels(self.steps, c.sigma_min, c.sigma_max).tolist()
        x = problem.start(n, sigmas[0])
        factor = 1 / (2 * self.tau**2)
        first, second = (factor * w for w in self.weights)
        loss = problem.misfit((first, second), _MEASURES, blur=self.tau)
        curvature, exact_curvature = 0.0, 0.0
        for i, (sigma, after) in bar(list(enumerate(itertools.pairwise(sigmas)))):
            with torch.no_grad():
                denoised = heun(
                    problem.denoise, x, noise_levels(self.ode_steps, c.ode_sigma_min, sigma)
                )
            if i == 0:
                as_if_exact = problem.misfit((first, second), _MEASURES, blur=torch.inf)
                curvature = self._curvature(problem, loss, denoised[:1])
                exact_curvature = self._curvature(problem, as_if_exact, denoised[:1])
            rate = self._rate(i)
            if self.careful:
                # Noisy readings make the loss flatter, and are to be met in as many steps
                rate = min(
                    rate * exact_curvature / max(curvature, 1e-300), 1 / (curvature + sigma**-2)
                )
            x = self._fit_sensors(problem, loss, denoised, x, sigma, rate)
            if after > 0:
                x = x + after * problem.noise(n)
        return x

    def _rate(self, i: int) -> float:
        """Return the published η at level i."""
        done = i / max(self.steps - 1, 1)
        return self.rate * DAPS_CONSTANTS.steps / self.steps * (self.last_rate / self.rate) ** done

    def _fit_sensors(
        self,
        problem: Problem,
        loss: Misfit,
        denoised: torch.Tensor,
        x_t: torch.Tensor,
        sigma: float,
        rate: float,
    ) -> torch.Tensor:
        """Return the states after the Langevin steps of one level.

        Arguments:
            problem: the sensors and the terms.
            loss: of the sensors.
            denoised: (batch, channel, n, n), x̂0, from which the steps start.
            x_t: (batch, channel, n, n), the noised states of the level.
            sigma: the level.
            rate: η.

        Raises:
            DivergedError: the states leave all bounds.
        """
        x, unit = denoised, problem.scale
        for j in range(self.langevin):
            main = value_and_gradient(lambda state: loss(self.full(problem, state)), x)
            if j % self.every == 0:
                others = term_gradients(problem.terms, x_t, sigma, x)
            first, *further = (
                unit**2 * problem.to_function_space(gradient)
                for gradient in (main.gradient, *(term.gradient for term in others))
            )
            steps = [Step(s, term.share) for s, term in zip(further, others, strict=True)]
            pull = (x - denoised) / sigma**2 + combine_steps(first, steps, unit)
            noise = _TEMPERATURE * (2 * rate) ** 0.5 * problem.noise(len(x))
            x = problem.check_finite(x - rate * pull + noise)
        return x

    def _curvature(self, problem: Problem, loss: Misfit, x: torch.Tensor) -> float:
        """Return the largest eigenvalue of the loss's second derivative in normalised fields.

        It is found by power iteration at the state x (1, channel, n, n).
        """
        unit = problem.scale
        leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            total = loss(self.full(problem, leaf)).sum()
            slope = torch.autograd.grad(total, leaf, create_graph=True)[0] * unit
        v, size = slope.detach(), 0.0
        for _ in range(_POWER_ITERATIONS):
            v = problem.to_function_space(v / v.norm().clamp(min=1e-300))
            (bent,) = torch.autograd.grad(slope, leaf, v, retain_graph=True)
            v = bent * unit
            size = float(v.norm())
        return size
