"""What pulls a trajectory: losses of the denoised state, and how they combine into one direction.

A guidance term is any callable `(x_t, sigma, x0_hat) -> loss (batch,)`, or None where it has
nothing to say; states are (batch, channel, n, n) in physical units. A term with an attribute
`share` is weighed against the data: its step is given that share of the length of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from pdeinv.observation import Observation

__all__ = [
    "Misfit",
    "Term",
    "combine_steps",
    "norm",
    "polyak",
    "term_gradients",
    "value_and_gradient",
]

Term = Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor | None]
Measure = Literal["norm", "mean-square", "root-mean-square"]


@dataclass(frozen=True)
class Misfit:
    """Σ_c weight_c · measure_c of (y - H x)_c / scale_c over the sensors of the fields c.

    The published formulas know exact readings alone. Here a residual is multiplied by (1 + (s /
    b)²)^-½ as well, with s the reading's noise and b the blur: among a field's readings the poor
    ones count less, the exact ones as published.

    Arguments:
        observation: of the state (coefficient, solution).
        weights, measures: of the two fields.
        scale: (2,), what residuals are divided by.
        blur: (2,), the noise that halves the weight of a squared residual.
    """

    observation: Observation
    weights: tuple[float, float]
    measures: tuple[Measure, Measure]
    scale: torch.Tensor
    blur: torch.Tensor

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """The loss (batch,) of states (batch, 2, n, n)."""
        o = self.observation
        trust = (1 + (o.noise_std / self.blur[o.channel]) ** 2).rsqrt()
        residual = (o.values - o(state)) * (trust / self.scale[o.channel])
        total = 0 * residual.sum(dim=1)
        for c, (weight, measure) in enumerate(zip(self.weights, self.measures, strict=True)):
            mine = residual[:, o.channel == c]
            if weight and mine.shape[1]:
                size = mine.square().mean(dim=1) if measure == "mean-square" else norm(mine)
                total = total + weight * (
                    size / mine.shape[1] ** 0.5 if measure == "root-mean-square" else size
                )
        return total


def norm(fields: torch.Tensor) -> torch.Tensor:
    """Euclidean norm of each member of a batch, differentiable at 0."""
    return (fields.flatten(1).square().sum(dim=1) + 1e-30).sqrt()


def value_and_gradient(loss: Callable[[torch.Tensor], torch.Tensor], state: torch.Tensor):
    """A loss (batch,) of states, and its gradient with respect to them."""
    leaf = state.detach().requires_grad_()
    with torch.enable_grad():
        value = loss(leaf)
        return value.detach(), torch.autograd.grad(value.sum(), leaf)[0]


def term_gradients(
    terms: Sequence[Term], x_t: torch.Tensor, sigma: float, x0_hat: torch.Tensor
) -> list[tuple]:
    """(loss, gradient with respect to x0_hat, share or None) of each term that has something to
    say."""
    found = []
    for term in terms:
        leaf = x0_hat.detach().requires_grad_()
        with torch.enable_grad():
            loss = term(x_t, sigma, leaf)
            if loss is not None:
                gradient = torch.autograd.grad(loss.sum(), leaf)[0]
                found.append((loss.detach(), gradient, getattr(term, "share", None)))
    return found


def polyak(value: torch.Tensor, slope: torch.Tensor, push: torch.Tensor) -> torch.Tensor:
    """How many term_gradients lead to the zero of a loss, (batch,), if it falls as steeply all the
    way (Polyak's step length)."""
    return value / (slope * push).sum(dim=(1, 2, 3)).clamp(min=1e-300)


def combine_steps(main: torch.Tensor, others: Sequence[tuple], scale: torch.Tensor) -> torch.Tensor:
    """The sum of the data's push and others, those with a share weighed against it; scale (channel,
    1, 1) is the unit.

    Arguments:
        main: a step (batch, channel, n, n) of the state.
        others: steps with their share, or None, and how many times its own length a step with a
            share may have, (batch,), or None.

    All are steps as they would be taken: a gradient at a few sensors and one of the whole field may
    have the same norm, and yet move the state by lengths that differ a hundredfold once the noise's
    covariance has smoothed them.
    """
    total = main
    for push, share, most in others:
        if share is not None:
            sizes = [(g / scale).flatten(1).norm(dim=1) for g in (main, push)]
            weight = torch.where(
                sizes[1] > 0, share * sizes[0] / torch.where(sizes[1] > 0, sizes[1], 1.0), 0.0
            )
            weight = weight if most is None else torch.minimum(weight, most)
            push = push * weight[:, None, None, None]
        total = total + push
    return total
