"""The posterior of unknown numbers of the physics, with the coefficient integrated out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import scipy
import torch

from pdeinv import seeds
from pdeinv.errors import NumericalError
from pdeinv.progress import Progress
from pdeinv.solvers.damping import Pull
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.mode import Mode, ModeSearch

__all__ = ["NumberLaw", "law_of_numbers", "stratified_normal"]

_APART = 1.2  # of the first points, in standard deviations of the linearised problem
_LONGER = 1.5  # next step, relative to the last, where the density has hardly fallen
_HARDLY = 1.0  # fall of its logarithm
_GONE = 3.0  # fall of its logarithm from the highest, where a walk ends
_FARTHEST = 7  # points of a walk on each side
_WIDE = 1.5  # fall of its logarithm from the highest point to the next ones at most
_CLOSER = 9  # rounds of points between those of a walk, at most
_FAR = 20.0  # fall of the logarithm, beyond which points have no part in a law
_NOTHING = 30.0  # fall of the logarithm, beyond which there is no probability
_JACOBIANS = 2  # of a search with numbers that are held
_FINE, _BEYOND = 2001, 4.0  # nodes of a table of the density, and its width past the last points
_DRAWS = 2000  # that stand for a law


@dataclass(frozen=True)
class NumberLaw:
    """The law of z, and the coefficient given z: that of a mode that moves with z.

    Along each of the axes there is a distance t from the centre, with a law of its own.

    Arguments:
        centre: of z, (k,).
        axes: columns, (k, k).
        tables: quantiles of the t, one function of standard normal numbers for each axis.
        mode: given z = centre; derivatives to z are 0.
        ridge: derivatives of the mode's ξ to z, (k, width); those of z itself are 1.
        slope: derivatives of the readings to z, (m, k).
        points: how many z the coefficient was searched for at.
        log_evidence: logarithm of the density of the readings, z and ξ integrated out.
    """

    centre: torch.Tensor
    axes: torch.Tensor
    tables: tuple[Quantiles, ...]
    mode: Mode
    ridge: torch.Tensor
    slope: torch.Tensor
    points: int
    log_evidence: float

    def at(self, normal: torch.Tensor) -> torch.Tensor:
        """Return the z that correspond to rows of standard normal numbers, both (n, k)."""
        t = [table(one) for table, one in zip(self.tables, normal.T, strict=True)]
        return self.centre + torch.stack(t, dim=1) @ self.axes.T

    @property
    def draws(self) -> torch.Tensor:
        """z of equal weights that stand for the law, (n, k)."""
        return self.at(stratified_normal(len(self.centre)))

    @property
    def spread(self) -> torch.Tensor:
        """What z adds to the covariance of ξ given z, as rows (k, width)."""
        return self._root.T @ self.ridge

    @property
    def lower(self) -> torch.Tensor:
        """Cholesky factor of the covariance of the readings given the law of z, (m, m)."""
        lower, added = self.mode.lower, self.slope @ self._root
        gram = lower @ lower.T + added @ added.T
        return cholesky_with_nugget(gram, torch.finfo(gram.dtype).eps * gram.diagonal())

    @cached_property
    def _root(self) -> torch.Tensor:
        """A square root of the covariance of z, (k, k)."""
        covariance = torch.cov(self.draws.T).reshape(len(self.centre), -1)
        variances, vectors = torch.linalg.eigh(covariance)
        return vectors * variances.clamp(min=0).sqrt()


@dataclass(frozen=True)
class Quantiles:
    """A law of one number.

    Arguments:
        places: rising, (n,).
        shares: probability of what is below each, (n,).
    """

    places: torch.Tensor
    shares: torch.Tensor

    def __call__(self, normal: torch.Tensor) -> torch.Tensor:
        """Return the numbers that correspond to standard normal ones, both (k,)."""
        share = torch.special.ndtr(normal)
        right = torch.searchsorted(self.shares, share).clamp(1, len(self.places) - 1)
        below, above = self.shares[right - 1], self.shares[right]
        part = ((share - below) / (above - below).clamp(min=1e-300)).clamp(0, 1)
        return self.places[right - 1] + part * (self.places[right] - self.places[right - 1])


def stratified_normal(k: int) -> torch.Tensor:
    """Return standard normal numbers (n, k), each column a permutation of their quantiles."""
    shares = (torch.arange(_DRAWS, dtype=torch.float64) + 0.5) / _DRAWS
    generator = seeds.generator(seeds.STATISTICS)
    columns = [torch.randperm(_DRAWS, generator=generator) for _ in range(k)]
    return torch.special.ndtri(shares[torch.stack(columns, dim=1)])


def law_of_numbers(search: ModeSearch, mode: Mode) -> tuple[NumberLaw, ModeSearch]:
    """Return the law of the numbers z that are few, and the search that holds them.

    The most probable (ξ, z) is not that of z alone: where readings determine ξ less, as with
    another viscosity, more ξ meet them. At a few z about the mode's the most probable ξ is searched
    for, and with G = J Jᵀ + R, J the derivative to ξ,

        -2 log p(z | y) = |z|² + |ξ|² + |y - F(ξ, z)|² + log det G + constant.

    A walk along each principal axis of the linearised problem ends on both sides where the density
    has fallen, and more points follow where it has fallen far from one to the next. A spline
    through the points is the logarithm of the density along the axis. This is exact where the
    readings are linear.

    Arguments:
        search: that found the mode.
        mode: of ξ and z together.

    Reference:
        Tierney & Kadane, *Accurate approximations for posterior moments and marginal densities*,
        Journal of the American Statistical Association 81, 1986, section 4.
    """
    held, few = search.holding(), search.problem.few
    jacobian = mode.jacobian.clone()
    jacobian[:, few] = 0
    squares = float(mode.xi[:, few].square().sum())
    given = mode._replace(jacobian=jacobian, objective=mode.objective - squares)
    given = held.factored(given, mode.nugget)
    axes = _principal_axes(given.lower, mode.jacobian[:, few])
    centre, points, tables = _point(held, given), 1, list[Quantiles]()
    evidence = 0.0
    for axis in axes.T:
        with Progress(None, "law of a number", search.progress, unit="point", keep=False) as shown:
            places, values = _walk(held, centre, axis, shown)
        law, total = _law(places, values)
        mean = float(law(stratified_normal(1)[:, 0]).mean())
        moved = centre.moved(held, mean * axis)
        points += len(places)
        if math.isfinite(moved.value):
            centre = moved
            law, total = _law([*places, mean], [*values, moved.value])
            law = Quantiles(law.places - mean, law.shares)
        evidence += total - centre.value
        tables.append(law)
    z = centre.mode.xi[0, few]
    evidence += centre.value + float(torch.linalg.slogdet(axes).logabsdet)
    evidence -= (len(given.lower) + len(few)) * math.log(2 * math.pi) / 2
    found = centre.mode, centre.ridge, centre.slope, points, evidence
    return NumberLaw(z, axes, tuple(tables), *found), held


def _principal_axes(lower: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Columns (k, k) of the covariance of z in the linearised problem, (1 + Jᵀ G⁻¹ J)⁻¹.

    Its equal 1 - Jᵀ (G + J Jᵀ)⁻¹ J has no correct digits where readings determine z well.

    Arguments:
        lower: Cholesky factor of the covariance G of the readings given z, (m, m).
        slope: J, derivatives of the readings to z, (m, k).
    """
    half = torch.linalg.solve_triangular(lower, slope, upper=False)
    _, sizes, vectors = torch.linalg.svd(torch.linalg.qr(half, mode="r").R)
    precisions = torch.ones(len(vectors), dtype=half.dtype, device=half.device)
    precisions[: len(sizes)] += sizes.square()
    return vectors.T / precisions.sqrt()


def _walk(
    held: ModeSearch, centre: _Point, axis: torch.Tensor, shown: Progress
) -> tuple[list[float], list[float]]:
    """Places along an axis, and the logarithms of the density there."""
    found = {0.0: centre}
    for sign in (1.0, -1.0):
        point, place, length = centre, 0.0, _APART
        for _ in range(_FARTHEST):
            place += sign * length
            ahead = point.moved(held, sign * length * axis)
            shown.update()
            if not math.isfinite(ahead.value):
                break
            found[place] = ahead
            if ahead.value < max(at.value for at in found.values()) - _GONE:
                break
            length *= _LONGER if abs(ahead.value - point.value) < _HARDLY else 1.0
            point = ahead
    for _ in range(_CLOSER):
        closer = [
            (found[near].moved(held, (place - near) * axis), place)
            for near, place in _places_between({at: point.value for at, point in found.items()})
        ]
        found |= {place: point for point, place in closer if math.isfinite(point.value)}
        shown.update(len(closer))
        if not closer:
            break
    return list(found), [point.value for point in found.values()]


def _places_between(values: dict[float, float]) -> list[tuple[float, float]]:
    """Return the highest place and one half way to a neighbour of it, as pairs, where the fall to
    that neighbour is too large to state how wide the law is.

    The density may fall within a fraction of the standard deviation of the linearised problem, as
    it does where another number would need a ξ that is far from 0.
    """
    known, best = sorted(values), max(values, key=values.__getitem__)
    i = known.index(best)
    neighbours = known[max(0, i - 1) : i] + known[i + 1 : i + 2]
    return [(best, (best + x) / 2) for x in neighbours if values[best] - values[x] > _WIDE]


def _law(places: list[float], values: list[float]) -> tuple[Quantiles, float]:
    """The law whose logarithm of the density is a spline through points, with tails of a standard
    normal number, and the logarithm of the density's integral."""
    order = sorted(range(len(places)), key=places.__getitem__)
    x, y = [places[i] for i in order], [values[i] for i in order]
    near = [i for i, value in enumerate(y) if value > max(y) - _FAR]
    if len(near) >= 3:  # of neighbours beyond these, a spline would follow the fall
        x, y = [x[i] for i in near], [y[i] for i in near]
    spline = scipy.interpolate.CubicSpline(x, y) if len(x) >= 3 else None

    def logarithm(fine: torch.Tensor) -> torch.Tensor:
        if spline is None:
            return values[0] - fine.square() / 2
        inside = fine.clamp(x[0], x[-1])
        beyond, outwards = (fine - inside).abs(), torch.where(fine > x[-1], 1.0, -1.0)
        slope = (outwards * torch.from_numpy(spline(inside.numpy(), 1))).clamp(max=0)
        found = torch.from_numpy(spline(inside.numpy())).clamp(max=max(y) + _HARDLY)
        return found + slope * beyond - beyond.square() / 2

    low, high = x[0] - _BEYOND, x[-1] + _BEYOND
    for _ in range(2):  # the second time where the density is more than nothing
        fine = torch.linspace(low, high, _FINE, dtype=torch.float64)
        found = logarithm(fine)
        some = (found > found.max() - _NOTHING).nonzero()[:, 0]
        low, high = (
            float(fine[max(0, min(_FINE - 1, int(i)))]) for i in (some[0] - 1, some[-1] + 1)
        )
    shares = (found - found.max()).exp().cumsum(dim=0)
    total = float(found.max() + shares[-1].log()) + math.log(float(fine[1] - fine[0]))
    return Quantiles(fine, (shares - shares[0] / 2) / shares[-1]), total


@dataclass(frozen=True)
class _Point:
    """The most probable ξ with z held, and the logarithm of the density of z up to a constant."""

    mode: Mode
    ridge: torch.Tensor
    slope: torch.Tensor
    value: float

    def moved(self, held: ModeSearch, step: torch.Tensor) -> _Point:
        """Return the point with z moved by a step (k,); value -inf where a solve is unstable."""
        xi = self.mode.xi + step @ self.ridge
        values = held.problem.values(xi)
        if not bool(values.isfinite().all()):
            return replace(self, value=-math.inf)
        try:
            jacobian = held.problem.jacobian(xi)
            pull = Pull(held.problem.only_few(xi), held.observation.values)
            mode = held.descend(xi, values, jacobian, self.mode.nugget, _JACOBIANS, pull)
            return _point(held, mode)
        except NumericalError:
            return replace(self, value=-math.inf)


def _point(held: ModeSearch, mode: Mode) -> _Point:
    """The point of a mode whose z was held."""
    problem = held.problem
    forward = problem.forward_at(problem.numbers(mode.xi)[0])
    columns = problem.inner_columns(mode.xi, forward)
    slope = columns[:, problem.few - problem.size]
    ridge = -torch.cholesky_solve(slope, mode.lower).T @ mode.jacobian
    ridge[:, problem.few] = torch.eye(len(problem.few), dtype=torch.float64)
    squares = float(mode.xi[:, problem.few].square().sum())
    value = mode.objective + squares + 2 * float(mode.lower.diagonal().log().sum())
    return _Point(mode, ridge, slope, -value / 2)
