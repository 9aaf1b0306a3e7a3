"""The most probable numbers: Fisher scoring from several starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pdeinv.errors import NumericalError
from pdeinv.progress import progress_bar
from pdeinv.solvers.evidence.lattice import lattice
from pdeinv.solvers.evidence.log_posterior import LogPosterior, Slope

__all__ = ["Mode", "climb", "search_modes"]

_STARTS, _MORE_STARTS = 4, 5  # shapes that are tried: so many, and more for each of their numbers
_FOLLOWED = 3  # of the best of them, to a maximum
_APART = 1.0  # distance between starts, in standard deviations of the prior
_SAME = 1.0  # distance between maxima, in their own standard deviations
_REACHED = 3.0  # distance of a start from a maximum, in its standard deviations, to be skipped
_WORTH = 8.0  # a maximum so much below the best, in units of the logarithm, does not count
_ITERATIONS, _FREE_ITERATIONS = 30, 12
_SETTLED = 1e-2  # expected gain of the logarithm by a further step
_SHORTER = 8  # times that a step is shortened fourfold
_LONGEST = 1.5  # of a step, in standard deviations of the prior


@dataclass(frozen=True)
class Mode:
    """A maximum of the posterior density of the numbers.

    Arguments:
        z: where it is, (k,).
        value: the logarithm of the density.
        covariance: inverse of the expected curvature, (k, k).
    """

    z: torch.Tensor
    value: float
    covariance: torch.Tensor

    def distance(self, z: torch.Tensor) -> float:
        """Return how far numbers are, in standard deviations."""
        off = z - self.z
        return math.sqrt(float(off @ torch.linalg.solve(self.covariance, off)))


def search_modes(
    density: LogPosterior, earlier: Sequence[torch.Tensor] = (), progress: bool = False
) -> list[Mode]:
    """Return the maxima that count, the best first: those whose logarithm is at most 8 below.

    The shapes of a lattice over the prior are tried, each with its best amplitude and noise. The
    best few, which are apart, are followed to a maximum.

    Arguments:
        density: of the numbers.
        earlier: maxima of a density that is nearly the same, (k,) each. These are followed instead,
            unless none of them leads to a maximum.
        progress: show bars.

    Raises:
        NumericalError: there is no field at any of them.
    """
    modes = _followed(density, earlier, _SAME, progress)
    if not modes:
        modes = _followed(density, _starts(density, progress), _REACHED, progress)
    if not modes:
        raise NumericalError(
            "the evidence of the unknown numbers must be finite somewhere within their ranges, "
            "and is not; check the ranges of the prior's numbers"
        )
    modes.sort(key=lambda mode: -mode.value)
    return [mode for mode in modes if mode.value >= modes[0].value - _WORTH]


def _followed(
    density: LogPosterior, starts: Sequence[torch.Tensor], reached: float, progress: bool
) -> list[Mode]:
    """The maxima that starts lead to; one within `reached` of a maximum is skipped."""
    modes: list[Mode] = []
    for start in progress_bar(starts, "maxima of the evidence", progress, "start"):
        if any(mode.distance(start) < reached for mode in modes):
            continue
        found = _maximum_near(density, start)
        if found is not None and all(mode.distance(found.z) >= _SAME for mode in modes):
            modes.append(found)
    return modes


def _maximum_near(density: LogPosterior, z: torch.Tensor) -> Mode | None:
    """Return the maximum to which `climb` leads from numbers (k,); None where there is no field."""
    found = climb(density, z)
    if found is None:
        return None
    slope, at = found
    return Mode(at, slope.value, torch.linalg.inv(slope.curvature))


def _starts(density: LogPosterior, progress: bool) -> list[torch.Tensor]:
    """The best shapes of a lattice that are apart, with their amplitude and noise."""
    k, shape = len(density.numbers), density.shape_indices
    free = [i for i in range(k) if i not in shape]
    tried, z = [], torch.zeros(k, dtype=torch.float64)
    points = lattice(_STARTS + _MORE_STARTS * len(shape) if shape else 1, max(1, len(shape)))
    for point in progress_bar(points, "search for the unknown numbers", progress, "start"):
        z = z.clone()
        z[shape] = torch.special.ndtri(point[: len(shape)])
        found = climb(density, z, free, _FREE_ITERATIONS)
        if found is not None:
            slope, z = found
            tried.append((slope.value, z))
    chosen: list[torch.Tensor] = []
    for _, z in sorted(tried, key=lambda one: -one[0]):
        near = any(float((z - other)[shape].norm()) < _APART for other in chosen)
        if len(chosen) < _FOLLOWED and not near:
            chosen.append(z)
    return chosen


def climb(
    density: LogPosterior,
    z: torch.Tensor,
    free: list[int] | None = None,
    iterations: int = _ITERATIONS,
) -> tuple[Slope, torch.Tensor] | None:
    """Return the slope at a maximum near numbers, and where it is; None where there is no field.

    Arguments:
        density: of the numbers.
        z: where to start, (k,).
        free: indices of the numbers that may change; all if None.
        iterations: at most.
    """
    free = list(range(len(z))) if free is None else free
    slope = density.slope(z, free)
    if slope is None or not free:
        return None if slope is None else (slope, z)
    damping = 0.0
    for _ in range(iterations):
        damped = slope.curvature + damping * torch.diag(slope.curvature.diagonal())
        step = torch.linalg.solve(damped, slope.gradient)
        if float(step @ slope.gradient) < _SETTLED:
            break
        step *= min(1.0, _LONGEST / float(step.norm()))
        for _ in range(_SHORTER):
            moved = z.clone()
            moved[free] += step
            if density(moved) > slope.value:
                break
            step = step / 4
            damping = max(1.0, 4 * damping)
        else:
            break
        damping = damping / 8 if damping > 1e-2 else 0.0
        found = density.slope(moved, free)
        if found is None:
            break
        slope, z = found, moved
    return slope, z
