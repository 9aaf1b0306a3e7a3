"""Weighted points of the posterior of unknown numbers, by importance sampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pdeinv.progress import progress_bar
from pdeinv.solvers.evidence.lattice import lattice
from pdeinv.solvers.evidence.log_posterior import Evaluated, LogPosterior
from pdeinv.solvers.evidence.search import Mode

__all__ = ["WeightedPoints", "weighted_points"]

_FREEDOM = 5.0  # of the proposals' Student distribution
_SHAPES, _EACH = 64, 4  # shapes of one round, and points of each
_ROUNDS = 3  # at most
_ENOUGH = 24.0  # effective shapes, with which no further round is made
_INFLATED = 1.2  # of the standard deviations of a fitted proposal
_PRIOR = 0.05  # share of the prior in the proposal


@dataclass(frozen=True)
class WeightedPoints:
    """Points that stand for the posterior of the numbers.

    Arguments:
        z: the numbers, (n, k).
        weights: of the points, (n,), with the sum 1.
        log_evidence: logarithm of the integral of the density over the numbers.
        constants: means and standard deviations of the constant, as of `Evaluated`, (n, 2).
        shapes: a number for each shape of the field, (n,).
    """

    z: torch.Tensor
    weights: torch.Tensor
    log_evidence: float
    constants: torch.Tensor
    shapes: torch.Tensor

    @property
    def effective(self) -> float:
        """Effective number of shapes."""
        total = torch.zeros(int(self.shapes.max()) + 1, dtype=torch.float64)
        return 1 / float(total.index_add(0, self.shapes, self.weights).square().sum())


@dataclass(frozen=True)
class _Proposal:
    """A mixture of Student distributions and of the prior.

    Arguments:
        centres, roots, shares: of the Student distributions; the first numbers of each are those of
            the shape.
        order: of the numbers, those of the shape first.
        shape: how many these are.
    """

    centres: list[torch.Tensor]
    roots: list[torch.Tensor]
    shares: list[float]
    order: list[int]
    shape: int

    @classmethod
    def about(
        cls,
        density: LogPosterior,
        centres: list[torch.Tensor],
        covariances: list[torch.Tensor],
        shares: list[float],
    ) -> _Proposal:
        """Return the proposal of means and covariances."""
        shape = density.shape_indices
        order = shape + [i for i in range(len(density.numbers)) if i not in shape]
        roots = [torch.linalg.cholesky(c[order][:, order]) for c in covariances]
        return cls([c[order] for c in centres], roots, shares, order, len(shape))

    def draw(self, n: int, each: int, generator: torch.Generator | None) -> torch.Tensor:
        """Return `each` points for each of n shapes, (n each, k), spread evenly."""
        from scipy.special import gammaincinv  # slow to import

        k, shape = len(self.order), self.shape
        sides = (shape + 2, k - shape)
        shifts = [torch.rand(d, dtype=torch.float64, generator=generator) for d in sides]
        points = lattice(n, sides[0], shifts[0]).repeat_interleave(each, dim=0)
        others = lattice(n * each, sides[1], shifts[1])
        white = torch.special.ndtri(torch.cat([points[:, :shape], others], dim=1))
        squares = 2 * torch.from_numpy(gammaincinv(_FREEDOM / 2, points[:, shape].numpy()))
        student = white * (_FREEDOM / squares).sqrt()[:, None]
        heights = torch.tensor(self.shares, dtype=torch.float64).cumsum(0)
        which = torch.bucketize(points[:, shape + 1].contiguous(), heights)
        drawn = white.clone()
        for j, (centre, root) in enumerate(zip(self.centres, self.roots, strict=True)):
            drawn[which == j] = centre + student[which == j] @ root.T
        z = torch.empty_like(drawn)
        z[:, self.order] = drawn
        return z

    def log_density(self, z: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the density at points (n, k), (n,)."""
        k, z = z.shape[1], z[:, self.order]
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
    density: LogPosterior,
    modes: list[Mode],
    generator: torch.Generator | None,
    progress: bool = False,
) -> WeightedPoints:
    """Return weighted points of a posterior density.

    They are drawn from Student distributions about its maxima, and again from one that is fitted to
    the weighted points where few of these count. Weights are those of all rounds together. Several
    points have one shape, since others of it cost little.

    Arguments:
        density: of the numbers.
        modes: its maxima.
        generator: of random numbers.
        progress: show a bar.

    Reference:
        Owen & Zhou, *Safe and effective importance sampling*, JASA 95, 2000.
    """
    k, shape = len(density.numbers), density.shape_indices
    if not k:
        return _only(density)
    each = _EACH if len(shape) < k else 1
    proposals = [_about(density, modes)]
    z, found = torch.zeros(0, k, dtype=torch.float64), list[Evaluated]()
    for round_ in range(_ROUNDS):
        drawn = proposals[-1].draw(_SHAPES, each, generator)
        z = torch.cat([z, drawn])
        shown = progress_bar(drawn, "evidence of the unknown numbers", progress, "point")
        found += [density.evaluated(one) for one in shown]
        values = torch.tensor([one.value for one in found], dtype=torch.float64)
        together = torch.stack([p.log_density(z) for p in proposals]).logsumexp(dim=0)
        logarithms = values - together + math.log(len(proposals))
        points = WeightedPoints(
            z,
            torch.softmax(logarithms, dim=0),
            float(logarithms.logsumexp(dim=0)) - math.log(len(z)),
            torch.tensor([one.constant for one in found], dtype=torch.float64),
            torch.arange(len(z)) // (each if shape else 1),
        )
        if points.effective >= _ENOUGH or round_ == _ROUNDS - 1:
            break
        proposals.append(_fitted(density, points, modes))
    return points


def _only(density: LogPosterior) -> WeightedPoints:
    """The point where no numbers are unknown but a constant."""
    z = torch.zeros(1, 0, dtype=torch.float64)
    found = density.evaluated(z[0])
    one = torch.ones(1, dtype=torch.float64)
    constants = torch.tensor([found.constant], dtype=torch.float64)
    return WeightedPoints(z, one, found.value, constants, torch.zeros(1, dtype=torch.long))


def _about(density: LogPosterior, modes: list[Mode]) -> _Proposal:
    """The proposal of the maxima, each with the mass of a normal distribution about it."""
    mass = torch.tensor(
        [mode.value + float(torch.linalg.slogdet(mode.covariance)[1]) / 2 for mode in modes]
    ).double()
    shares = ((1 - _PRIOR) * torch.softmax(mass, dim=0)).tolist()
    centres, covariances = [mode.z for mode in modes], [mode.covariance for mode in modes]
    return _Proposal.about(density, centres, covariances, shares)


def _fitted(density: LogPosterior, points: WeightedPoints, modes: list[Mode]) -> _Proposal:
    """A proposal of the mean and the covariance of weighted points, as far as enough of them count,
    else of the covariance about the best maximum."""
    mean = points.weights @ points.z
    off = points.z - mean
    covariance = (off * points.weights[:, None]).T @ off
    share = points.effective / (points.effective + 2 * len(mean))
    covariance = share * covariance + (1 - share) * modes[0].covariance
    return _Proposal.about(density, [mean], [_INFLATED**2 * covariance], [1 - _PRIOR])
