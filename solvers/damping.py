"""Damped Gauss–Newton steps within a trust region, by Levenberg and Marquardt in data space."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["DampedSteps", "Pull", "Step", "TrustRegion"]

_TRIES = 10  # of a step, each half as long as the one before, until the objective falls
_GOOD, _POOR = 0.75, 0.25  # ratio of the fall to the predicted one, where the radius changes

_HALVINGS = 40  # of the interval of ln(λ)
_LOG_DAMPING = -14.0, 70.0  # ln λ, least and largest
_CLOSE = 0.9  # of the radius: a step between this share and all of it will do


class DampedSteps:
    """All damped steps δ from one ξ, for the factorisation of one m x m matrix.

    A step minimises the objective |ξ - c|² + rᵀ R⁻¹ r, with the residuals r = y - F(ξ) linearised,
    plus λ|δ|². With μ = 1 + λ and d = ξ - c,

        δ = -d/μ + Jᵀ (J Jᵀ + μ R)⁻¹ (r + J d/μ).

    The eigenvectors of R^(-1/2) J Jᵀ R^(-1/2) give δ for every λ. Each radius of a trust
    region below the length of the full step belongs to one λ.

    Arguments:
        offset: d, (size,).
        residual: r, (m,).
        jacobian: J, (m, size).
        variance: the diagonal of R, (m,), positive.

    Reference:
        Moré, *The Levenberg–Marquardt algorithm: implementation and theory*, Numerical Analysis,
        Lecture Notes in Mathematics 630, 1978; Nocedal & Wright, *Numerical Optimization*, 2006,
        chapter 4.
    """

    def __init__(
        self,
        offset: torch.Tensor,
        residual: torch.Tensor,
        jacobian: torch.Tensor,
        variance: torch.Tensor,
    ):
        self.offset, self.jacobian = offset, jacobian
        self.root = variance.rsqrt()
        gram = self.root[:, None] * (jacobian @ jacobian.T) * self.root
        values, self.vectors = torch.linalg.eigh(gram)
        self.values = values.clamp(min=0)
        self.residual = self.vectors.T @ (self.root * residual)
        self.along = self.vectors.T @ (self.root * (jacobian @ offset))
        self.squared = float(offset.square().sum())

    def step(self, damping: float) -> tuple[torch.Tensor, float]:
        """Return δ, (size,), and the objective there if the readings were linear in ξ.

        Arguments:
            damping: λ, not negative.
        """
        mu, q = 1 + damping, self._weights(damping)
        delta = self.jacobian.T @ (self.root * (self.vectors @ q)) - self.offset / mu
        misfit = mu**2 * float(q.square().sum())
        return delta, float((self.offset + delta).square().sum()) + misfit

    def within(self, radius: float) -> tuple[torch.Tensor, float]:
        """Return `step` for the λ with which δ is about as long as the radius, but no longer; the
        largest λ where none is that short."""
        low, high = _LOG_DAMPING
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            length = self._length(math.exp(middle))
            if length > radius:
                low = middle
            else:
                high = middle
                if length >= _CLOSE * radius:
                    break
        return self.step(math.exp(high))

    def _weights(self, damping: float) -> torch.Tensor:
        """(J Jᵀ + μ R)⁻¹ (r + J d/μ) along the eigenvectors, (m,)."""
        mu = 1 + damping
        return (self.residual + self.along / mu) / (self.values + mu)

    def _length(self, damping: float) -> float:
        """|δ|, without δ."""
        mu, q = 1 + damping, self._weights(damping)
        along = float((self.along * q).sum())
        squared = self.squared / mu**2 - 2 * along / mu + float((self.values * q.square()).sum())
        return max(squared, 0.0) ** 0.5


class Pull(NamedTuple):
    """What draws ξ: the objective is |ξ - centre|² and the misfit to the data.

    Arguments:
        centre: (1, size).
        data: (m,).
    """

    centre: torch.Tensor
    data: torch.Tensor


class Step(NamedTuple):
    """Where a step leads.

    Arguments:
        xi: (1, size).
        values: of the readings at ξ, (1, m).
        objective: at ξ.
        full: whether it is an undamped step.
    """

    xi: torch.Tensor
    values: torch.Tensor
    objective: float
    full: bool


class TrustRegion:
    """Full steps where they are accepted, else damped ones.

    A step δ is accepted where the objective f has f(ξ + δ) < f(ξ).

    The radius is infinite until a full step fails. It then follows the ratio of the fall of the
    objective to the predicted one, and is infinite again where it admits a full step.

    Arguments:
        problem: the forward map.
        pull: the objective.
        variance: the diagonal of R, (m,).
    """

    def __init__(self, problem: WhitenedProblem, pull: Pull, variance: torch.Tensor):
        self.problem, self.pull, self.variance = problem, pull, variance
        self.radius = math.inf

    def objective(self, xi: torch.Tensor, values: torch.Tensor) -> float:
        """Return the objective at ξ (1, size) with the readings (1, m)."""
        misfit = ((self.pull.data - values) ** 2 / self.variance).sum()
        return float((xi - self.pull.centre).square().sum() + misfit)

    def step(
        self,
        start: Step,
        jacobian: torch.Tensor,
        target: torch.Tensor,
        floor: float,
        least: float,
    ) -> Step | None:
        """Return the first step that is accepted; None where even a short one is not.

        Arguments:
            start: where it starts.
            jacobian: near there, (m, size).
            target: where the full step leads, (1, size).
            floor: the objective there if the readings were linear in ξ.
            least: length of a full step from which it is worth to damp it.
        """
        xi, damped = start.xi, None
        delta, predicted = target - xi, floor
        length = longest = float(delta.norm())
        for _ in range(_TRIES):
            full = longest <= self.radius
            if not full:
                damped = damped or self._damped_steps(start, jacobian)
                flat, predicted = damped.within(self.radius)
                delta = flat[None]
                length = float(flat.norm())
            trial = xi + delta
            values = self.problem.values(trial)
            objective = self.objective(trial, values)
            if objective < start.objective:
                fall = start.objective - objective
                self._adapt(full, length, fall, start.objective - predicted)
                return Step(trial, values, objective, full)
            if longest < least:
                break
            self.radius = length / 2
        self.radius = math.inf
        return None

    def _damped_steps(self, start: Step, jacobian: torch.Tensor) -> DampedSteps:
        offset = (start.xi - self.pull.centre).flatten()
        residual = (self.pull.data - start.values)[0]
        return DampedSteps(offset, residual, jacobian, self.variance)

    def _adapt(self, full: bool, length: float, fall: float, predicted: float) -> None:
        if full:
            self.radius = math.inf
        elif fall > _GOOD * predicted:
            self.radius = 2 * length
        else:
            self.radius = length if fall > _POOR * predicted else length / 2
