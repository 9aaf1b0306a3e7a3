"""Weighted points of the posterior of unknown numbers, by importance sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pdeinv.solvers.evidence.lattice import lattice
from pdeinv.solvers.evidence.log_posterior import LogPosterior
from pdeinv.solvers.evidence.search import Mode

__all__ = ["WeightedPoints", "weighted_points"]

_FREEDOM = 5.0  # of the proposals' Student distribution
_POINTS = 48  # of one round
_ROUNDS = 3  # at most
_ENOUGH = 20.0  # effective points, with which no further round is made
_INFLATED = 1.2  # of the standard deviations of a fitted proposal
_PRIOR = 0.05  # share of the prior in the proposal


@dataclass(frozen=True)
class WeightedPoints:
    """Points that stand for the posterior of the numbers.

    Arguments:
        z: the numbers, (n, k).
        weights: of the points, (n,), with the sum 1.
        log_evidence: logarithm of the integral of the density over the numbers.
    """

    z: torch.Tensor
    weights: torch.Tensor
    log_evidence: float

    @property
    def effective(self) -> float:
        """Effective number of points."""
        return 1 / float(self.weights.square().sum())


@dataclass(frozen=True)
class _Proposal:
    """A mixture of Student distributions and of the prior."""

    centres: list[torch.Tensor]
    roots: list[torch.Tensor]
    shares: list[float]

    def draw(self, n: int, generator: torch.Generator | None) -> torch.Tensor:
        """Return n points (n, k), spread evenly."""
        k = len(self.centres[0])
        shift = torch.rand(k + 2, dtype=torch.float64, generator=generator)
        points = lattice(n, k + 2, shift)
        white = torch.special.ndtri(points[:, :k])
        from scipy.special import gammaincinv  # slow to import

        squares = 2 * torch.from_numpy(gammaincinv(_FREEDOM / 2, points[:, k].numpy()))
        student = white * (_FREEDOM / squares).sqrt()[:, None]
        heights = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)
        which = torch.bucketize(points[:, k + 1].contiguous(), heights)
        drawn = white.clone()
        for j, (centre, root) in enumerate(zip(self.centres, self.roots, strict=True)):
            drawn[which == j] = centre + student[which == j] @ root.T
        return drawn

    def log_density(self, z: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the density at points (n, k), (n,)."""
        k = z.shape[1]
        usual = -(z.square().sum(dim=1) + k * math.log(2 * math.pi)) / 2
        terms = [usual + math.log(max(1 - sum(self.shares), 1e-300))]
        for centre, root, share in zip(self.centres, self.roots, self.shares, strict=True):
            white = torch.linalg.solve_triangular(root, (z - centre).T, upper=False)
            squares = white.square().sum(dim=0)
            scale = math.lgamma((_FREEDOM + k) / 2) - math.lgamma(_FREEDOM / 2)
            scale -= k / 2 * math.log(_FREEDOM * math.pi) + float(root.diagonal().log().sum())
            tail = -(_FREEDOM + k) / 2 * torch.log1p(squares / _FREEDOM)
            terms.append(scale + tail + math.log(share))
        return torch.stack(terms).logsumexp(dim=0)


def weighted_points(
    density: LogPosterior, modes: list[Mode], generator: torch.Generator | None
) -> WeightedPoints:
    """Return weighted points of a posterior density.

    They are drawn from Student distributions about its maxima, and again from one that is fitted to
    the weighted points where few of these count. Weights are those of all rounds together.

    Arguments:
        density: of the numbers.
        modes: its maxima.
        generator: of random numbers.

    Reference:
        Owen & Zhou, *Safe and effective importance sampling*, JASA 95, 2000.
    """
    proposals = [_about(modes)]
    z = torch.zeros(0, len(density.numbers), dtype=torch.float64)
    values = torch.zeros(0, dtype=torch.float64)
    for round_ in range(_ROUNDS):
        drawn = proposals[-1].draw(_POINTS, generator)
        z = torch.cat([z, drawn])
        values = torch.cat([values, torch.tensor([density(one) for one in drawn]).double()])
        together = torch.stack([p.log_density(z) for p in proposals]).logsumexp(dim=0)
        logarithms = values - together + math.log(len(proposals))
        log_evidence = float(logarithms.logsumexp(dim=0)) - math.log(len(z))
        found = WeightedPoints(z, torch.softmax(logarithms, dim=0), log_evidence)
        if found.effective >= _ENOUGH or round_ == _ROUNDS - 1:
            break
        proposals.append(_fitted(found, modes))
    kept = found.weights > 0
    return WeightedPoints(z[kept], found.weights[kept], log_evidence)


def _about(modes: list[Mode]) -> _Proposal:
    """The proposal of the maxima, each with the mass of a normal distribution about it."""
    mass = torch.tensor(
        [mode.value + float(torch.linalg.slogdet(mode.covariance)[1]) / 2 for mode in modes]
    ).double()
    shares = ((1 - _PRIOR) * torch.softmax(mass, dim=0)).tolist()
    roots = [torch.linalg.cholesky(mode.covariance) for mode in modes]
    return _Proposal([mode.z for mode in modes], roots, shares)


def _fitted(points: WeightedPoints, modes: list[Mode]) -> _Proposal:
    """A proposal of the mean and the covariance of weighted points, as far as enough of them count,
    else of the covariance about the best maximum."""
    mean = points.weights @ points.z
    off = points.z - mean
    covariance = (off * points.weights[:, None]).T @ off
    share = points.effective / (points.effective + 2 * len(mean))
    covariance = share * covariance + (1 - share) * modes[0].covariance
    root = _INFLATED * torch.linalg.cholesky(covariance)
    return _Proposal([mean], [root], [1 - _PRIOR])
