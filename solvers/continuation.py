"""A second search for a mode, from afar, where the first one has not met the readings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from pdeinv import seeds
from pdeinv.errors import NumericalError
from pdeinv.solvers.misfit import misfit_limits

if TYPE_CHECKING:
    from pdeinv.solvers.mode import Mode, ModeSearch

__all__ = ["LEVELS", "largest_objective", "search_again"]

# Variance that each reading has at first, relative to the mean prior variance of its field's
_CRUDE = 1e-2, 1e-3  # with derivatives by the surrogate
_FINE = 1e-4, 1e-6, 1e-8  # with those of the solve
LEVELS = (*_CRUDE, *_FINE)
_JACOBIANS = 4  # for each of these
_RESTARTS = 2  # from draws of the prior


def largest_objective(sensors: int) -> float:
    """Return the objective of a mode beyond which the readings are not met.

    It is distributed as a chi-squared of so many degrees of freedom: the limit is that of
    `misfit_limits`, beyond which the mode is that of a poor local minimum, if the readings do not
    contradict the prior or their noise.

    Arguments:
        sensors: readings that can vary.
    """
    return sensors * misfit_limits(sensors)[1]


def search_again(search: ModeSearch, mode: Mode, nuggets: list[float], sensors: int) -> Mode:
    """Return a mode that meets the readings, or the best of all.

    Two causes are treated. Exact readings of a strongly nonlinear PDE make a narrow, winding
    valley: the search starts with a variance added to the readings, which is removed in steps. The
    surrogate may be too crude for the last of the way: the derivative of the solve takes its place.
    The search starts at the prior's mean first, and then at draws of the prior.

    Arguments:
        search: the search whose result is not good enough.
        mode: this result.
        nuggets: of the search, falling.
        sensors: readings that can vary.
    """
    for start in _starts(search):
        found = _from_afar(search, start, nuggets, sensors)
        if found is not None and found.objective < mode.objective:
            mode = found
        if mode.objective <= largest_objective(sensors):
            break
    return mode


def _starts(search: ModeSearch) -> Iterator[torch.Tensor]:
    yield search.problem.zero
    generator = seeds.generator(seeds.STATISTICS)
    for _ in range(_RESTARTS):
        yield search.problem.white(1, generator)


def _from_afar(
    search: ModeSearch, xi: torch.Tensor, nuggets: list[float], sensors: int
) -> Mode | None:
    """The mode with the last of the nuggets that it allows, from ξ; None where the PDE is unstable
    on the way."""
    problem, forward, (first, *smaller) = search.problem, search.problem.forward, nuggets
    usual = forward.exact_derivatives
    mode: Mode | None = None
    values = problem.values(xi)
    if not bool(values.isfinite().all()):
        return None
    try:
        for levels, exact in ((_CRUDE, False), ((*_FINE, first), True)):
            forward.exact_derivatives = exact or usual
            jacobian = problem.jacobian(xi)
            for nugget in (level for level in levels if level >= first):
                if not bool(jacobian.isfinite().all()):
                    return None
                most = search.iterations if nugget == first else _JACOBIANS
                mode = search.descend(xi, values, jacobian, nugget, most)
                xi, values, jacobian = mode.xi, mode.values, mode.jacobian
    except NumericalError:
        return None
    finally:
        forward.exact_derivatives = usual
    return mode and search.with_less_nugget(mode, smaller, sensors)
