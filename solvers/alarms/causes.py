"""The search for the cause of an alarm."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.solvers.alarms.cause import Cause
from pdeinv.solvers.alarms.model import Model, lasting
from pdeinv.solvers.alarms.of_physics import causes_in_physics
from pdeinv.solvers.alarms.of_prior import causes_in_prior
from pdeinv.solvers.alarms.of_readings import (
    causes_in_noise,
    causes_in_readings,
    causes_in_units,
)
from pdeinv.solvers.base import Solver
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.gaussian import GaussianSolver

__all__ = ["find_causes", "with_found_numbers"]

_LEAST = 3.0  # in logarithms, of a cause that is named


def find_causes(
    solver: Solver, pde: PDE, prior: Prior, observation: Observation
) -> tuple[Cause, ...]:
    """Return what would mend the fit of the readings, the best first; none where nothing does, or
    where the method has no evidence.

    Each candidate is one number that is changed, or a few readings that are left out. They are
    compared by the evidence of the readings, linearised by the solver itself, or by `gaussian` or
    `gauss-newton` where these accept the problem. Censored readings have no part.

    Arguments:
        solver: the solver of the result.
        pde, prior, observation: as of `Solver.__call__`, with the numbers that were inferred.
    """
    if not isinstance(prior, CoefficientPrior):
        return ()
    problem = Problem(pde, prior)
    readings = _linearised(solver, problem, observation)
    if readings is None or bool(readings.observation.below_or_above.all()):
        return ()
    model = Model.of(problem, readings)
    base = lasting(model.log_evidence)
    found = [cause for cause in _candidates(solver, model, base) if cause.gain > _LEAST]
    best: dict[tuple[str, str], Cause] = {}
    for cause in sorted(found, key=lambda one: -one.gain):
        best.setdefault((cause.kind, cause.name), cause)
    return tuple(best.values())


def _candidates(solver: Solver, model: Model, base: float) -> Iterator[Cause]:
    yield from causes_in_readings(model, base)
    yield from causes_in_units(model, base)
    yield from causes_in_noise(model, base)
    yield from causes_in_prior(model, base)
    yield from causes_in_physics(
        model, base, lambda problem: _linearised(solver, problem, model.observation)
    )


def _linearised(
    solver: Solver, problem: Problem, observation: Observation
) -> LinearisedReadings | None:
    """The readings, linearised by the first method that can."""
    pde, prior = problem.physics, problem.prior
    for method in (solver, GaussianSolver(), GaussNewton()):
        if not (method.accepts_prior(prior) and method.accepts(pde, prior) and pde.differentiable):
            continue
        try:
            found = method.linearised(pde, prior, observation)
        except (InputError, NumericalError):
            continue
        if found is not None:
            return found
    return None


def with_found_numbers(
    pde: PDE, prior: Prior, observation: Observation, posterior: Posterior
) -> tuple[PDE, Prior, Observation]:
    """Return a problem and readings with the means of the numbers that were inferred with the
    fields in the place of unknown ones."""
    found = posterior.parameters
    if found is None or not isinstance(prior, CoefficientPrior):
        return pde, prior, observation
    means = dict(zip(found.names, found.mean.tolist(), strict=True))
    problem = Problem(pde, prior)
    problem = problem.at(
        {k: v for k, v in means.items() if k in {u.name for u in problem.unknowns}}
    )
    noise = {name: means[name] for name, _ in observation.unknown_noise if name in means}
    if noise:
        observation = observation.with_noise(noise)
    return problem.physics, problem.prior, observation
