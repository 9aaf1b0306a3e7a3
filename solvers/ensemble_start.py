"""A starting point for the search for a mode, by solves alone."""

from __future__ import annotations

import torch

from pdeinv.observation import Observation
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.linear_algebra import carries_weight, nugget_variance
from pdeinv.solvers.sensitivities import regressed_sensitivities
from pdeinv.solvers.tempered_members import TemperedMembers
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["ensemble_start"]

_MEMBERS, _ROUNDS = 100, 4
_FEWEST = 16  # members that must be left
_NUGGET = 1e-6  # variance added to each reading, relative to that of its field's readings


def ensemble_start(
    problem: WhitenedProblem,
    observation: Observation,
    prior_variances: torch.Tensor,
    generator: torch.Generator,
    *,
    progress: bool,
) -> torch.Tensor | None:
    """Return the mean ξ (1, size) of an ensemble that was moved to the readings; None where too
    many solves are unstable.

    The linear model of the readings is a regression over the members (`EnsembleSmoother`), and not
    a derivative at one ξ. It averages over the local minima of a strongly nonlinear PDE.

    Arguments:
        problem: the forward map.
        observation: the readings to which it is moved.
        prior_variances: of the readings, (m,).
        generator: source of all randomness.
        progress: show a bar.
    """
    o, at_once = observation, problem.forward.pde.at_once
    weighty = carries_weight(prior_variances, o)
    noise = (o.noise_std**2 + nugget_variance(prior_variances, o, _NUGGET))[weighty]
    members = TemperedMembers(problem.white(_MEMBERS, generator), generator)
    for _ in progress_bar(range(_ROUNDS), "starting point", progress, "round"):
        batches = members.xi.split(at_once)
        values = members.keep(torch.cat([problem.values(xi) for xi in batches]))
        if len(values) < _FEWEST:
            return None
        unbiased = problem.unbiased(values, members.xi)
        causes = problem.causes(members.xi)
        model = regressed_sensitivities(causes, unbiased, problem.cause_variances)
        model = model._replace(rows=problem.augmented(model.rows)).of(weighty)
        members.assimilate(values[:, weighty], model, o.values[weighty], noise, _ROUNDS)
    return members.xi.mean(dim=0, keepdim=True)
