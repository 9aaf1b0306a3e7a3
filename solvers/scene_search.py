"""Scenes that fit readings: modes of a posterior, found from draws of the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.solvers.scene_likelihood import NormalReadings

__all__ = ["FittedScenes", "fit_scenes"]

_PRECISION = 12.0  # of a number that is uniform on [0, 1]
_ITERATIONS = 12, 6  # by the first likelihood, and then by the last one
_DIFFERENCE = 2e-3  # of derivatives, in widths of the prior
_LONGEST = 0.3  # change of a number in a step
_DAMPING = 1e-2, 1e6
_BETTER, _WORSE = 1 / 3, 4.0  # factors of the damping


class FittedScenes(NamedTuple):
    """Scenes at which a likelihood is about as large as nearby.

    Arguments:
        scenes: (batch).
        values: their log-likelihoods, (batch, likelihoods).
        curvature: of minus the log-likelihood there, (batch, numbers, numbers).
        numbers: how many numbers each scene has, (batch,).
    """

    scenes: Scenes
    values: torch.Tensor
    curvature: torch.Tensor
    numbers: torch.Tensor

    def log_weights(self, powers: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the integrals around the scenes of the prior times powers of the
        likelihoods, by Laplace's method, (batch,).

        Arguments:
            powers: (likelihoods,).
        """
        unit = torch.eye(self.curvature.shape[-1], dtype=torch.float64, device=powers.device)
        precision = powers.sum() * self.curvature + _PRECISION * unit
        spread = self.numbers * math.log(2 * math.pi) - precision.logdet()
        # The numbers that a scene has not are of the prior alone
        spread = spread + (unit.shape[0] - self.numbers) * math.log(_PRECISION)
        return self.values @ powers + spread / 2


def fit_scenes(
    prior: ObjectPrior, log_likelihoods: Sequence[NormalReadings], scenes: Scenes
) -> FittedScenes:
    """Fit the numbers of scenes to readings by Levenberg and Marquardt's method.

    Derivatives are differences of the first likelihood's readings. Where there is a better
    likelihood, steps at the end take its residuals.

    Arguments:
        prior: of the scenes.
        log_likelihoods: from the cheapest to the exact one; the first must be continuous.
        scenes: from which to start.

    Reference:
        Nocedal & Wright, *Numerical Optimization*, 2006, section 10.3.
    """
    first = log_likelihoods[0]
    for rank in sorted({0, len(log_likelihoods) - 1}):
        judge = log_likelihoods[rank]
        damping = torch.ones(len(scenes), dtype=torch.float64)
        readings = judge.read(scenes)
        for _ in range(_ITERATIONS[min(rank, 1)]):
            here = first.read(scenes) if rank else readings
            slopes = _slopes(prior, first, scenes, here)
            curvature, pull = _normal_equations(slopes, judge, readings)
            unit = torch.eye(curvature.shape[-1], dtype=torch.float64)
            damped = curvature + (_PRECISION * damping)[:, None, None] * unit
            step = torch.linalg.solve(damped, pull).clamp(-_LONGEST, _LONGEST)
            moved = _unpacked(prior, _packed(scenes) + step, scenes)
            found = judge.read(moved)
            better = judge.of(found) > judge.of(readings)
            scenes = moved.where(better, scenes)
            readings = torch.where(better[:, None], found, readings)
            damping = torch.where(better, _BETTER * damping, _WORSE * damping).clamp(*_DAMPING)
    here = first.read(scenes)
    curvature, _ = _normal_equations(_slopes(prior, first, scenes, here), first, here)
    values = torch.stack([one(scenes) for one in log_likelihoods], dim=1)
    return FittedScenes(scenes, values, curvature, _used(scenes).sum(dim=1))


def _normal_equations(
    slopes: torch.Tensor, judge: NormalReadings, readings: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the curvature (batch, numbers, numbers) and the pull (batch, numbers) of readings."""
    weighted = slopes / judge.variance
    off = judge.values - readings
    return weighted @ slopes.transpose(1, 2), (weighted @ off[..., None])[..., 0]


def _slopes(
    prior: ObjectPrior, likelihood: NormalReadings, scenes: Scenes, here: torch.Tensor
) -> torch.Tensor:
    """Return the derivatives of the scenes' readings `here` (batch, m) with respect to their
    numbers, (batch, numbers, m)."""
    numbers = _packed(scenes)
    rows, columns = _used(scenes).nonzero().T
    shifted = numbers[rows]
    shifted[torch.arange(len(rows), device=here.device), columns] += _DIFFERENCE
    there = likelihood.read(_unpacked(prior, shifted, scenes.chosen(rows)))
    slopes = numbers.new_zeros(*numbers.shape, here.shape[1])
    slopes[rows, columns] = (there - here[rows]) / _DIFFERENCE
    return slopes


def _packed(scenes: Scenes) -> torch.Tensor:
    """Return the numbers of scenes, the common ones first, (batch, numbers)."""
    return torch.cat([scenes.common, scenes.objects.flatten(1)], dim=1)


def _unpacked(prior: ObjectPrior, numbers: torch.Tensor, like: Scenes) -> Scenes:
    """Return the scenes of numbers (batch, numbers), of as many objects as others."""
    common, objects = numbers.split([like.common.shape[1], like.objects[0].numel()], dim=1)
    return prior.wrapped(Scenes(common, objects.reshape(like.objects.shape), like.count))


def _used(scenes: Scenes) -> torch.Tensor:
    """Return which numbers a scene has, (batch, numbers)."""
    present = scenes.present[..., None].expand_as(scenes.objects).flatten(1)
    return torch.cat([torch.ones_like(scenes.common, dtype=torch.bool), present], dim=1)
