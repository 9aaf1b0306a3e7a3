"""The readings of a nonlinear problem as a linear function of its latent field, about a mode."""

from __future__ import annotations

import torch

from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.mode import Mode
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["linearised_about", "linearised_at"]


def linearised_at(problem: WhitenedProblem, mode: Mode) -> LinearisedReadings:
    """Return the readings as a linear function of the latent field about a mode."""
    problem.forward_at(problem.numbers(mode.xi)[0]).exact_derivatives = True
    columns = mode.jacobian[:, problem.size :]
    return linearised_about(problem, mode.xi, mode.values, columns, mode.nugget)


def linearised_about(
    problem: WhitenedProblem,
    xi: torch.Tensor,
    values: torch.Tensor,
    columns: torch.Tensor,
    nugget: float,
) -> LinearisedReadings:
    """Return the readings as a linear function of the latent field.

    Arguments:
        problem: the problem.
        xi: where, (1, size + inner + k).
        values: the readings there, (1, m).
        columns: their derivatives to the numbers behind those of the coefficient, (m, inner + k).
        nugget: as of `LinearisedReadings`.
    """
    forward = problem.forward_at(problem.numbers(xi)[0])
    assert isinstance(forward, LatentMap)
    latent = problem.latent.square_root(problem.tables(xi), forward.grid)
    rows = forward.latent_jacobian(latent)
    further = xi[0, problem.size :]
    expected = values[0] - rows.flatten(1) @ latent.flatten() - columns @ further
    exact = not problem.nonlinear
    return LinearisedReadings(problem.observation, rows, columns, expected, nugget, exact)
