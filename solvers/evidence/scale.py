"""The size of a coefficient that the readings imply, before any of its numbers is known."""

from __future__ import annotations

import math

import torch

from pdeinv import seeds
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.linear_algebra import of_one_size

__all__ = ["implied_scale"]

_DRAWS = 16  # behind the size of the readings of a field of size 1
_DECADES, _EACH = 16, 2  # of homogeneous coefficients on either side of 1, and trials in each
_ROUNDS = 2  # of finer trials
_FLAT = 1e-9  # change of the mean square over all trials, below which readings imply none
_LEAST = 1e-3  # share of the readings that is left at least where the noise is taken off

_UNSIZED = (
    "readings must depend on the size of a homogeneous {0} where its size is not stated, and these "
    "do not; state the median of the {0}, or a range of it"
)


def implied_scale(problem: Problem, observation: Observation) -> float:
    """Return the size of the coefficient that readings imply.

    Of a coefficient that is affine in its latent field it is the root mean square that makes the
    readings as large as they are. Of others, which are positive, it is the homogeneous one
    that fits best. 1 where there are no readings, or where all are zero.

    Arguments:
        problem: with unknown numbers.
        observation: the readings.

    Raises:
        InputError: the readings do not depend on the value of a homogeneous coefficient.
    """
    plain = ~observation.below_or_above
    readings = observation if bool(plain.all()) else observation.subset(plain)
    if not len(readings):
        return 1.0
    if problem.affine:
        return _of_linear(problem, readings)
    return _of_homogeneous(problem, readings) if problem.coefficient_prior.positive else 1.0


def _of_linear(problem: Problem, readings: Observation) -> float:
    """The ratio of the sizes of the readings and of those of fields of size 1."""
    prior, grid = problem.coefficient_prior, readings.grid
    one = {prior.amplitude: 1.0} if prior.amplitude else {}
    if prior.constant[0]:
        one |= {prior.constant[0]: 0.0, prior.constant[1]: 1.0}
    unit = Problem(problem.physics, prior.with_numbers(**one))
    states = unit.sample(_DRAWS, grid, seeds.generator(seeds.STATISTICS)).to(readings.values)
    nothing = readings(unit.state(unit.latent.origin().to(readings.values), grid))
    typical = (readings(states) - nothing).square().mean(dim=0)
    given = (readings.values - nothing[0]).square()
    known = readings.noise_std.clone()
    if readings.noise_group is not None:
        known[readings.noise_group >= 0] = 0.0
    total, weight = 0.0, 0
    for mine in of_one_size(readings):
        size, expected = float(given[mine].mean()), float(typical[mine].mean())
        left = max(size - float(known[mine].square().mean()), _LEAST * size)
        if left > 0 and expected > 0:
            total += int(mine.sum()) * math.log(left / expected)
            weight += int(mine.sum())
    return math.exp(total / (2 * weight)) if weight else 1.0


def _of_homogeneous(problem: Problem, readings: Observation) -> float:
    """The homogeneous coefficient whose readings are nearest, in units of the spread of each
    field's readings."""
    spread = torch.ones_like(readings.values)
    for mine in of_one_size(readings):
        given = readings.values[mine]
        size = float(given.std(correction=0)) or float(given.abs().mean())
        spread[mine] = math.hypot(size or 1.0, float(readings.noise_std[mine].mean()))

    def misfit(logarithm: float) -> float:
        a = readings.values.new_full((1, 1, *readings.grid.shape), 10**logarithm)
        try:
            a = problem.physics.restrict(a)
            state = torch.cat([a, problem.physics.respond(a)], dim=1)
        except NumericalError:
            return math.inf
        value = float(((readings(state)[0] - readings.values) / spread).square().sum())
        return value if math.isfinite(value) else math.inf

    step = 1 / _EACH
    tried = [i * step for i in range(-_DECADES * _EACH, _DECADES * _EACH + 1)]
    misfits = [misfit(logarithm) for logarithm in tried]
    finite = [value for value in misfits if value < math.inf]
    if not finite or max(finite) - min(finite) < _FLAT * len(readings):
        raise InputError(_UNSIZED.format(problem.physics.coefficient_field.name))
    best = tried[misfits.index(min(misfits))]
    for _ in range(_ROUNDS):
        step /= 4
        best = min((best + i * step for i in range(-3, 4)), key=misfit)
    return 10**best
