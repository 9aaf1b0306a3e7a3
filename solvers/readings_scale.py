"""The size of a coefficient that readings imply."""

from __future__ import annotations

import math

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap

__all__ = ["homogeneous_scale", "in_units_of_readings"]

_DECADES, _PER_DECADE = 12, 4
_NODES = 24


def homogeneous_scale(problem: Problem, observation: Observation) -> float:
    """Return the size of the homogeneous coefficient that fits the readings best."""
    grid = observation.grid.at_most(_NODES)
    forward = ForwardMap(problem.physics, observation.on_grid(grid))
    spread = observation.values.std() if len(observation) > 1 else observation.values.abs().max()
    std = (observation.noise_std**2 + (0.01 * spread) ** 2).sqrt().clamp(min=1e-300)
    one = torch.ones(1, 1, *grid.shape, dtype=torch.float64)

    def misfit(logarithm: float) -> float:
        try:
            left = observation.values - forward.approximate(math.exp(logarithm) * one)[0]
        except NumericalError:
            return math.inf
        found = float((left / std).square().sum())
        return found if math.isfinite(found) else math.inf

    step = math.log(10) / _PER_DECADE
    best = min((step * k for k in range(-_DECADES * 4, _DECADES * 4 + 1)), key=misfit)
    for _ in range(6):
        step /= 2
        best = min((best - step, best, best + step), key=misfit)
    return math.exp(best)


def in_units_of_readings(problem: Problem, observation: Observation) -> Problem:
    """Return the problem with the ranges of unknown numbers in their own units."""
    if not any(number.unknown.of for number in problem.unknowns):
        return problem
    return problem.in_units(homogeneous_scale(problem, observation))
