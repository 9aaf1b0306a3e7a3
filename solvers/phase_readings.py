"""Readings of a medium of two phases as a linear function of a Gaussian field that stands in for
it, and their evidence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.indicator import indicator_covariance
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.linear_algebra import of_one_size, unit_vectors
from pdeinv.solvers.phase_values import PhaseValues
from pdeinv.solvers.unstable import check_range
from pdeinv.solvers.whitening import Whitening

__all__ = ["Peak", "PhaseReadings", "linearise_phases"]

_EQUAL = 0.5  # share
_NODES = 32, 1600  # of the stand-in's grid: on the shorter side, and in all
_ERROR = 1e-2  # of a reading by the stand-in, relative to the readings' spread
_HOMOGENEOUS = 17  # media of one value that are tried
_CONTRAST = 4.0  # of the first stand-in
_ROUNDS, _STEPS = 3, 5  # of values and field, and of Gauss-Newton in each
_SHORTEST = 1 / 16  # step
_SETTLED = 0.05  # change of the field, in jumps
_GRID, _STARTS = 9, 2  # numbers of each value that are tried, and how many of them are refined
_EXACT = {"xatol": 1e-4, "fatol": 1e-4}  # to which these are
_FAR = 2.5  # the largest of these, in standard deviations
_DIFFERENCE = 1e-3  # of a second difference


class Peak(NamedTuple):
    """The maximum of a density of numbers.

    Arguments:
        z: where it is, (size,).
        root: of the covariance that the curvature there implies, (size, size).
    """

    z: torch.Tensor
    root: torch.Tensor


@dataclass(frozen=True)
class PhaseReadings(LinearisedReadings):
    """The readings of a Gaussian field t that stands in for a medium of two phases, linearised.

    t is the coefficient, or its logarithm where that is positive: low + (high - low) s, with s the
    indicator of the high phase. The stand-in is Gaussian, with the mean and the covariance of this
    field (`indicator_covariance`). The evidence is that of these two moments, for the most probable
    jump high - low. The mean of t is among the columns.

    Arguments:
        error: of the stand-in's readings, (m,).
        values: of the phases.
        logarithmic: whether t is the logarithm.
        mean: of t, that is part of what is expected.
    """

    error: torch.Tensor = None  # type: ignore[assignment]
    values: PhaseValues = None  # type: ignore[assignment]
    logarithmic: bool = True
    mean: float = 0.0

    def gram_of(self, prior: CoefficientPrior, latent: LatentField) -> torch.Tensor:
        moments = self._moments(prior, latent)
        z = self._most_likely(moments).z
        gram = self.middle(z, moments.share)[1] ** 2 * moments.gram
        gram.diagonal().add_(self.error**2)
        return gram

    def most_likely(self, problem: Problem) -> Peak:
        """Return the most probable numbers of the values, for the other numbers of a problem."""
        return self._most_likely(self._moments(problem.coefficient_prior, problem.latent))

    def middle(self, z: torch.Tensor, share: float) -> tuple[float, float]:
        """Return the mean of t and its jump for numbers of the values (size,)."""
        mean, jump = self._mean_and_jump(z[None], share)
        return float(mean), float(jump)

    @cached_property
    def whitening(self) -> Whitening:
        """The whitening of the readings' noise and the stand-in's error."""
        o = self.observation
        return Whitening((o.noise_std**2 + self.error**2).sqrt(), o.shared)

    @cached_property
    def mean_std(self) -> float:
        """Standard deviation of the mean of t, with both values of equal weight."""
        z = torch.tensor([[-1.0], [1.0]], dtype=torch.float64).expand(2, self.values.size)
        mean, _ = self._mean_and_jump(z, _EQUAL)
        return float(mean.diff()) / 2

    def _mean_and_jump(self, z: torch.Tensor, share: float) -> tuple[torch.Tensor, torch.Tensor]:
        values = self.values.at(z)
        low, high = (values.log() if self.logarithmic else values).unbind(dim=1)
        return (1 - share) * low + share * high, high - low

    def _moments(self, prior: CoefficientPrior, latent: LatentField) -> _Moments:
        rows = self.rows.flatten(1)
        covariance, share = indicator_covariance(prior, latent, self.observation.grid)
        gram = rows @ covariance @ rows.T
        variances, axes = torch.linalg.eigh(self.whitening(self.whitening(gram).T))
        right = torch.stack([self.observation.values - self.expected, rows.sum(dim=1)])
        residual, constant = self.whitening(right) @ axes
        return _Moments(gram, variances.clamp(min=0), residual, constant, share)

    def _most_likely(self, moments: _Moments) -> Peak:
        return _maximum(lambda z: self._log_density(moments, z), self.values.size)

    def _log_density(self, moments: _Moments, z: torch.Tensor) -> torch.Tensor:
        """Logarithm of the density of readings and numbers z (n, size), (n,), up to a constant."""
        mean, jump = self._mean_and_jump(z, moments.share)
        variance = 1 + jump[:, None] ** 2 * moments.variances
        residual = moments.residual - (mean - self.mean)[:, None] * moments.constant
        terms = (residual**2 / variance + variance.log()).sum(dim=1) + z.square().sum(dim=1)
        return torch.where(jump > 0, -terms / 2, -math.inf)


@dataclass(frozen=True)
class _Moments:
    """The covariance (m, m) of readings that the indicator causes, and the readings along axes on
    which it is diagonal, whitened, (m,) each."""

    gram: torch.Tensor
    variances: torch.Tensor
    residual: torch.Tensor
    constant: torch.Tensor
    share: float


def linearise_phases(forward: LatentMap, values: PhaseValues) -> PhaseReadings:
    """Return the readings linearised at the most probable stand-in, for the most probable values.

    Arguments:
        forward: the map to the readings, with the prior.
        values: of its phases.
    """
    grid, problem = _coarse(forward.observation.grid), forward.problem
    forward = forward.observing(forward.observation.on_grid(grid))
    covariance, share = indicator_covariance(problem.coefficient_prior, problem.latent, grid)
    stand_in = _StandIn(forward, values, problem.coefficient_prior.positive)
    t, jump = stand_in.homogeneous()
    mean = float(t.mean())
    for _ in range(_ROUNDS):
        t, readings = stand_in.most_probable(t, covariance, mean, jump)
        mean, jump = readings.middle(readings.most_likely(problem).z, share)
    # The mean is a column, about its most probable value
    columns = torch.cat([readings.columns, readings.mean_std * readings.constant[:, None]], dim=1)
    expected = readings.expected + mean * readings.constant
    return replace(readings, columns=columns, expected=expected, mean=mean)


class _StandIn:
    """The map from a field t on a grid to the readings."""

    def __init__(self, forward: LatentMap, values: PhaseValues, logarithmic: bool):
        self.forward, self.values, self.logarithmic = forward, values, logarithmic
        o = forward.observation
        error = torch.ones_like(o.values)
        for mine in of_one_size(o):
            spread = o.values[mine].std() if int(mine.sum()) > 1 else o.values[mine].abs().max()
            error[mine] = _ERROR * spread if spread > 0 else _ERROR
        nothing = torch.zeros(len(o), *o.grid.shape, dtype=torch.float64)
        none = nothing[:, 0, 0]
        more: dict[str, Any] = {"error": error, "values": values, "logarithmic": logarithmic}
        self.nothing = PhaseReadings(o, nothing, o.shared, none, **more)
        self.whitening = self.nothing.whitening

    def coefficient(self, t: torch.Tensor) -> torch.Tensor:
        return self.forward.pde.restrict(t.exp() if self.logarithmic else t)

    def misfit(self, t: torch.Tensor) -> float:
        """Sum of squares of the whitened residuals; infinite where there is no solution."""
        try:
            a = check_range(self.forward.pde, self.coefficient(t))
            readings = self.forward.approximate(a)
        except NumericalError:
            return math.inf
        left = self.whitening(self.forward.observation.values - readings).square().sum()
        return float(left) if bool(left.isfinite()) else math.inf

    def homogeneous(self) -> tuple[torch.Tensor, float]:
        """Return the constant t that fits best, (1, 1, ny, nx), and a jump to begin with."""
        values = self.values
        ends = [values.at(torch.full((1, values.size), s, dtype=torch.float64)) for s in (-2, 2)]
        low, high = float(ends[0][0, 0]), float(ends[1][0, 1])
        jump = float(values.at(torch.zeros(1, values.size, dtype=torch.float64)).diff())
        if self.logarithmic:
            low, high, jump = math.log(low), math.log(high), math.log(_CONTRAST)
        one = torch.ones(1, 1, *self.forward.grid.shape, dtype=torch.float64)
        tried = [level * one for level in np.linspace(low, high, _HOMOGENEOUS)]
        return min(tried, key=self.misfit), jump

    def at(self, t: torch.Tensor) -> PhaseReadings:
        """Return the readings linearised at t, (1, 1, ny, nx)."""
        forward = self.forward
        with torch.enable_grad():
            leaf = t.detach().requires_grad_()
            a = self.coefficient(leaf)
            (slope,) = torch.autograd.grad(a.sum(), leaf)
        a, m = a.detach(), len(forward.observation)
        unit = unit_vectors(torch.arange(m, device=t.device), m)
        rows = forward.sensitivities(a, unit)[0] * slope[0]
        expected = forward.approximate(a)[0] - rows.flatten(1) @ t.flatten()
        return replace(self.nothing, rows=rows, expected=expected)

    def most_probable(
        self, t: torch.Tensor, covariance: torch.Tensor, mean: float, jump: float
    ) -> tuple[torch.Tensor, PhaseReadings]:
        """Return the most probable t from a start, and the readings linearised there."""
        current, readings = self.misfit(t), self.at(t)
        enough = 3.0 * len(self.forward.observation)
        for _ in range(_STEPS):
            ahead = self._towards(readings, covariance, mean, jump).reshape(t.shape)
            length, found = 1.0, self.misfit(ahead)
            while found > max(current, enough) and length > _SHORTEST:
                length /= 2
                found = self.misfit(t + length * (ahead - t))
            if found > max(current, enough):
                break
            moved = length * float((ahead - t).abs().max())
            t, current = t + length * (ahead - t), found
            readings = self.at(t)
            if moved < _SETTLED * jump:
                break
        return t, readings

    def _towards(
        self, readings: PhaseReadings, covariance: torch.Tensor, mean: float, jump: float
    ) -> torch.Tensor:
        """The most probable t if the readings were linear, (nodes,)."""
        whitening, rows = self.whitening, readings.rows.flatten(1)
        half = jump**2 * (covariance @ rows.T)
        gram = whitening(whitening(rows @ half).T)
        gram.diagonal().add_(1.0)
        left = readings.observation.values - readings.expected - mean * rows.sum(dim=1)
        weights = torch.linalg.solve(gram, whitening(left[None])[0])
        return mean + half @ whitening.adjoint(weights[None])[0]


def _coarse(grid: Grid) -> Grid:
    """Return the grid of the stand-in, at most as fine as that of the result."""
    shorter, most = _NODES
    ratio = max(grid.shape) / min(grid.shape)
    return grid.at_most(min(shorter, max(8, math.floor((most / ratio) ** 0.5))))


def _maximum(log_density: Callable[[torch.Tensor], torch.Tensor], size: int) -> Peak:
    """Return the maximum of the density of so many numbers."""
    from scipy.optimize import minimize  # slow to import

    nothing = torch.zeros(1, 0, dtype=torch.float64)
    if not size:
        return Peak(nothing[0], nothing.T @ nothing)
    line = torch.linspace(-_FAR, _FAR, _GRID, dtype=torch.float64)
    grid = torch.cartesian_prod(*[line] * size).reshape(-1, size)
    order = log_density(grid).argsort(descending=True)

    def objective(z: np.ndarray) -> float:
        value = -float(log_density(torch.from_numpy(z)[None]))
        return value if math.isfinite(value) else 1e12

    tried = [
        minimize(objective, grid[i].numpy(), method="Nelder-Mead", options=_EXACT)
        for i in order[:_STARTS]
    ]
    best = torch.from_numpy(min(tried, key=lambda found: found.fun).x)
    steps = _DIFFERENCE * torch.eye(size, dtype=torch.float64)
    corners = torch.stack([best + s * a + r * b for a in steps for b in steps for s, r in _SIGNS])
    values = log_density(corners).reshape(size, size, 4) @ torch.tensor(_WEIGHTS).double()
    curvature, axes = torch.linalg.eigh(-values / (4 * _DIFFERENCE**2))
    curvature = curvature.clamp(min=1.0)  # that of the numbers' own density
    return Peak(best, axes * curvature.rsqrt())


_SIGNS, _WEIGHTS = ((1, 1), (1, -1), (-1, 1), (-1, -1)), (1.0, -1.0, -1.0, 1.0)
