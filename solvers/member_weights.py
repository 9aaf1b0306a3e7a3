"""Weights of the members of a randomised maximum likelihood ensemble, whose law is not quite the
posterior, and samples of equal weight of them."""

from __future__ import annotations

import torch

from pdeinv.solvers.mode import Mode, ModeSearch

__all__ = ["choose", "effective", "member_weights"]

_LEAST = 0.25  # share of the members that is effective at least
_HALVINGS = 40  # of the interval that holds a power


def member_weights(
    search: ModeSearch, mode: Mode, xi: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Return the weights with which members stand for the posterior, of sum 1, (members,).

    The law of the members is the posterior over the evidence of the readings linearised at ξ, up to
    the curvature of F. With G = J Jᵀ + R and r = y - F(ξ) + J ξ, the weights are in proportion to

        |G|^(-1/2) exp(-rᵀ G⁻¹ r / 2).

    They cost a Jacobian for each member. Where few members had most of the weight, all are brought
    to a power below 1, which leaves a quarter of the members effective. A member without a
    derivative has no weight.

    Arguments:
        search: that found the members.
        mode: with the nugget of G.
        xi: the members, (members, size).
        values: their readings, (members, m).

    Reference:
        Ba, de Wiljes, Oliver & Reich, *Randomized maximum likelihood based posterior sampling*,
        arXiv 2101.03612.
    """
    logarithms = [_log_weight(search, mode, *one) for one in zip(xi, values, strict=True)]
    return _tempered(torch.tensor(logarithms, dtype=torch.float64, device=xi.device))


def _log_weight(search: ModeSearch, mode: Mode, xi: torch.Tensor, values: torch.Tensor) -> float:
    jacobian = search.problem.finite_jacobian(xi[None])
    if jacobian is None:
        return -torch.inf
    lower = search.factored(mode._replace(jacobian=jacobian), mode.nugget).lower
    left = search.observation.values - values + jacobian @ xi
    white = torch.linalg.solve_triangular(lower, left[:, None], upper=False)
    return -float(lower.diagonal().log().sum() + white.square().sum() / 2)


def effective(weights: torch.Tensor) -> float:
    """Return how many members of equal weight state a mean as precisely."""
    return 1 / float(weights.square().sum())


def _tempered(logarithms: torch.Tensor) -> torch.Tensor:
    """Weights of logarithms, to the largest power up to 1 that leaves enough members effective."""
    least = _LEAST * len(logarithms)

    def of(power: float) -> torch.Tensor:
        return torch.where(logarithms.isinf(), -torch.inf, power * logarithms).softmax(dim=0)

    if effective(of(1.0)) >= least:
        return of(1.0)
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if effective(of(middle)) >= least else (low, middle)
    return of(low)


def choose(weights: torch.Tensor, n: int, generator: torch.Generator | None) -> torch.Tensor:
    """Return n different members of equal weight, their indices in a random order.

    The probability of a member to be among them is in proportion to its weight, but at most 1. It
    is drawn by systematic sampling. So the more members there are for each that is chosen, the
    nearer the law of these is to that of the weights.

    Arguments:
        weights: (members,).
        n: at most the number of members with a weight.
        generator: source of all randomness.
    """
    order = torch.randperm(len(weights), generator=generator)
    included = _inclusion(weights, n).cpu()[order]
    first = torch.rand(1, generator=generator, dtype=torch.float64)
    ends = included.cumsum(dim=0) - first
    # How many of the points first, first + 1, ... lie below the end of each member's interval
    below = ends.ceil().clamp(min=0).long()
    below[-1] = n  # whatever the rounding of the sum
    drawn = below.diff(prepend=below.new_zeros(1)) > 0
    return order[drawn][torch.randperm(int(drawn.sum()), generator=generator)]


def _inclusion(weights: torch.Tensor, n: int) -> torch.Tensor:
    """Probabilities of sum n, in proportion to weights where these are below 1."""
    certain = torch.zeros(len(weights), dtype=torch.bool, device=weights.device)
    while True:
        left = n - int(certain.sum())
        found = torch.where(
            certain, 1.0, left * weights / weights[~certain].sum().clamp(min=1e-300)
        )
        beyond = (found > 1) & ~certain
        if not bool(beyond.any()):
            return found
        certain |= beyond
