"""The weights of linear readings whose noise is a Student-t number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from pdeinv.solvers.evidence.linearised import LinearisedReadings

__all__ = ["DEGREES", "REJECTED", "StudentReadings", "bound_of_weights", "weights_of"]

DEGREES = 4.0
"""Degrees of freedom ν of the noise."""
REJECTED = 0.002
"""Weight of a reading that is left out at a start of the search."""
_EQUAL, _ITERATIONS = 1e-3, 200  # change of a weight that ends the updates, and their number
_GAIN, _JUMPS, _PASSES = 0.1, 4, 10  # least gain of a jump, jumps for each reading, and passes
_DOUBT = 4.0  # of the bound, by which keeping a reading must be the better
_LOG_LEAST, _LOG_MOST, _TRIED = -6.0, 0.1, 96  # decimal logarithms of the weights that are tried


def weights_of(squares: torch.Tensor) -> torch.Tensor:
    """Return the weights (m,) for E[e²] / s² (m,)."""
    return (DEGREES + 1) / (DEGREES + squares)


def bound_of_weights(weights: torch.Tensor) -> float:
    """Return what the variational bound of log p(y) has more than the logarithm of the Gaussian
    density of readings with the weights (m,).

    Reference:
        Tipping & Lawrence, *Variational inference for Student-t models*, Neurocomputing 69, 2005.
    """
    half, shape = DEGREES / 2, (DEGREES + 1) / 2
    constant = half * math.log(half) - math.lgamma(half)
    constant += shape * (1 - math.log(shape)) + math.lgamma(shape)
    return float((half * (weights.log() - weights) + constant).sum())


class _Factored(NamedTuple):
    """K = G⁻¹, (m, m); K r, (m,); and log N(r; 0, G)."""

    inverse: torch.Tensor
    residual: torch.Tensor
    log_density: float


@dataclass(frozen=True)
class StudentReadings:
    """Linear readings y = e + J f + B b + s t with Student-t numbers t, and their weights w.

    With G(w) = J C Jᵀ + B Bᵀ + diag(s² / w), the variational bound of log p(y) is

        L(w) = log N(y; e, G(w)) + ν/2 Σ (log w - w) + constant.

    It has several maxima, of which each rejects other readings. `search` climbs from several
    starts, by jumps of single weights to the best value that there is (which leave a maximum where
    an outlier and its neighbours share the blame), and by the updates w = (ν + 1) / (ν + E[e²] /
    s²) of all weights at once. Where keeping a reading and leaving it out are about as likely, it
    is left out: that costs little, and an outlier that is kept much.

    Arguments:
        readings: linearised; the noise of their observation is not used.
        gram: J C Jᵀ, (m, m).
        size: s, (m,).
    """

    readings: LinearisedReadings
    gram: torch.Tensor
    size: torch.Tensor

    def search(self, starts: Iterable[torch.Tensor]) -> torch.Tensor:
        """Return the weights (m,) with the largest bound that is found from any of the starts; of
        bounds that hardly differ, the smallest weights."""
        found = [(self.bound(w), w) for w in map(self._climbed, starts)]
        largest = max(bound for bound, _ in found)
        near = [w for bound, w in found if bound > largest - _DOUBT]
        return min(near, key=lambda w: float(w.sum()))

    def bound(self, weight: torch.Tensor) -> float:
        """Return L (m,) less its constant."""
        density = self._factored(weight).log_density
        return density + DEGREES / 2 * float((weight.log() - weight).sum())

    def squares(self, weight: torch.Tensor) -> torch.Tensor:
        """Return E[e²] given the readings, (m,), of their own noise e: with V = diag(s² / w), e has
        the mean V K r and the covariance V - V K V."""
        variance, (inverse, residual, _) = self.size.square() / weight, self._factored(weight)
        left = variance * (1 - variance * inverse.diagonal()).clamp(min=0)
        return (variance * residual).square() + left

    def _climbed(self, weight: torch.Tensor) -> torch.Tensor:
        for _ in range(_PASSES):
            weight, jumped = self._jump(weight)
            weight = self._update(weight)
            if not jumped:
                break
        return weight

    def _update(self, weight: torch.Tensor) -> torch.Tensor:
        for _ in range(_ITERATIONS):
            before = weight
            weight = weights_of(self.squares(weight) / self.size.square())
            if float((weight - before).abs().max()) <= _EQUAL:
                break
        return weight

    def _jump(self, weight: torch.Tensor) -> tuple[torch.Tensor, bool]:
        """Weights after jumps, the one that gains most first, and whether there were any."""
        weight, (inverse, residual, _) = weight.clone(), self._factored(weight)
        variance = self.size.square()
        tried = torch.logspace(_LOG_LEAST, _LOG_MOST, _TRIED, dtype=torch.float64)[:, None]
        jumps = 0
        while jumps < _JUMPS * len(weight):
            # Each reading predicted from the others, without its own noise
            diagonal = inverse.diagonal()
            apart = (1 / diagonal - variance / weight).clamp(min=0)
            missed = residual / diagonal
            best = _of_one(tried, apart, missed, variance).max(dim=0)
            new = tried[best.indices, 0]
            gain = best.values - _of_one(weight, apart, missed, variance)
            gain -= torch.where(new > weight, _DOUBT, 0.0)
            i = int(gain.argmax())
            if float(gain[i]) < _GAIN:
                break
            added = variance[i] / new[i] - variance[i] / weight[i]
            column = inverse[:, i].clone()
            share = added / (1 + added * column[i])
            residual = residual - share * residual[i] * column
            inverse = inverse - share * torch.outer(column, column)
            weight[i] = new[i]
            jumps += 1
        return weight, jumps > 0

    def _factored(self, weight: torch.Tensor) -> _Factored:
        found = self.readings.gaussian(self.gram, self.size / weight.sqrt())
        inverse = torch.cholesky_inverse(found.lower)
        missed = self.readings.observation.values - self.readings.expected
        return _Factored(inverse, inverse @ missed, found.log_evidence)


def _of_one(
    weight: torch.Tensor, apart: torch.Tensor, missed: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    """What L has of the weights (..., m) of single readings, with the others as they are.

    Arguments:
        weight: of each.
        apart: variance of the reading without its noise, given the others, (m,).
        missed: the reading less its mean given the others, (m,).
        variance: s², (m,).
    """
    total = apart + variance / weight
    gaussian = total.log() + missed.square() / total
    return (DEGREES * (weight.log() - weight) - gaussian) / 2
