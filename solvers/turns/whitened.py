"""A coefficient's prior after the readings of a result."""

from __future__ import annotations

import torch

from pdeinv.coefficients import CoefficientPrior, Conditioned
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.solvers.base import Solver
from pdeinv.solvers.linear_algebra import levels_of, nugget_variance
from pdeinv.solvers.whitening import Whitening

__all__ = ["after_readings"]


def after_readings(
    solver: Solver, problem: Problem, observation: Observation, turns: tuple[str, ...]
) -> Conditioned:
    """Return the prior of a problem after readings: exact where these are linear in a Gaussian
    field, else with the readings linearised where the solver linearises them.

    Earlier readings and these are kept as readings of one base.

    Arguments:
        solver: with `linearised`.
        problem: with a prior that has a latent field, or one after earlier readings.
        observation: the readings.
        turns: what the prior states as its turns.
    """
    physics, prior = problem.physics, problem.coefficient_prior
    prior = prior.centred(levels_of(observation, channel=0))
    linear = solver.linearised(physics, prior, observation)
    assert linear is not None
    base, grid, expected = prior, observation.grid, linear.expected
    if isinstance(prior, Conditioned):
        base = prior.base
        expected = expected - linear.rows.flatten(1) @ prior.mean_field(grid).flatten()
    latent = base.latent(physics.domain, physics.grid_kind)
    rows = latent.square_root_adjoint(linear.rows[:, None], grid)
    tables = prior.field.narrowed(rows) if isinstance(prior, Conditioned) else rows
    variances = tables.flatten(1).square().sum(dim=1)
    nugget = nugget_variance(variances, observation, linear.nugget)
    white = Whitening((observation.noise_std**2 + nugget).sqrt(), observation.shared)
    mine = white(rows.flatten(1).T).T
    values = white((observation.values - expected)[None])[0]
    biases = observation.common_names
    if isinstance(prior, Conditioned):
        mine, values = torch.cat([prior.rows, mine]), torch.cat([prior.values, values])
        biases = (*prior.biases, *biases)
    return Conditioned(base, physics.domain, physics.grid_kind, mine, values, biases, turns)


def linear_in_field(prior: object) -> bool:
    """Whether readings can be linear in the latent field of a prior, whose numbers are known."""
    return (
        isinstance(prior, CoefficientPrior)
        and prior.has_latent
        and prior.phases is None
        and not prior.unknowns
    )
