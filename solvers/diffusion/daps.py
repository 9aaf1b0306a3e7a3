"""Decoupled annealing posterior sampling (DAPS)."""

from __future__ import annotations

import itertools
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch

from pdeinv.checks import Count, NotNegative, Positive, Steps
from pdeinv.grid import Grid
from pdeinv.priors.schedule import heun, noise_levels
from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.diffusion.faults import at_level
from pdeinv.solvers.diffusion.guidance import (
    Step,
    combine_steps,
    term_gradients,
    value_and_gradient,
)
from pdeinv.solvers.diffusion.problem import SamplingProblem
from pdeinv.solvers.diffusion.published import (
    DAPS_CONSTANTS,
    STEPS,
    DAPSConstants,
    Preset,
    ddis_weights,
)
from pdeinv.solvers.diffusion.sensor_misfit import Misfit

__all__ = ["DAPS"]

_POWER_ITERATIONS = 8
_TEMPERATURE = 0.1  # of the injected noise, relative to Langevin's


@dataclass(frozen=True, kw_only=True)
class DAPS(DiffusionSolver):
    """DAPS in function space: at each level, denoise by an ODE, fit the sensors, add noise.

        x̂0 ← ODE from (x, s);    `langevin` times: x0 ← x0 - η ∇[‖x0 - x̂0‖² / 2s² + w mean (y - H
        x0)² / 2τ²] + 0.1 sqrt(2η) ξ; x ← x0 + s' ξ

    in normalised fields of standard deviation 0.5. The prior is of both fields: for one of the
    coefficient alone this method is `DDIS`, whose sensors see the coefficient through the physics.

    The rate η falls from 1e-4 to 1e-6 along the
    levels. The published gradient is taken with respect to the values at 128 x 128 nodes. With a
    noise that is the same function on every grid, so is the gradient here.

    Three things are ours. A rate beyond the limit of stability is cut to it. A noisy reading has τ²
    plus its variance in place of τ², and η grows as the curvature of the loss falls by that. η
    falls geometrically, and is larger in proportion for fewer than 200 levels. With
    `preset="published"` none of these holds, η falls linearly, and the gradient is that with
    respect to the nodes' values.

    Arguments:
        steps: number of noise levels, from 10 to 0.01. This and the next six are those of
            `published.DAPS_CONSTANTS` if None.
        ode_steps: Heun's steps of the ODE at each level, down to 0.001.
        langevin: Langevin steps at each level.
        rate, last_rate: η at the first level and at the last.
        tau: standard deviation of the sensors' noise that the method assumes.
        weights: (2,), w of sensors on the coefficient and on the other fields.
        every: Langevin steps for which the gradients of the guidance terms are kept.

    Reference:
        Zhang et al., *Improving diffusion inverse problem solving with decoupled noise annealing*,
        CVPR 2025, algorithm 1 (arXiv 2407.01521); the constants are those of Yao et al. (FunDPS),
        NeurIPS 2025, for Poisson (arXiv 2505.17004).
    """

    steps: Steps | None = None
    ode_steps: Count | None = None
    langevin: Count | None = None
    rate: Positive | None = None
    last_rate: Positive | None = None
    tau: Positive | None = None
    weights: tuple[NotNegative, NotNegative] | None = None
    every: Count = 50

    name: ClassVar[str] = "daps"
    held: ClassVar[tuple[int, float]] = (24, 0.0)
    constants: ClassVar[dict[Preset, DAPSConstants]] = DAPS_CONSTANTS

    def preset_values(self) -> dict[str, Any]:
        """Return the preset's values of settings that are None unless given."""
        values = asdict(self.constants[self.preset])
        return {k: v for k, v in values.items() if k in self.__dataclass_fields__}

    def full(self, problem: SamplingProblem, x: torch.Tensor) -> torch.Tensor:
        """Return the states (batch, channel, ny, nx) of what is sampled; differentiable.

        Arguments:
            problem: counts what the states take.
            x: (batch, channel, ny, nx), in physical units.
        """
        return x

    def draw(self, problem: SamplingProblem, n: int, bar: ProgressBar) -> torch.Tensor:
        """Draw n posterior samples; see `DiffusionSolver.draw`."""
        c = self._constants()
        sigmas = noise_levels(c.steps, c.sigma_min, c.sigma_max).tolist()
        refined = c.steps // 2 if c.two_grids else 0
        here = problem
        if refined:
            here = problem.on_grid(problem.grid.resized(problem.grid.ny // 2, problem.grid.nx // 2))
        x = here.start(n, sigmas[0])
        curvature, exact_curvature = 0.0, 0.0
        for i, (sigma, after) in bar(list(enumerate(itertools.pairwise(sigmas)))):
            if refined and i == refined:
                here, x = problem, _upsampled(x, problem.grid) + after * problem.noise(n)
            loss = self._loss(here, c, i < refined, c.tau)
            with at_level(i, len(sigmas) - 1, sigma, x):
                denoised = _denoised(here, x, noise_levels(c.ode_steps, c.ode_sigma_min, sigma))
                if i == 0 and not problem.published:
                    as_if_exact = self._loss(here, c, i < refined, torch.inf)
                    curvature = self._curvature(here, loss, denoised[:1])
                    exact_curvature = self._curvature(here, as_if_exact, denoised[:1])
                rate = self._rate(c, i)
                if not problem.published:
                    # Noisy readings make the loss flatter, and are to be met in as many steps
                    rate = min(
                        rate * exact_curvature / max(curvature, 1e-300), 1 / (curvature + sigma**-2)
                    )
                x = self._fit_sensors(here, loss, denoised, x, sigma, rate, c.langevin)
            if after > 0:
                x = x + after * here.noise(n)
        return x

    def _constants(self) -> DAPSConstants:
        """Return the preset's constants, with the settings that were given."""
        c, given = self.constants[self.preset], self.settings()
        return replace(c, **{name: given[name] for name in asdict(c) if name in given})

    def _loss(
        self, problem: SamplingProblem, c: DAPSConstants, coarse: bool, blur: float
    ) -> Misfit:
        """Return the loss of the sensors; blur as of `SamplingProblem.misfit`."""
        weights = c.weights
        if weights is None:
            weights = (ddis_weights(problem.pde)[0 if coarse else 1],) * 2
        first, second = (w / (2 * c.tau**2) for w in weights)
        return problem.misfit((first, second), (c.measure, c.measure), blur=blur)

    def _rate(self, c: DAPSConstants, i: int) -> float:
        """Return η at level i."""
        if self.preset == "published":
            return c.rate + i / c.steps * (c.last_rate - c.rate)
        done = i / max(c.steps - 1, 1)
        return c.rate * STEPS["daps"] / c.steps * (c.last_rate / c.rate) ** done

    def _fit_sensors(
        self,
        problem: SamplingProblem,
        loss: Misfit,
        denoised: torch.Tensor,
        x_t: torch.Tensor,
        sigma: float,
        rate: float,
        langevin: int,
    ) -> torch.Tensor:
        """Return the states after the Langevin steps of one level.

        Arguments:
            problem: the sensors and the terms.
            loss: of the sensors.
            denoised: (batch, channel, ny, nx), x̂0, from which the steps start.
            x_t: (batch, channel, ny, nx), the noised states of the level.
            sigma: the level.
            rate: η.
            langevin: number of steps.

        Raises:
            DivergedError: the states leave all bounds.
        """
        x, unit = denoised, problem.scale
        for j in range(langevin):
            main = value_and_gradient(lambda state: loss(self.full(problem, state)), x)
            problem.check_finite(main.gradient, "the gradients of the readings' loss")
            if j % self.every == 0:
                others = term_gradients(problem.terms, x_t, sigma, x)
            first, *further = (
                unit**2 * problem.to_function_space(gradient)
                for gradient in (main.gradient, *(term.gradient for term in others))
            )
            steps = [Step(s, term.share) for s, term in zip(further, others, strict=True)]
            pull = (x - denoised) / sigma**2 + combine_steps(first, steps, unit)
            noise = _TEMPERATURE * (2 * rate) ** 0.5 * problem.noise(len(x))
            x = problem.check_finite(
                x - rate * pull + noise, f"the states of Langevin step {j + 1}"
            )
        return x

    def _curvature(self, problem: SamplingProblem, loss: Misfit, x: torch.Tensor) -> float:
        """Return the largest eigenvalue of the loss's second derivative in normalised fields.

        It is found by power iteration at the state x (1, channel, ny, nx).
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


@torch.no_grad()
def _denoised(problem: SamplingProblem, x: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Return the ends of the probability flow from states x at the first level."""
    return problem.check_finite(heun(problem.denoise, x, sigmas), "the denoised states")


def _upsampled(x: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return states x (batch, channel, my, mx) on a finer grid, bilinearly from corner to
    corner."""
    return torch.nn.functional.interpolate(x, size=grid.shape, mode="bilinear", align_corners=True)
