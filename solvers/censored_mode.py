"""The mode of a posterior of which some readings are censored."""

from __future__ import annotations

from dataclasses import replace

import torch

from pdeinv import seeds
from pdeinv.solvers.censored import true_values
from pdeinv.solvers.continuation import largest_objective
from pdeinv.solvers.linear_algebra import count_informative
from pdeinv.solvers.mode import FIRST_NUGGET, Mode, ModeSearch

__all__ = ["mode_with_limits"]

_UNREAD = 1e50  # noise of a reading that is left out
_ROUNDS = 8
_SETTLED = 0.02  # change of the values' mean, in their standard deviations


def mode_with_limits(search: ModeSearch, nugget: float, n: int) -> Mode:
    """Return the mode given the mean of the true values of censored readings; the search then
    assumes these values.

    The search begins with the plain readings alone. The values have the law of the problem that is
    linearised at the mode (`true_values`). Given their mean the mode is searched for again, until
    the mean settles. The same random numbers give all these means.

    Arguments:
        search: for the mode; the censored readings are the last ones.
        nugget: as of `ModeSearch.__call__`.
        n: draws of the values that will be taken.

    Raises:
        InputError: a limit contradicts the other readings.
        NumericalError: the PDE or its derivative is not finite at the prior's mean.
    """
    o = search.observation
    limited = o.below_or_above
    if not bool(limited.any()):
        return search(nugget)
    search.observation = replace(o, noise_std=torch.where(limited, _UNREAD, o.noise_std))
    mode = search(nugget)
    search.observation = o
    exact = bool((o.noise_std[limited] == 0).any())
    mode = search.factored(mode, max(mode.nugget, FIRST_NUGGET) if exact else mode.nugget)
    before, settled = None, False
    for _ in range(_ROUNDS):
        true = true_values(mode.lower, mode.expected, o, n, seeds.generator(seeds.STATISTICS))
        assert true.draws is not None
        mean, std = true.draws.mean(dim=0), true.draws.std(dim=0)
        settled = before is not None and bool(((mean - before).abs() <= _SETTLED * std).all())
        if settled:
            break
        before = mean
        search.assume(true)
        at = mode.xi, mode.values, mode.jacobian
        found = search.descend(*at, mode.nugget, search.iterations)
        mode = found._replace(searches=mode.searches)
        if not search.problem.nonlinear:
            settled = True
            break
    sensors = count_informative(search.prior_variances, o)
    mode = search.settled(mode, largest_objective(sensors))
    return mode._replace(converged=mode.converged and settled)
