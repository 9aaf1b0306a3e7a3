"""A Gaussian model of readings, whose numbers are changed one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.linear_algebra import cholesky_with_nugget, nugget_variance

__all__ = ["Model", "Tried", "best_factor", "lasting"]

_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Model:
    """The plain readings y, normal about `expected` with the covariance gram + B Bᵀ + R.

    Arguments:
        problem: the physics and the prior.
        readings: linearised, of plain readings.
        gram: of the latent field, (m, m).
        observation: y and R.
        expected: (m,).
    """

    problem: Problem
    readings: LinearisedReadings
    gram: torch.Tensor
    observation: Observation
    expected: torch.Tensor

    @classmethod
    def of(cls, problem: Problem, found: LinearisedReadings) -> Model:
        """Return the model of readings that were linearised with a problem."""
        gram = found.gram(problem.latent)
        return cls(problem, found, gram, found.observation, found.expected)

    def factored(self, noise_std: torch.Tensor | None = None) -> torch.Tensor:
        """Return the Cholesky factor of the covariance of the readings, (m, m).

        Arguments:
            noise_std: of the readings, (m,); that of the observation if None.
        """
        o, b = self.observation, self.readings.columns
        std = o.noise_std if noise_std is None else noise_std
        nugget = nugget_variance(self.gram.diagonal(), o, self.readings.nugget)
        return cholesky_with_nugget(self.gram + b @ b.T + torch.diag(std.square()), nugget)

    def log_evidence(
        self, values: torch.Tensor | None = None, noise_std: torch.Tensor | None = None
    ) -> float:
        """Return the logarithm of the density of readings, less a constant.

        Arguments:
            values, noise_std: in the place of those of the observation, (m,).
        """
        lower = self.factored(noise_std)
        y = self.observation.values if values is None else values
        white = torch.linalg.solve_triangular(lower, (y - self.expected)[:, None], upper=False)
        return -float(white.square().sum() / 2 + lower.diagonal().log().sum())

    @property
    def precision(self) -> torch.Tensor:
        """The inverse of the covariance of the readings, (m, m)."""
        return torch.cholesky_inverse(self.factored())

    def draw(self) -> torch.Tensor:
        """Return the mean of the draw of the latent field given the readings, (1, *shape)."""
        off = (self.observation.values - self.expected)[:, None]
        weights = torch.cholesky_solve(off, self.factored())[:, 0]
        pulled = torch.einsum("m,myx->yx", weights, self.readings.rows)
        grid = self.observation.grid
        return self.problem.latent.square_root_adjoint(pulled[None, None], grid)

    def latent_mean(self) -> torch.Tensor:
        """Return the mean of the latent field given the readings, (1, 1, ny, nx)."""
        return self.problem.latent.square_root(self.draw(), self.observation.grid)


@dataclass(frozen=True)
class Tried:
    """A number and the logarithm of the evidence with it, and whether the readings are settled."""

    value: float
    log_evidence: float
    settled: bool = True


def lasting(function: Callable[..., float], *arguments: Any) -> float:
    """Return the value of a function, -inf where its numbers are not allowed or a solve fails."""
    try:
        value = function(*arguments)
    except (InputError, NumericalError, torch.linalg.LinAlgError):
        return -math.inf
    return value if math.isfinite(value) else -math.inf


def best_factor(
    evidence: Callable[[float], float], low: float, high: float, n: int, refine: int
) -> Tried:
    """Return the factor with the largest evidence: on a grid of logarithms, then by golden
    sections about its best one.

    Arguments:
        evidence: of a factor.
        low, high: the least and the largest factor.
        n: numbers on the grid.
        refine: golden sections.
    """

    def at(log: float) -> float:
        return lasting(evidence, math.exp(log))

    places = torch.linspace(math.log(low), math.log(high), n, dtype=torch.float64).tolist()
    values = [at(place) for place in places]
    i = max(range(n), key=values.__getitem__)
    best = Tried(math.exp(places[i]), values[i])
    a, b = places[max(0, i - 1)], places[min(n - 1, i + 1)]
    c, d = b - _GOLDEN * (b - a), a + _GOLDEN * (b - a)
    at_c, at_d = at(c), at(d)
    for _ in range(refine):
        if at_c >= at_d:
            b, d, at_d = d, c, at_c
            c = b - _GOLDEN * (b - a)
            at_c = at(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + _GOLDEN * (b - a)
            at_d = at(d)
    for place, value in ((c, at_c), (d, at_d)):
        if value > best.log_evidence:
            best = Tried(math.exp(place), value)
    return best
