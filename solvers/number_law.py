"""The posterior of unknown numbers of the physics, with the coefficient integrated out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from pdeinv.errors import NumericalError
from pdeinv.solvers.damping import Pull
from pdeinv.solvers.mode import Mode, ModeSearch

__all__ = ["NumberLaw", "law_of_numbers"]

_APART = 1.2  # of the points from the centre, in standard deviations
_ROUNDS = 3  # of centring
_CENTRED = 0.5  # shift, in standard deviations, beyond which there is another round
_FARTHEST = 2.0  # shift of a round
_WIDTHS = 0.3, 3.0  # standard deviation, relative to that of the problem linearised at the mode
_JACOBIANS = 3  # of a search with numbers that are held


@dataclass(frozen=True)
class NumberLaw:
    """z is normal, and the coefficient given z is that of a mode that moves with z.

    Arguments:
        mean: of z, (k,).
        root: S = root rootᵀ is the covariance of z, (k, k).
        mode: given z = mean; derivatives to z are 0.
        ridge: derivatives of the mode's ξ to z, (k, width); those of z itself are 1.
        slope: derivatives of the readings to z, (m, k).
        points: how many z the coefficient was searched for at.
    """

    mean: torch.Tensor
    root: torch.Tensor
    mode: Mode
    ridge: torch.Tensor
    slope: torch.Tensor
    points: int

    @property
    def spread(self) -> torch.Tensor:
        """What z adds to the covariance of ξ given z, as rows (k, width)."""
        return self.root.T @ self.ridge

    @property
    def variance(self) -> torch.Tensor:
        """Of z, (k,)."""
        return self.root.square().sum(dim=1)


def law_of_numbers(search: ModeSearch, mode: Mode) -> tuple[NumberLaw, ModeSearch]:
    """Return the law of the numbers z that are few, and the search that holds them.

    The most probable (ξ, z) is not that of z alone: where readings determine ξ less, as with
    another viscosity, more ξ meet them. At a few z about the mode's the most probable ξ is searched
    for, and with G = J Jᵀ + R, J the derivative to ξ,

        -2 log p(z | y) = |z|² + |ξ|² + |y - F(ξ, z)|² + log det G + constant.

    The quadratic function through these points along each principal axis is the law's. It is exact
    where the readings are linear.

    Arguments:
        search: that found the mode.
        mode: of ξ and z together.

    Reference:
        Tierney & Kadane, *Accurate approximations for posterior moments and marginal densities*,
        Journal of the American Statistical Association 81, 1986, section 4.
    """
    held, few = search.holding(), search.problem.few
    half = torch.linalg.solve_triangular(mode.lower, mode.jacobian[:, few], upper=False)
    covariance = torch.eye(len(few), dtype=torch.float64) - half.T @ half
    axes = torch.linalg.cholesky(covariance)
    scales = torch.ones(len(few), dtype=torch.float64)
    jacobian = mode.jacobian.clone()
    jacobian[:, few] = 0
    squares = float(mode.xi[:, few].square().sum())
    joint = mode._replace(jacobian=jacobian, objective=mode.objective - squares)
    centre, points = _point(held, held.factored(joint, mode.nugget)), 1
    for _ in range(_ROUNDS):
        shift = torch.zeros_like(scales)
        for j, axis in enumerate(axes.T):
            length = _APART * float(scales[j])
            sides = [centre.moved(held, s * length * axis) for s in (1.0, -1.0)]
            shift[j], scales[j] = _parabola(sides, centre, length)
        moved = centre.moved(held, axes @ shift)
        points += 1 + 2 * len(few)
        centre = moved if math.isfinite(moved.value) else centre
        if bool((shift.abs() <= _CENTRED * scales).all()):
            break
    z = centre.mode.xi[0, few]
    law = NumberLaw(z, axes * scales, centre.mode, centre.ridge, centre.slope, points)
    return law, held


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


def _parabola(sides: list[_Point], centre: _Point, length: float) -> tuple[float, float]:
    """Where the parabola through three points is highest, and its standard deviation, both in units
    of an axis of which the sides are a length from the centre."""
    ahead, behind = (side.value for side in sides)
    if not math.isfinite(ahead + behind):
        return 0.0, 1.0
    slope = (ahead - behind) / (2 * length)
    curve = (ahead + behind - 2 * centre.value) / length**2
    narrow, wide = _WIDTHS
    width = min(max((-curve) ** -0.5, narrow), wide) if curve < 0 else wide
    return min(max(slope * width**2, -_FARTHEST), _FARTHEST), width
