"""Searches for a mode that start at other values of unknown numbers."""

from __future__ import annotations

import torch

from pdeinv.errors import NumericalError
from pdeinv.solvers.damping import Pull
from pdeinv.solvers.linear_algebra import count_informative
from pdeinv.solvers.mode import Mode, ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["from_other_numbers"]

_STARTS = -1.2, 1.2  # standard normal numbers
_USUAL = 2.0  # objective of a mode, in standard deviations of a chi-squared above its mean
_STRAIGHT = 0.1  # curvature of the readings between the starts, relative to their difference
_JACOBIANS = 2  # of each stage of a short search
_PROMISING = 2.0  # objective of a short search, relative to the best, with which it goes on


def from_other_numbers(search: ModeSearch, mode: Mode) -> Mode:
    """Return the best of a mode and those that are found from other values of the numbers that are
    few: a number of a wide range may have several.

    There are no further searches where the mode meets the readings as well as the right one would,
    and none for a number in which they are nearly linear. A search starts with the coefficient at
    the prior's mean and the number held, and then moves both. It ends early where it is not about
    as good as the best one.

    Arguments:
        search: that found the mode.
        mode: its `searches` are then those of all.
    """
    sensors = count_informative(search.prior_variances, search.observation)
    if mode.objective <= sensors + _USUAL * (2 * sensors) ** 0.5:
        return mode
    best, searches, held = mode, mode.searches, search.holding()
    for j in search.problem.few.tolist():
        if _straight(search.problem, mode.xi, j):
            continue
        for z in _STARTS:
            start = search.problem.zero.clone()
            start[0, j] = z
            searches += 1
            found = _searched(search, held, start, best)
            best = found if found is not None and found.objective < best.objective else best
    return search.judged(best._replace(searches=searches))


def _searched(search: ModeSearch, held: ModeSearch, start: torch.Tensor, best: Mode) -> Mode | None:
    """The mode that a search from a start leads to; None where that is none."""
    values = search.problem.values(start)
    if not bool(values.isfinite().all()):
        return None
    try:
        at = start, values, held.problem.jacobian(start)
        pull = Pull(start, held.observation.values)
        found = held.descend(*at, best.nugget, _JACOBIANS, pull)
        for most in (_JACOBIANS, search.iterations):
            at = found.xi, found.values, search.problem.jacobian(found.xi)
            found = search.descend(*at, best.nugget, most)
            if found.objective > _PROMISING * best.objective:
                return None
    except NumericalError:
        return None
    return found


def _straight(problem: WhitenedProblem, xi: torch.Tensor, j: int) -> bool:
    """Whether the readings are nearly linear in a number of ξ between the starts."""
    points = xi.repeat(3, 1)
    points[:, j] = torch.tensor([_STARTS[0], 0.0, _STARTS[1]], dtype=xi.dtype, device=xi.device)
    behind, middle, ahead = problem.values(points)
    bent = (ahead - 2 * middle + behind).norm()
    return bool(bent <= _STRAIGHT * (ahead - behind).norm())
