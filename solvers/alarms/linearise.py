"""The readings of a problem, linearised near its most probable field."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.base import Solver
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.gaussian import GaussianSolver
from pdeinv.solvers.linearised_mode import linearised_about
from pdeinv.solvers.mode import FIRST_NUGGET, ModeSearch
from pdeinv.solvers.supported_readings import UNCERTAIN
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["linearised", "near_mode"]

_JACOBIANS, _CHORDS, _TOLERANCE = 4, 2, 0.1  # of a search that may stop short of the mode


def linearised(
    solver: Solver,
    problem: Problem,
    observation: Observation,
    start: torch.Tensor | None = None,
    jacobians: int = _JACOBIANS,
) -> LinearisedReadings | None:
    """Return the readings, linearised: exactly where all is linear, else near the mode, or by the
    solver itself where there is no latent Gaussian field to search in; None where none of these is.

    Arguments:
        solver: the solver of the result.
        problem: the physics and the prior.
        observation: plain readings.
        start: of the search, the draw of the latent field (1, *shape); 0 if None.
        jacobians: of the search; 0 stays at its start.
    """
    pde, prior = problem.physics, problem.prior
    ways: list[tuple[Solver, Callable[[], LinearisedReadings | None]]] = [
        (GaussianSolver(), lambda: GaussianSolver().linearised(pde, prior, observation)),
        (GaussNewton(), lambda: near_mode(problem, observation, start, jacobians)),
        (solver, lambda: solver.linearised(pde, prior, observation)),
    ]
    for method, way in ways:
        if not (method.accepts_prior(prior) and method.accepts(pde, prior) and pde.differentiable):
            continue
        if pde.uncertain and UNCERTAIN not in method.takes:
            continue
        try:
            return way()
        except (InputError, NumericalError, torch.linalg.LinAlgError):
            continue
    return None


def near_mode(
    problem: Problem,
    observation: Observation,
    start: torch.Tensor | None = None,
    jacobians: int = _JACOBIANS,
) -> LinearisedReadings:
    """Return the readings, linearised where a few damped Gauss–Newton steps lead.

    No search from afar follows where they do not meet the readings: those of a wrong problem are
    not met. The readings are `settled` where the search has converged, or the next step is a tenth
    of the field at most.

    Arguments:
        problem, observation, start: as of `linearised`.
        jacobians: of the search; 0 stays at its start.
    """
    white = WhitenedProblem(problem, observation)
    xi = white.zero.clone()
    if start is not None:
        xi[:, : white.size] = start.flatten(1)
    values, settled = white.values(xi), True
    if jacobians:
        search = ModeSearch(white, jacobians, _CHORDS, _TOLERANCE, progress=False)
        rows = white.jacobian(xi)
        search.prior_variances = white.own(rows).square().sum(dim=1)
        mode = search.descend(xi, values, rows, FIRST_NUGGET, jacobians)
        xi, values, settled = mode.xi, mode.values, mode.converged or mode.gradient <= _TOLERANCE
    columns = white.jacobian(xi)[:, white.size :] if white.inner else observation.shared
    found = linearised_about(white, xi, values, columns, FIRST_NUGGET)
    return replace(found, settled=settled)
