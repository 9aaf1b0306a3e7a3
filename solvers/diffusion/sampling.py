"""The sampling loop of the guided solvers: steps down the noise levels, guided by losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial

import torch

from pdeinv.solvers.base import ProgressBar
from pdeinv.solvers.diffusion.faults import at_level
from pdeinv.solvers.diffusion.guidance import (
    LossGradient,
    Step,
    TermGradient,
    combine_steps,
    polyak,
    term_gradients,
    value_and_gradient,
)
from pdeinv.solvers.diffusion.problem import SamplingProblem

__all__ = ["LevelStep", "StepLoss", "guided_sampling", "heun_step"]

# Of Polyak's step for a term with a share, since its loss is zero nowhere
_TRUSTED = 0.5

LevelStep = Callable[
    [SamplingProblem, torch.Tensor, float, float], tuple[torch.Tensor, torch.Tensor]
]
"""(problem, x, σ, next σ) -> the states at the next level, and the denoised states that guide."""

StepLoss = Callable[[int, float, torch.Tensor], torch.Tensor]
"""(index of the step, σ, x0_hat) -> loss (batch,), zero where the sensors are met."""


def guided_sampling(
    problem: SamplingProblem,
    x: torch.Tensor,
    sigmas: torch.Tensor,
    step: LevelStep,
    loss: StepLoss,
    scale: torch.Tensor,
    bar: ProgressBar,
) -> torch.Tensor:
    """Return the states at the last level, (batch, channel, ny, nx), in physical units.

    At each level a step leads to the next one, and then the gradients of the loss and of the
    problem's terms are subtracted. They are taken back from x0_hat to x through the denoiser.

    Arguments:
        problem: the denoiser, the sensors and the terms.
        x: (batch, channel, ny, nx), the states at the first level.
        sigmas: (levels,), the noise levels, falling.
        step: from one level to the next.
        loss: of the denoised states.
        scale: (channel, 1, 1), the physical unit of the variable in which gradients are taken.
        bar: shows the progress.

    Raises:
        DivergedError: the states leave all bounds.
    """
    pairs = list(itertools.pairwise(sigmas.tolist()))
    for i, (sigma, after) in bar(list(enumerate(pairs))):
        with at_level(i, len(pairs), sigma, x):
            x = _guided_step(problem, x, (sigma, after), step, partial(loss, i, sigma), scale)
    return x


def _guided_step(
    problem: SamplingProblem,
    x: torch.Tensor,
    levels: tuple[float, float],
    step: LevelStep,
    loss: Callable[[torch.Tensor], torch.Tensor],
    scale: torch.Tensor,
) -> torch.Tensor:
    """Return the states at the next level; arguments as of `guided_sampling`.

    Arguments:
        levels: σ and the next one.

    Raises:
        DivergedError: what moves the states is not finite, with its name.
    """
    sigma, after = levels
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        ahead, x0_hat = step(problem, x, sigma, after)
        problem.check_finite(x0_hat.detach(), "the denoised states")
        main = value_and_gradient(loss, x0_hat)
        problem.check_finite(main.gradient, "the gradients of the readings' loss")
        others = term_gradients(problem.terms, x.detach(), sigma, x0_hat)
        gradients = [main.gradient, *(term.gradient for term in others)]
        slopes = _pull_back(x0_hat, x, gradients)
    for slope in slopes:
        problem.check_finite(slope, "the gradients through the denoiser")
    guidance = _guidance_step(problem, main, others, slopes, scale)
    return problem.check_finite((ahead - guidance).detach(), "the states after the step")


def _pull_back(
    x0_hat: torch.Tensor, x: torch.Tensor, gradients: Sequence[torch.Tensor]
) -> list[torch.Tensor]:
    """Return gradients with respect to x for those with respect to x0_hat."""
    last = len(gradients) - 1
    return [
        torch.autograd.grad(x0_hat, x, gradient, retain_graph=i < last)[0]
        for i, gradient in enumerate(gradients)
    ]


def _guidance_step(
    problem: SamplingProblem,
    main: LossGradient,
    others: Sequence[TermGradient],
    slopes: Sequence[torch.Tensor],
    scale: torch.Tensor,
) -> torch.Tensor:
    """Return what the loss and the terms subtract from the states, (batch, channel, ny, nx)."""
    first, *further = (scale**2 * problem.to_function_space(slope) for slope in slopes)
    if not problem.published:
        # A longer step overshoots the zero of the loss, and the more so at the next level
        first = first * polyak(main.loss, slopes[0], first).clamp(max=1)[:, None, None, None]
    steps = [
        Step(
            direction,
            term.share,
            None if problem.published else _TRUSTED * polyak(term.loss, slope, direction),
        )
        for term, slope, direction in zip(others, slopes[1:], further, strict=True)
    ]
    return combine_steps(first, steps, scale)


def heun_step(
    problem: SamplingProblem, x: torch.Tensor, sigma: float, after: float, *, second: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the states after Heun's step of the probability flow, and the denoised states.

    Arguments:
        problem: the denoiser.
        x: (batch, channel, ny, nx), the states at the level sigma.
        sigma, after: the level and the next one.
        second: return the second denoising, whose gradient leads through both, instead of the
            first.
    """
    x0_hat = problem.denoise(x, sigma)
    slope = (x - x0_hat) / sigma
    ahead = x + (after - sigma) * slope
    if after == 0:
        return ahead, x0_hat
    with torch.set_grad_enabled(second):
        other = problem.denoise(ahead, after)
    return x + (after - sigma) * (slope + (ahead - other) / after) / 2, other if second else x0_hat
