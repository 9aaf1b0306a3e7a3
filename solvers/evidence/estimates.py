"""Estimates of unknown numbers, of weighted points and of the posteriors at some of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from pdeinv.parameters import LEVEL, QUANTILE, Parameters, weighted_quantile

__all__ = ["mixed_parameters", "normal_mixture", "of_points", "plain_ends", "smooth_ends"]

_ENDS = ((1 - LEVEL / 100) / 2, (1 + LEVEL / 100) / 2)
_WIDTH = 0.5  # of what a point stands for, in standard deviations of effectively one point
_STEPS = 80  # of a bisection


def of_points(
    names: Sequence[str],
    units: Sequence[str],
    values: torch.Tensor,
    weights: torch.Tensor,
    samples: torch.Tensor,
    ends: Sequence[torch.Tensor],
) -> Parameters:
    """Return the numbers whose values (n, k) at weighted points (n,) are known.

    Arguments:
        names, units: of the k numbers.
        values, weights: at the points.
        samples: (n_samples, k).
        ends: of the central intervals, (k,) each.
    """
    mean = weights @ values
    std = (weights @ (values - mean).square()).sqrt()
    return Parameters(tuple(names), tuple(units), mean, std, samples, *ends)


def smooth_ends(values: torch.Tensor, weights: torch.Tensor) -> list[float]:
    """Return the ends of the central interval of weighted values, about normal ones.

    Each stands for a normal number about it. The values are drawn together by as much as this
    adds to their spread.

    Arguments:
        values, weights: (n,).

    Reference:
        West, *Approximating posterior distributions by mixtures*, JRSS B 55, 1993.
    """
    mean = weights @ values
    std = (weights @ (values - mean).square()).sqrt()
    width = _WIDTH * float(weights.square().sum()) ** 0.2
    centres = mean + math.sqrt(1 - width**2) * (values - mean)
    spread = width * std.expand(len(values))
    return [_quantile(centres, spread, spread, weights, end) for end in _ENDS]


def plain_ends(values: torch.Tensor, weights: torch.Tensor) -> list[float]:
    """Return the ends of the central interval of weighted values (n,)."""
    return [weighted_quantile(values, weights, end) for end in _ENDS]


def normal_mixture(
    name: str,
    units: str,
    mean: torch.Tensor,
    std: torch.Tensor,
    weights: torch.Tensor,
    samples: torch.Tensor,
    logarithmic: bool = False,
) -> Parameters:
    """Return a number, or its logarithm, that is a mixture of normal ones.

    Arguments:
        name, units: of the number.
        mean, std, weights: of each component, (n,).
        samples: of the number, or of its logarithm, (n_samples,).
        logarithmic: whether its logarithm is the mixture.
    """
    low, high = (_quantile(mean, std, std, weights, end) for end in _ENDS)
    if logarithmic:
        mean, std = (mean + std**2 / 2).exp(), (mean + std**2 / 2).exp() * (std**2).expm1().sqrt()
        low, high, samples = math.exp(low), math.exp(high), samples.exp()
    whole = weights @ mean
    spread = (weights @ (std**2 + (mean - whole) ** 2)).sqrt()
    ends = (torch.tensor([end], dtype=torch.float64, device=mean.device) for end in (low, high))
    return Parameters((name,), (units,), whole[None], spread[None], samples[:, None], *ends)


def mixed_parameters(
    parts: Sequence[Parameters | None], weights: torch.Tensor, samples: torch.Tensor | None
) -> Parameters | None:
    """Return the mixture of numbers that were inferred at several points; None without any.

    Arguments:
        parts: the numbers at each point.
        weights: of the points, (n,).
        samples: of the mixture, (n_samples, k).
    """
    given = [part for part in parts if part is not None]
    if not given or samples is None:
        return None
    mean = torch.stack([part.mean for part in given])
    std = torch.stack([part.std for part in given])
    left, right = (
        (torch.stack([part.interval[i] for part in given]) - mean).abs() / QUANTILE for i in (0, 1)
    )
    whole = weights @ mean
    spread = (weights @ (std**2 + (mean - whole) ** 2)).sqrt()
    low, high = (
        torch.tensor(
            [
                _quantile(mean[:, j], left[:, j], right[:, j], weights, end)
                for j in range(len(whole))
            ],
            dtype=torch.float64,
            device=weights.device,
        )
        for end in _ENDS
    )
    return Parameters(given[0].names, given[0].units, whole, spread, samples, low, high)


def _quantile(
    mean: torch.Tensor,
    left: torch.Tensor,
    right: torch.Tensor,
    weights: torch.Tensor,
    level: float,
) -> float:
    """The quantile of a mixture of numbers that are normal on either side of their means."""
    wide = torch.maximum(left, right).clamp(min=1e-300)
    low, high = float((mean - 9 * wide).min()), float((mean + 9 * wide).max())
    for _ in range(_STEPS):
        middle = (low + high) / 2
        side = torch.where(middle < mean, left, right).clamp(min=1e-300)
        below = float(weights @ torch.special.ndtr((middle - mean) / side))
        low, high = (middle, high) if below < level else (low, middle)
    return (low + high) / 2
