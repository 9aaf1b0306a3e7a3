"""A second search for a mode, from afar, where the first one has not met the readings."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from pdeinv import seeds
from pdeinv.observation import Observation
from pdeinv.solvers.ensemble_start import ensemble_start
from pdeinv.solvers.linear_algebra import nugget_variance
from pdeinv.solvers.misfit import misfit_limits

if TYPE_CHECKING:
    from pdeinv.solvers.mode import Mode, ModeSearch

__all__ = ["LEVELS", "AddedVariance", "largest_objective", "search_again", "settle"]

LEVELS = 1e-2, 1e-3, 1e-4, 1e-6, 1e-8
"""Variances added to the readings of a member, relative to the mean prior variance of their
field's."""
_LARGEST = 10.0  # level of the added variance
_RISE = 2.0  # of the objective beyond the limit, with the next level
_LEAST_FALL = 0.5  # next level, relative to the last, at most
_FALL = 0.1  # of the level, once the readings are not met
_HALVINGS = 40  # of the interval of ln(level)
_JACOBIANS = 3  # of a stage
_STAGES = 16  # of a search at most, the last one not counted
_TRIES = 3  # of one level, as long as they lower the objective
_WORTH_IT = 0.9  # objective after such a try, relative to that before, at most
_ENSEMBLES = 2  # whose means are starting points


def largest_objective(sensors: int) -> float:
    """Return the objective of a mode beyond which the readings are not met.

    It is distributed as a chi-squared of so many degrees of freedom: the limit is that of
    `misfit_limits`, beyond which the mode is that of a poor local minimum, if the readings do not
    contradict the prior or their noise.

    Arguments:
        sensors: readings that can vary.
    """
    return sensors * misfit_limits(sensors)[1]


class AddedVariance:
    """The variance that is added to all readings on the way to a mode, level by level.

    A level is relative to the mean prior variance of the readings of a field. The next one is the
    least with which the objective at hand would be at most twice what a mode may have. So the
    search neither leaves the valley that it has found, nor waits in it.

    Arguments:
        observation: the sensors.
        prior_variances: of the readings, (m,).
        least: the last level.
        largest: objective up to which the readings are met.
    """

    def __init__(
        self,
        observation: Observation,
        prior_variances: torch.Tensor,
        least: float,
        largest: float,
    ):
        self.observation, self.prior_variances = observation, prior_variances
        self.least, self.largest = least, largest

    def objective(self, xi: torch.Tensor, values: torch.Tensor, level: float) -> float:
        """Return twice the negative logarithm of the posterior density with a level.

        Arguments:
            xi: (1, *shape).
            values: of the readings at ξ, (1, m).
            level: the level.
        """
        o = self.observation
        variance = o.noise_std**2 + nugget_variance(self.prior_variances, o, level)
        return float(xi.square().sum() + ((o.values - values) ** 2 / variance).sum())

    def next(self, xi: torch.Tensor, values: torch.Tensor, level: float | None = None) -> float:
        """Return the next level, at most half of the last one; arguments as in `objective`, None
        for the first level."""
        allowed = _RISE * self.largest
        if self.objective(xi, values, self.least) <= allowed:
            return self.least
        highest = _LARGEST if level is None else _LEAST_FALL * level
        low, high = math.log(self.least), math.log(max(highest, self.least))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if self.objective(xi, values, math.exp(middle)) > allowed:
                low = middle
            else:
                high = middle
        return math.exp(high)


def search_again(search: ModeSearch, mode: Mode, nuggets: list[float], sensors: int) -> Mode:
    """Return a mode that meets the readings, or the best of all.

    Two causes are treated. Accurate readings of a strongly nonlinear PDE make a narrow, winding
    valley: a variance is added to them that is removed in steps (`AddedVariance`). The surrogate
    may be too crude for the way: where a level is not met, and for the last one, the derivative of
    the solve takes its place. The search starts at the prior's mean first, and then at the means of
    ensembles that were moved to the readings by solves alone (`ensemble_start`).

    Arguments:
        search: the search whose result is not good enough.
        mode: this result.
        nuggets: of the search, falling.
        sensors: readings that can vary.
    """
    largest, searches = largest_objective(sensors), mode.searches
    levels = AddedVariance(search.observation, search.prior_variances, nuggets[0], largest)
    for start in _starts(search):
        searches += 1
        found = _from_afar(search, start, levels)
        found = found and search.with_less_nugget(found, nuggets[1:], sensors)
        if found is not None and found.objective < mode.objective:
            mode = found
        if mode.objective <= largest:
            break
    return mode._replace(searches=searches)


def settle(search: ModeSearch, mode: Mode) -> Mode:
    """Return a mode that meets the readings after a few more steps with the derivative of the
    solve: that of the surrogate need not lead to where the objective is least."""
    with _exact_derivatives(search):
        jacobian = search.problem.finite_jacobian(mode.xi)
        if jacobian is None:
            return mode
        found = search.descend(mode.xi, mode.values, jacobian, mode.nugget, search.iterations)
    return found._replace(searches=mode.searches)


def _starts(search: ModeSearch) -> Iterator[torch.Tensor]:
    yield search.problem.zero
    generator = seeds.generator(seeds.STATISTICS)
    for _ in range(_ENSEMBLES):
        start = ensemble_start(
            search.problem,
            search.observation,
            search.prior_variances,
            generator,
            progress=search.progress,
        )
        if start is not None:
            yield start


def _from_afar(search: ModeSearch, xi: torch.Tensor, levels: AddedVariance) -> Mode | None:
    """The mode with the last level, from ξ; None where the PDE is unstable on the way."""
    values = search.problem.values(xi)
    if not bool(values.isfinite().all()):
        return None
    level, before, tries, exact = levels.next(xi, values), math.inf, 0, False
    met = True  # so far
    for stage in range(_STAGES + 1):
        last = stage == _STAGES or level == levels.least
        if last:
            level, exact = levels.least, True
        with _exact_derivatives(search, exact):
            jacobian = search.problem.finite_jacobian(xi)
            if jacobian is None:
                return None
            most = search.iterations if last else _JACOBIANS
            mode = search.descend(xi, values, jacobian, level, most)
        if last:
            return mode
        xi, values, tries = mode.xi, mode.values, tries + 1
        if mode.objective <= levels.largest:
            level, before, tries = levels.next(xi, values, level), math.inf, 0
        elif not met or tries == _TRIES or (exact and mode.objective > _WORTH_IT * before):
            # The readings contradict the prior, or the valley ends here
            met, level, before, tries = False, max(levels.least, _FALL * level), math.inf, 0
        else:
            before, exact = mode.objective, True
    return None


@contextmanager
def _exact_derivatives(search: ModeSearch, exact: bool = True) -> Iterator[None]:
    """Take the derivatives of the solve meanwhile."""
    forward = search.problem.forward
    usual = forward.exact_derivatives
    forward.exact_derivatives = exact or usual
    try:
        yield
    finally:
        forward.exact_derivatives = usual
