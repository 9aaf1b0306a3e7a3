"""The weights of linear readings whose noise is a Student-t number."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.observation import Observation
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.linear_algebra import of_one_size

__all__ = [
    "DEGREES",
    "REJECTED",
    "StudentReadings",
    "evidence_of",
    "spreads",
    "student_density",
    "student_predictions",
    "weights_of",
]

DEGREES = 4.0
"""Degrees of freedom ν of the noise."""
REJECTED = 0.002
"""Weight of a reading that is left out at a start of the search."""
_LOG_PRECISIONS, _PRECISIONS = (-30.0, 4.0), 400  # of the noise, over which a density is summed
_EQUAL, _ITERATIONS = 1e-3, 200  # change of a weight that ends the updates, and their number
_GAIN, _JUMPS, _PASSES = 0.1, 4, 10  # least gain of a jump, jumps for each reading, and passes
_DOUBT = 4.0  # of the bound, by which keeping a reading must be the better
_LOG_LEAST, _LOG_MOST, _TRIED = -6.0, 0.1, 96  # decimal logarithms of the weights that are tried


def weights_of(squares: torch.Tensor) -> torch.Tensor:
    """Return the weights (m,) for E[e²] / s² (m,)."""
    return (DEGREES + 1) / (DEGREES + squares)


def evidence_of(weight: torch.Tensor) -> float:
    """Return what weights (m,) add to the log evidence of Gaussian noise of the variances s² / w:
    the sum is the variational bound of that of Student-t noise, which is exact without a field."""
    half = DEGREES / 2
    constant = (
        math.lgamma(half + 0.5)
        - math.lgamma(half)
        + (1 - math.log(half)) / 2
        + half
        - (half + 0.5) * math.log1p(1 / DEGREES)
    )
    return float((half * (weight.log() - weight) + constant).sum())


def spreads(observation: Observation) -> torch.Tensor:
    """Return how many times the noise of a reading the readings of its field spread, at least 1;
    (m,), the same for all of a field."""
    spread = torch.ones_like(observation.noise_std)
    for mine in of_one_size(observation):
        values, std = observation.values[mine], observation.noise_std[mine]
        times = (values - values.median()) / std
        spread[mine] = max(1.0, float(times.square().mean().sqrt()))
    return spread


def student_density(
    missed: torch.Tensor, variance: torch.Tensor, size: torch.Tensor
) -> torch.Tensor:
    """Return the logarithms of the densities (m,) of the sums of a Gaussian and s t.

    Arguments:
        missed: where: the reading less its mean, (m,).
        variance: of the Gaussian number, (m,).
        size: s, (m,).
    """
    logarithm = torch.linspace(
        *_LOG_PRECISIONS, _PRECISIONS, dtype=torch.float64, device=missed.device
    )[:, None]
    half, precision = DEGREES / 2, logarithm.exp()
    law = half * (math.log(half) + logarithm - precision) - math.lgamma(half)
    total = variance + size.square() / precision
    gaussian = -(missed.square() / total + total.log() + math.log(2 * math.pi)) / 2
    return (law + gaussian).logsumexp(dim=0) + math.log(float(logarithm[1] - logarithm[0]))


def student_predictions(found: LeaveOneOut, size: torch.Tensor, used: torch.Tensor) -> LeaveOneOut:
    """Return predictions of readings with the noise of the reading that is predicted as it is
    stated: Gaussian for the p-values, as without weights, and Student-t for the densities.

    Arguments:
        found: with Gaussian noise.
        size: s, (m,).
        used: standard deviations of that Gaussian noise, (m,).
    """
    variance = (found.std.square() - used.square()).clamp(min=0)
    std = (variance + size.square()).sqrt()
    given = LeaveOneOut.gaussian(found.values, found.mean, std, found.floor, found.exact)
    return replace(given, log_density=student_density(found.values - found.mean, variance, size))


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

    def fitted(self, weight: torch.Tensor, mine: torch.Tensor) -> float:
        """Return the factor of the size of some readings (m,) towards the one of the largest
        evidence, given the weights (m,).

        With V = diag(s² / w), the derivative of the evidence to log s is Σ V (K r)² - Σ V K, of
        which the first sum grows with s².

        Reference:
            MacKay, *Bayesian interpolation*, Neural Computation 4, 1992.
        """
        variance, (inverse, residual, _) = self.size.square() / weight, self._factored(weight)
        missed = float((variance * residual.square())[mine].sum())
        freedom = float((variance * inverse.diagonal())[mine].sum())
        return math.sqrt(missed / freedom) if missed > 0 and freedom > 0 else 1.0

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
        tried = torch.logspace(
            _LOG_LEAST, _LOG_MOST, _TRIED, dtype=torch.float64, device=weight.device
        )[:, None]
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
