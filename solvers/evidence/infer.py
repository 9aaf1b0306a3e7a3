"""Posteriors of problems with unknown numbers: integrals over them by their evidence."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError, warn_caller
from pdeinv.observation import Observation
from pdeinv.parameters import Parameters
from pdeinv.posterior import Posterior
from pdeinv.solvers.evidence.at_points import at_points
from pdeinv.solvers.evidence.estimates import normal_mixture, of_points
from pdeinv.solvers.evidence.linearised import LinearisedReadings
from pdeinv.solvers.evidence.log_posterior import LogPosterior
from pdeinv.solvers.evidence.mixture import mixed
from pdeinv.solvers.evidence.numbers import Numbers, absorbed_number
from pdeinv.solvers.evidence.points import WeightedPoints, weighted_points
from pdeinv.solvers.evidence.repeated_warnings import each_kind_once
from pdeinv.solvers.evidence.scale import implied_scale
from pdeinv.solvers.evidence.search import Mode, search_modes
from pdeinv.solvers.evidence.thinned import thinned

if TYPE_CHECKING:
    from pdeinv.solvers.base import Solver

__all__ = ["condition", "infer_unknowns", "most_probable"]

_ROUNDS = 4  # of readings that are linearised again
_SETTLED = 0.5  # change of the numbers, in standard deviations, with which they are settled


def condition(
    solver: Solver,
    problem: Problem,
    observation: Observation,
    n_samples: int,
    generator: torch.Generator | None,
    progress: bool,
) -> Posterior:
    """Return the posterior of `Solver.condition`, over unknown numbers where there are some."""
    given = (observation, n_samples, generator, progress)
    unknown = bool(problem.unknowns or observation.unknown_noise)
    if unknown and not solver.infers_numbers:
        return infer_unknowns(solver, problem, *given)
    return solver.condition(problem.physics, problem.prior, *given)


def infer_unknowns(
    solver: Solver,
    problem: Problem,
    observation: Observation,
    n_samples: int,
    generator: torch.Generator | None,
    progress: bool,
) -> Posterior:
    """Return the posterior of a problem with unknown numbers, or of readings with unknown noise.

    Numbers of the latent field and of the noise are integrated over: the posterior is a mixture of
    those at weighted points. A constant of the latent field is a part of it. Other numbers are left
    to `Solver.condition`. A point at which that fails is left out, with a warning.

    Arguments:
        solver: which conditions at each point, and linearises the readings.
        problem: with its unknown numbers.
        observation, n_samples, generator, progress: as of `Solver.condition`.

    Raises:
        InputError: the solver has no evidence.
        NumericalError: the evidence is finite nowhere, or the solver failed at all points.
    """
    scaled = dict[str, float]()
    if _of_readings(problem):
        scaled["readings_scale"] = implied_scale(problem, observation)
        problem = problem.in_units(scaled["readings_scale"])
    numbers = Numbers.of(problem, observation)
    if not len(numbers) and absorbed_number(problem) is None:
        return solver.condition(
            problem.physics, problem.prior, observation, n_samples, generator, progress
        )
    density, modes, settled = _settled(solver, problem, observation, numbers, progress)
    points = weighted_points(density, modes, generator, progress)
    chosen, weights = thinned(points, solver.mixture_points, generator)
    weighted = [
        (*_known_at(points, i, problem, observation, numbers), float(weight))
        for i, weight in zip(chosen.tolist(), weights, strict=True)
    ]
    one = solver.for_points(weighted, generator, progress)

    def of_point(j: int, n: int) -> Posterior:
        known, readings, _ = weighted[j]
        return one.condition(known.physics, known.prior, readings, n, generator, False)

    with each_kind_once(f"of {len(chosen)} points of the unknown numbers"):
        kept, posteriors, shares = at_points(
            of_point, range(len(chosen)), weights, n_samples, generator, progress
        )
    found = mixed(posteriors, shares.weights, shares)
    own = _parameters(problem, numbers, points, chosen[kept][shares.of_sample], generator)
    found.parameters = Parameters.joined(own, found.parameters)
    found.record |= {
        **_evidence_record(problem, observation, points),
        "numbers_settled": int(settled),
        "mixture_points": len(kept),
        "mixture_points_left_out": len(chosen) - len(kept),
        **scaled,
    }
    return found


def _known_at(
    points: WeightedPoints, i: int, problem: Problem, observation: Observation, numbers: Numbers
) -> tuple[Problem, Observation]:
    about = _about(problem, points.constants, i)
    return _known(problem, observation, numbers, points.z[i], about)


def _evidence_record(
    problem: Problem, observation: Observation, points: WeightedPoints
) -> dict[str, float]:
    """What is recorded of the points, with the density of the readings where they have one: not of
    limits, nor with a flat mean."""
    stated = problem.coefficient_prior.proper and not bool(observation.below_or_above.any())
    return {
        **({"log_evidence": points.log_evidence} if stated else {}),
        "evidence_points": len(points.z),
        "evidence_effective": round(points.effective, 1),
    }


def most_probable(
    solver: Solver, problem: Problem, observation: Observation, progress: bool = False
) -> tuple[Problem, Observation]:
    """Return a problem and its readings with the most probable values of the unknown numbers that
    `infer_unknowns` integrates over; arguments and errors as there."""
    if _of_readings(problem):
        problem = problem.in_units(implied_scale(problem, observation))
    numbers = Numbers.of(problem, observation)
    if not len(numbers) and absorbed_number(problem) is None:
        return problem, observation
    density, modes, _ = _settled(solver, problem, observation, numbers, progress)
    about = _about(problem, _constants(density, problem, modes[0].z[None]), 0)
    return _known(problem, observation, numbers, modes[0].z, about)


def _of_readings(problem: Problem) -> bool:
    """Whether a range is in units of what the readings imply."""
    return any(number.unknown.of == "readings" for number in problem.unknowns)


def _settled(
    solver: Solver, problem: Problem, observation: Observation, numbers: Numbers, progress: bool
) -> tuple[LogPosterior, list[Mode], bool]:
    """The density of the numbers by readings that are linear near the most probable ones, its
    maxima, and whether the best of them is where the readings were linearised.

    There is one linearisation, about the best of them, for all maxima."""
    z, about = torch.zeros(len(numbers), dtype=torch.float64), None
    density, modes, settled = None, list[Mode](), False
    for _ in range(_ROUNDS):
        try:
            linear = _linearised(solver, problem, observation, numbers, z, about, progress)
        except NumericalError as error:
            if density is None:
                raise
            warn_caller(
                f"the readings were not linearised again at the most probable numbers, since a "
                f"solve failed: {error}",
                UserWarning,
            )
            break
        density = LogPosterior(problem, numbers, linear)
        modes = search_modes(density, [mode.z for mode in modes], progress)
        settled = linear.exact or modes[0].distance(z) < _SETTLED
        if settled:
            break
        z = modes[0].z
        about = _about(problem, _constants(density, problem, z[None]), 0)
    assert density is not None
    return density, modes, settled


def _linearised(
    solver: Solver,
    problem: Problem,
    observation: Observation,
    numbers: Numbers,
    z: torch.Tensor,
    about: float | None,
    progress: bool,
) -> LinearisedReadings:
    """The readings near the posterior of numbers z, with e at the middle of the constant's range.

    Raises:
        InputError: the solver has no evidence.
    """
    known, readings = _known(problem, observation, numbers, z, about)
    linear = solver.linearised(known.physics, known.prior, readings, progress)
    if linear is None:
        raise InputError(
            f"numbers of the {solver.name} solver must be stated here, got unknown "
            f"{', '.join(numbers.names) or 'ones'}; state them, or choose the solver 'auto'"
        )
    shift = _latent_constant(problem, known) - _middle(problem)[0]
    return replace(linear, expected=linear.expected - shift * linear.constant)


def _known(
    problem: Problem,
    observation: Observation,
    numbers: Numbers,
    z: torch.Tensor,
    about: float | None,
) -> tuple[Problem, Observation]:
    """The problem and its readings with numbers z, and the constant as a part of the field.

    The groups of readings with unknown noise are kept.
    """
    values, noise = numbers.values(z)
    known = problem.at(values)
    known = replace(known, prior=known.coefficient_prior.absorbed(about))
    std = observation.with_noise(noise).noise_std
    return known, replace(observation, noise_std=std)


def _middle(problem: Problem) -> tuple[float, float]:
    """The mean and the standard deviation of the unknown constant in the latent field; zeros
    without one."""
    number = absorbed_number(problem)
    if number is None:
        return 0.0, 0.0
    return number.unknown.normal(problem.coefficient_prior.logarithmic)


def _latent_constant(problem: Problem, known: Problem) -> float:
    """The constant of a known prior in the latent field, where the problem leaves it unknown."""
    number, prior = absorbed_number(problem), known.coefficient_prior
    if number is None:
        return 0.0
    value = float(prior.numbers[number.name])
    return math.log(value) if prior.logarithmic else value


def _constants(density: LogPosterior, problem: Problem, z: torch.Tensor) -> torch.Tensor | None:
    """The constants at points (n, k), as of `WeightedPoints`; None where it is known."""
    if absorbed_number(problem) is None:
        return None
    return torch.tensor(
        [density.evaluated(one).constant for one in z], dtype=torch.float64, device=z.device
    )


def _about(problem: Problem, constants: torch.Tensor | None, i: int) -> float | None:
    """The number that is the constant after the readings at a point; None where it is known."""
    if constants is None or absorbed_number(problem) is None:
        return None
    mean = _middle(problem)[0] + float(constants[i, 0])
    return math.exp(mean) if problem.coefficient_prior.logarithmic else mean


def _parameters(
    problem: Problem,
    numbers: Numbers,
    points: WeightedPoints,
    of_sample: torch.Tensor,
    generator: torch.Generator | None,
) -> Parameters | None:
    """The numbers of the points, and the constant of the latent field.

    Arguments:
        of_sample: the point of each sample.
    """
    parts = []
    if len(numbers):
        rows = []
        for z in points.z:
            values, noise = numbers.values(z)
            rows.append([(values | noise)[name] for name in numbers.names])
        table = torch.tensor(rows, dtype=torch.float64, device=of_sample.device)
        units = [number.units for number in numbers.all]
        ends = numbers.ends(points.z, points.weights)
        parts.append(of_points(numbers.names, units, table, points.weights, table[of_sample], ends))
    if (number := absorbed_number(problem)) is not None:
        mean, std = points.constants.T
        mean = _middle(problem)[0] + mean
        white = torch.randn(len(of_sample), dtype=torch.float64, generator=generator)
        samples = mean[of_sample] + std[of_sample] * white
        logarithmic = problem.coefficient_prior.logarithmic
        parts.append(
            normal_mixture(
                number.name, number.units, mean, std, points.weights, samples, logarithmic
            )
        )
    return Parameters.joined(*parts)
