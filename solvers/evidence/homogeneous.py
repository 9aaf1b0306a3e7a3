"""The size of a coefficient that readings imply: that of the homogeneous one that fits best."""

from __future__ import annotations

import math

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.linear_algebra import of_one_size
from pdeinv.solvers.unstable import solved_or_infinite

__all__ = ["homogeneous_scale"]

_DECADES = 12  # from 1, on both sides
_PER_DECADE = 4
_ROUNDS = 3  # of refinement about the best, each eight times as fine
_NARROWER = 8
_FLAT = 1e-6  # change of the misfit over all scales, below which readings imply none
_LEAST = 1e-300  # sum of squares, whose logarithm is finite


def homogeneous_scale(problem: Problem, observation: Observation) -> float:
    """Return the value of the homogeneous, positive coefficient that fits readings best.

    The misfit is Σ n ln(mean square residual) over the fields, each with n readings: the noise of
    each field, and what a homogeneous coefficient leaves of it, may be of any size. Of readings of
    the coefficient itself, the residuals are those of logarithms.

    Arguments:
        problem: the physics; unknown numbers of it have the middle of their ranges.
        observation: the sensors.

    Raises:
        InputError: the readings do not depend on the value of a homogeneous coefficient.
    """
    forward = ForwardMap(problem.physics, observation)
    steps = _DECADES * _PER_DECADE
    logarithms = torch.arange(-steps, steps + 1, dtype=torch.float64) * (math.log(10) / _PER_DECADE)
    misfits = _misfits(forward, logarithms)
    finite = misfits[misfits.isfinite()]
    if not len(finite) or float(finite.max() - finite.min()) < _FLAT * len(observation):
        name = problem.physics.coefficient_field.name
        raise InputError(
            f"readings must depend on the size of a homogeneous {name} where its size is not "
            f"stated, and these do not; state the median of the {name}, or a range of it"
        )
    width = math.log(10) / _PER_DECADE
    for _ in range(_ROUNDS):
        best = logarithms[misfits.argmin()]
        offsets = torch.linspace(-width, width, 2 * _NARROWER + 1, dtype=torch.float64)
        logarithms, width = best + offsets, width / _NARROWER
        misfits = _misfits(forward, logarithms)
    return math.exp(float(logarithms[misfits.argmin()]))


def _misfits(forward: ForwardMap, logarithms: torch.Tensor) -> torch.Tensor:
    """The misfits of homogeneous coefficients, (n,); infinite where a solve is unstable."""
    a = logarithms.exp()[:, None, None, None].expand(-1, 1, *forward.grid.shape)
    values, _ = solved_or_infinite(forward, a, (len(forward.observation),))
    o, total = forward.observation, torch.zeros_like(logarithms)
    for mine in of_one_size(o):
        expected, given = values[:, mine], o.values[mine]
        of_field = bool(o.of_field[mine].all())
        if int(o.channel[mine][0]) == 0 and of_field and bool((given > 0).all()):
            expected, given = expected.clamp(min=_LEAST).log(), given.log()
        squares = (given - expected).square().mean(dim=1).clamp(min=_LEAST)
        total += int(mine.sum()) * squares.log()
    return torch.where(total.isnan(), torch.inf, total)
