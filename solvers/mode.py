"""The most probable draw of a latent Gaussian field, by Gauss–Newton."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import NamedTuple

import torch

from pdeinv.errors import NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.censored import TrueValues
from pdeinv.solvers.continuation import largest_objective, search_again, settle
from pdeinv.solvers.damping import Pull, Step, TrustRegion
from pdeinv.solvers.linear_algebra import (
    carries_weight,
    cholesky_with_nugget,
    count_informative,
    degrees_of_freedom,
    nugget_variance,
)
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["FIRST_NUGGET", "Mode", "ModeSearch"]

_DONE = 1e-4  # relative change of ξ that ends the iteration
_CONVERGED = 1e-3  # of the last step, without which a smaller nugget is not for these readings
_CURVED = 1e-3  # tolerance at most where the coefficient is not affine in ξ, or steps are damped
_DAMPED = 10  # iterations with damped steps, which do not count
_OF_MEMBERS = 0.1, 0.1  # tolerance of their searches, and gain of a step that is not worth it
FIRST_NUGGET = 1e-10  # where the search starts, if readings are exact
_GROWTH = 2.0  # of the misfit, beyond which it is not either


class Mode(NamedTuple):
    """The most probable ξ and the problem linearised there.

    Arguments:
        xi: (1, size), all unknowns of the `WhitenedProblem`.
        values: of the readings at ξ, (1, m).
        jacobian: near ξ, (m, size).
        lower: Cholesky factor of G = J Jᵀ + R, (m, m).
        objective: twice the negative logarithm of the posterior density.
        nugget: in R.
        converged: whether the last step was a short one, or would be.
        iterations: steps that led to it, those of searches that failed included.
        gradient: norm of the objective's gradient, preconditioned by `jacobian` to the next step,
            relative to that of ξ less the centre of its `Pull`.
        searches: starting points from which it was searched for.
    """

    xi: torch.Tensor
    values: torch.Tensor
    jacobian: torch.Tensor
    lower: torch.Tensor
    objective: float
    nugget: float
    converged: bool
    iterations: int
    gradient: float
    searches: int = 1

    @property
    def expected(self) -> torch.Tensor:
        """The linearised readings at ξ = 0, (m,)."""
        return self.values[0] - self.jacobian @ self.xi[0]

    @property
    def log_evidence(self) -> float:
        """The logarithm of the density of the readings, by Laplace's approximation."""
        logarithm = 2 * float(self.lower.diagonal().log().sum())
        return -(self.objective + logarithm + len(self.lower) * math.log(2 * math.pi)) / 2

    def chi_squared(
        self, observation: Observation, excess: torch.Tensor | None = None
    ) -> tuple[float, float]:
        """Return the reduced chi-squared of the readings that carry weight, and its degrees of
        freedom.

        Arguments:
            observation: the readings.
            excess: what each adds to it, (m,); None for nothing.
        """
        own = self.jacobian.shape[1] - observation.biases
        variances = self.jacobian[:, :own].square().sum(dim=1)
        weighty = carries_weight(variances, observation)
        drowned = ~weighty
        left = (observation.values - self.values[0])[drowned] / observation.noise_std[drowned]
        freedom = degrees_of_freedom(self.lower, variances, observation)
        total = self.objective - float(left.square().sum())
        total += 0.0 if excess is None else float(excess[weighty].sum())
        return total / max(1.0, freedom), freedom


class ModeSearch:
    """Gauss–Newton steps, damped where the posterior density would fall.

    Arguments:
        problem: the forward map.
        iterations: Jacobians at most.
        chords: iterations with a Jacobian that is kept.
        tolerance: relative change of ξ below which the next step keeps the Jacobian.
        progress: show a bar.
    """

    def __init__(
        self,
        problem: WhitenedProblem,
        iterations: int,
        chords: int,
        tolerance: float,
        progress: bool,
    ):
        self.problem, self.observation = problem, problem.observation
        self.iterations, self.chords = iterations, chords
        self.tolerance = min(tolerance, _CURVED) if problem.curved else tolerance
        self.damped_tolerance = min(tolerance, _CURVED)
        self.progress, self.steps, self.least_gain = progress, 0, -math.inf
        self.start = problem.zero
        self.assume(TrueValues(self.observation.values[None]))

    def assume(self, true: TrueValues) -> None:
        """Search for the mode given other values of the readings."""
        self.true = true
        self.observation = replace(self.observation, values=true.mean[0])
        self.pull = Pull(self.problem.zero, true.mean[0])

    def __call__(self, nugget: float) -> Mode:
        """Return the mode.

        Where readings are exact, the nugget starts at about 1e-10. It falls tenfold, down to the
        stated one, while `chords` more iterations with the Jacobian at hand converge and meet the
        readings. Where the readings are not met, `search_again` searches from afar. Where they are
        met by a search that has not converged, `settle` adds a few steps.

        Arguments:
            nugget: least variance added to each reading, relative to the mean prior variance of
                the readings of its field.

        Raises:
            NumericalError: the PDE or its derivative is not finite at the prior's mean.
        """
        problem, xi = self.problem, self.start
        # Where even the prior's mean is unstable, nothing can be done: this raises
        values = problem.biased(problem.forward(problem.coefficient(xi)), xi)
        jacobian = problem.jacobian(xi)
        if not bool(jacobian.sum(dim=1).isfinite().all()):  # without a copy
            raise NumericalError(
                "the derivative of the PDE must be finite at the prior's mean, and is not; change "
                "the PDE's parameters"
            )
        self.prior_variances = problem.causes(jacobian).square().sum(dim=1)
        sensors = count_informative(self.prior_variances, self.observation)
        exact = bool((self.observation.noise_std == 0).any())
        tenfold = math.ceil(math.log10(FIRST_NUGGET / nugget) - 0.5) if exact else 0
        larger = [nugget * 10.0**k for k in range(tenfold, 0, -1)]
        first, *smaller = [*larger, nugget]
        mode = self.descend(xi, values, jacobian, first, self.iterations)
        mode = self.with_less_nugget(mode, smaller, sensors)
        largest = largest_objective(sensors)
        if problem.nonlinear and mode.objective > largest:
            mode = search_again(self, mode, [first, *smaller], sensors)
        return self.settled(mode, largest)

    def settled(self, mode: Mode, largest: float) -> Mode:
        """Return a mode that was found, after a few more steps (`settle`) if it has not converged
        and its objective is at most the largest that meets the readings."""
        mode = self.judged(mode)
        if not mode.converged and mode.objective <= largest:
            mode = self.judged(settle(self, mode))
        return mode

    def judged(self, mode: Mode) -> Mode:
        """Return a mode with the number of all steps, converged also at a small gradient."""
        converged = mode.converged or mode.gradient < _CONVERGED
        return mode._replace(iterations=self.steps, converged=converged)

    def factored(self, mode: Mode, nugget: float) -> Mode:
        """Return a mode with the G of the readings' noise and a nugget."""
        o = self.observation
        variance = o.noise_std**2 + nugget_variance(self.prior_variances, o, nugget)
        return mode._replace(lower=_factor(mode.jacobian, variance), nugget=nugget)

    def of_members(self) -> ModeSearch:
        """Return a search like this one, without a bar, for modes that are needed less exactly."""
        other = copy.copy(self)
        (other.tolerance, other.least_gain), other.progress = _OF_MEMBERS, False
        other.damped_tolerance = other.tolerance
        return other

    def holding(self) -> ModeSearch:
        """Return a search like this one, without a bar, that holds the `few` numbers."""
        other = copy.copy(self)
        other.problem, other.progress = self.problem.holding(), False
        return other

    def with_less_nugget(self, mode: Mode, nuggets: list[float], sensors: int) -> Mode:
        """Return the mode with the least of the nuggets that the readings allow.

        Arguments:
            mode: with another nugget.
            nuggets: falling.
            sensors: that can vary.
        """
        for less in nuggets:
            closer = self.descend(mode.xi, mode.values, mode.jacobian, less, 1)
            met = closer.objective <= _GROWTH * max(float(sensors), mode.objective)
            if not (closer.converged and met):
                break
            mode = closer
        return mode

    def descend(
        self,
        xi: torch.Tensor,
        values: torch.Tensor,
        jacobian: torch.Tensor,
        nugget: float,
        jacobians: int,
        pull: Pull | None = None,
        lower: torch.Tensor | None = None,
    ) -> Mode:
        """Return the mode with one nugget.

        Arguments:
            xi, values, jacobian: where the search starts, as in `Mode`.
            nugget: as in `__call__`.
            jacobians: at most.
            lower: Cholesky factor for this Jacobian; it and `pull` are made where None.
        """
        problem, pull, o = self.problem, pull or self.pull, self.observation
        variance = o.noise_std**2 + nugget_variance(self.prior_variances, o, nugget)
        lower = _factor(jacobian, variance) if lower is None else lower
        region = TrustRegion(problem, pull, variance)
        # With one Jacobian, that of another nugget's mode, the first step is taken as it is
        fresh = jacobians > 1 and problem.nonlinear
        at = Step(xi, values, region.objective(xi, values) if fresh else math.inf, full=True)
        converged = kept = False  # `kept`: the Jacobian is that of another ξ
        most, count, tolerance = jacobians + self.chords, 0, self.tolerance
        steps = range(most + _DAMPED * fresh)
        for i in progress_bar(steps, "Gauss–Newton", self.progress, "iteration"):
            if count == most:
                break
            target, floor = _target(pull, at.xi, at.values, jacobian, lower)
            if i and at.objective - floor < self.least_gain:
                break
            least = _DONE * float((target - pull.centre).norm())
            step = region.step(at, jacobian, target, floor, least)
            change = _relative((step.xi if step else target) - at.xi, target - pull.centre)
            full = step is None or step.full
            if step:
                at, kept = step, True
                self.steps += 1
                # A damped step is short though the mode be far
                converged = (step.full and change < _CONVERGED) or not problem.nonlinear
                if (step.full and change < _DONE) or not problem.nonlinear:
                    break
            elif change < _CONVERGED or not kept:  # the mode, to the precision of the Jacobian
                break
            # A short step can do with the same Jacobian, unless steps have had to be damped
            tolerance = tolerance if full else self.damped_tolerance
            count += full
            if change > tolerance or step is None or not full:
                renewed = count < jacobians and fresh
                rows = problem.finite_jacobian(at.xi) if renewed else None
                if rows is not None:
                    jacobian, lower, kept = rows, _factor(rows, variance), False
                elif renewed or step is None:  # where the PDE is unstable, or stuck
                    break
        ahead = _target(pull, at.xi, at.values, jacobian, lower)[0] - at.xi
        gradient = _relative(ahead, at.xi - pull.centre)
        return Mode(*at[:2], jacobian, lower, at.objective, nugget, converged, self.steps, gradient)


def _relative(change: torch.Tensor, to: torch.Tensor) -> float:
    return float(change.norm() / to.norm().clamp(min=1e-300))


def _factor(jacobian: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    """Cholesky factor of J Jᵀ + R."""
    return cholesky_with_nugget(jacobian @ jacobian.T, variance)


def _target(
    pull: Pull,
    xi: torch.Tensor,
    values: torch.Tensor,
    jacobian: torch.Tensor,
    lower: torch.Tensor,
) -> tuple[torch.Tensor, float]:
    """Where a full step from ξ leads, and the objective there if the readings were linear;
    arguments as in `Mode`."""
    data = pull.data - values + (xi - pull.centre) @ jacobian.T
    weights = torch.cholesky_solve(data.T, lower).T
    step = weights @ jacobian
    return pull.centre + step, float((weights * data).sum())
