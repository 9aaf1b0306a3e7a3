"""The search for the cause of an alarm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.progress import Progress
from pdeinv.solvers.alarms.cause import Cause
from pdeinv.solvers.alarms.linearise import linearised
from pdeinv.solvers.alarms.model import Model, Tried, lasting
from pdeinv.solvers.alarms.of_physics import causes_in_physics
from pdeinv.solvers.alarms.of_prior import causes_in_prior
from pdeinv.solvers.alarms.of_readings import (
    causes_in_noise,
    causes_in_readings,
    causes_in_units,
)
from pdeinv.solvers.base import Solver
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.parameter_columns import with_inferred_noise

__all__ = ["find_causes", "with_found_numbers"]

_LEAST = 3.0  # in logarithms, of a cause that is named
_BEHIND = 30.0  # in logarithms, of a cause that is not looked at again
# Causes in units, and others, for which the readings of a nonlinear problem are linearised again
_UNITS_AGAIN, _AGAIN = 3, 4
_NEAR = 0.1  # difference of the logarithms of factors that are one
_MOST = 250  # readings of which the evidence is compared, evenly chosen
# Of a nonlinear problem fewer on a fine grid: so many times the nodes, but no less than these
_NUMBERS, _LEAST_READINGS = 125 * 64**2, 40

_Trial: TypeAlias = Callable[..., LinearisedReadings | None]
"""`linearised` by the solver of the result."""


def find_causes(
    solver: Solver,
    pde: PDE,
    prior: Prior,
    observation: Observation,
    suspects: Sequence[int] = (),
    progress: bool = False,
) -> tuple[Cause, ...]:
    """Return what would mend the fit of the readings, the best first; none where nothing does, or
    where the method has no evidence.

    Each candidate is one number that is changed, or a few readings that are left out. They are
    compared by the evidence of the linearised readings. Censored readings have no part.

    Arguments:
        solver: the solver of the result.
        pde, prior, observation: as of `Solver.__call__`, with the numbers that were inferred.
        suspects: positions of readings that do not fit the others.
        progress: count the trials, each a linearisation of the readings.
    """
    if not (isinstance(prior, CoefficientPrior) and prior.has_latent):
        return ()
    problem = Problem(pde, prior)
    chosen = _chosen(observation, suspects, _most(problem, observation))
    if not len(chosen):
        return ()
    with Progress(None, "cause of the misfit", progress, unit="trial", keep=False) as shown:

        def trial(*given: Any, **options: Any) -> LinearisedReadings | None:
            shown.update()
            return linearised(solver, *given, **options)

        found, base = list[Cause](), -math.inf
        if (readings := trial(problem, observation.subset(chosen))) is not None:
            model = Model.of(problem, readings)
            base = lasting(model.log_evidence)
            found = [
                cause if cause.kind == "physics" else replace(cause, settled=readings.settled)
                for cause in _candidates(trial, model, base)
            ]
        if not problem.linear:
            found = _linearised_again(trial, found, base)
    best: dict[tuple[str, str], Cause] = {}
    for cause in sorted(found, key=lambda one: -one.gain):
        if cause.gain > _LEAST:
            best.setdefault((cause.kind, cause.name), cause)
    return tuple(_of_table(cause, chosen) for cause in best.values())


def _most(problem: Problem, observation: Observation) -> int:
    """How many readings are compared, at most: those of a nonlinear problem are linearised often,
    each time at the cost of a solve for each."""
    if problem.linear:
        return _MOST
    return max(_LEAST_READINGS, min(_MOST, _NUMBERS // observation.grid.nodes))


def _chosen(observation: Observation, suspects: Sequence[int], most: int) -> torch.Tensor:
    """Positions of the plain readings; where there are many, of some of them and the suspects."""
    plain = (~observation.below_or_above).nonzero()[:, 0]
    if len(plain) <= most:
        return plain
    some = plain[torch.linspace(0, len(plain) - 1, most).long()]
    return torch.cat([some, torch.tensor([*suspects[:most]], dtype=torch.long)]).unique()


def _of_table(cause: Cause, chosen: torch.Tensor) -> Cause:
    """A cause with positions in the table in the place of those among the chosen readings."""
    predictions = {int(chosen[i]): prediction for i, prediction in cause.predictions.items()}
    return replace(cause, predictions=predictions)


def _candidates(trial: _Trial, model: Model, base: float) -> Iterator[Cause]:
    problem, observation = model.problem, model.observation
    yield from causes_in_readings(model, base)
    yield from causes_in_noise(model, base)
    yield from causes_in_prior(model, base)
    start = None if problem.linear else model.draw()
    yield from causes_in_physics(model, base, lambda changed: trial(changed, observation, start))
    if not problem.linear:
        found = trial(problem, observation, jacobians=0)
        model = model if found is None else Model.of(problem, found)
    here = lasting(model.log_evidence)
    for cause in causes_in_units(model, here):
        if cause.gain > 0:
            yield replace(cause, gain=cause.gain + here - base)


def _linearised_again(trial: _Trial, causes: Sequence[Cause], base: float) -> list[Cause]:
    """The causes with the evidence of readings that are linearised with their changes.

    These are the best in units and the best others. The rest of those in units is left out, since
    their evidence is that of the readings linearised elsewhere.
    """
    ranked = sorted(causes, key=lambda one: -one.gain)
    others = [c for c in ranked if c.kind != "units"][:_AGAIN]
    again = [c for c in others if c.changed and c.gain > others[0].gain - _BEHIND]
    # Linearised at the prior's mean, these are ranked too roughly to leave out one that is behind
    again += _apart([c for c in ranked if c.kind == "units"])[:_UNITS_AGAIN]
    judged = [c for c in causes if c not in again and c.kind != "units"]
    for cause in again:
        cost = cause.log_evidence - base - cause.gain
        found = _changed(trial, cause)
        judged.append(replace(cause, gain=found.log_evidence - base - cost, settled=found.settled))
    return judged


def _apart(ranked: Sequence[Cause]) -> list[Cause]:
    """The factors of a field that are not nearly one of a better cause."""
    apart: list[Cause] = []
    for one in ranked:
        same = (c for c in apart if c.name == one.name and c.value * one.value > 0)
        if all(abs(math.log(c.value / one.value)) > _NEAR for c in same):
            apart.append(one)
    return apart


def _changed(trial: _Trial, cause: Cause) -> Tried:
    """The evidence with a change, -inf where it is not allowed."""
    assert cause.changed is not None
    try:
        problem, observation, more = cause.changed()
    except (InputError, NumericalError):
        return Tried(cause.value, -math.inf)
    found = trial(problem, observation)
    if found is None:
        return Tried(cause.value, -math.inf)
    evidence = lasting(lambda: Model.of(problem, found).log_evidence() + more)
    return Tried(cause.value, evidence, found.settled)


def with_found_numbers(
    pde: PDE, prior: Prior, observation: Observation, posterior: Posterior
) -> tuple[PDE, Prior, Observation]:
    """Return a problem and readings with the means of the numbers that were inferred with the
    fields in the place of unknown ones."""
    found = posterior.parameters
    if found is None or not isinstance(prior, CoefficientPrior):
        return pde, prior, observation
    means = dict(zip(found.names, found.mean.tolist(), strict=True))
    problem = Problem(pde, prior).at(means)
    return problem.physics, problem.prior, with_inferred_noise(observation, posterior)
