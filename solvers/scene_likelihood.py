"""The likelihood of scenes of objects, on the grid of the result and on a coarser one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.datasets.base import PDE
from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.linear_algebra import carries_weight, nugget_variance, reduced

__all__ = ["AT_ONCE", "NormalReadings", "SceneLikelihood"]

AT_ONCE = 50
"""Scenes that are read at a time."""

_Reader: TypeAlias = Callable[[Scenes], torch.Tensor]
_DRAWS = 64  # of the prior, for variances
_PRIOR_WEIGHT = 5.0  # of the errors of the prior's draws, in scenes, where others are known


class SceneLikelihood:
    """The likelihoods of scenes, from the cheapest to the exact one, and their states.

    On a coarse grid the readings are those of averaged coefficients. Their errors have the mean and
    the variance that draws of the prior show, and later those of scenes near the posterior
    (`learn_errors`); these are added to the noise.

    Arguments:
        pde: the physics.
        prior: of the scenes.
        observation: the readings, on the grid of the result.
        nugget: variance added to readings, relative to that of their field's.
        coarse: nodes of the coarse grid on its shorter side; it is not used for a linear PDE, whose
            solves are cheap, nor where the grid of the result is about as coarse.
        generator: of random numbers.

    Reference:
        Kaipio & Somersalo, *Statistical inverse problems: discretization, model reduction and
        inverse crimes*, J. Comput. Appl. Math. 198, 2007: the errors of the coarse grid as noise.
        Cui, Fox & O'Sullivan, *Bayesian calibration of a large-scale geothermal reservoir model by
        a new adaptive delayed acceptance Metropolis Hastings algorithm*, Water Resour. Res. 47,
        2011: those of the posterior.
    """

    def __init__(
        self,
        pde: PDE,
        prior: ObjectPrior,
        observation: Observation,
        nugget: float,
        coarse: int,
        generator: torch.Generator | None,
    ):
        self.prior, self.observation = prior, observation
        self.forward = ForwardMap(pde, observation)
        scenes = prior.draw_scenes(_DRAWS, generator)
        read = self._reader(observation.grid, prior.render)
        readings = read(scenes)
        variances = readings.var(dim=0)
        self.weighty = carries_weight(variances, observation)
        extra = nugget_variance(variances, observation, nugget)
        self.variance = observation.noise_std**2 + extra
        self.log_constant = -0.5 * float((2 * math.pi * self.variance).log().sum())
        self.log_likelihoods = [NormalReadings(read, observation.values, self.variance)]
        if self.forward.solves and not pde.linear and min(observation.grid.shape) > 1.5 * coarse:
            roughly = self._reader(observation.grid.at_most(coarse), prior.render_coarsely)
            errors = readings - roughly(scenes)
            self._errors = errors.mean(dim=0), errors.square().mean(dim=0)
            self.log_likelihoods.insert(
                0, NormalReadings(roughly, *self._with_errors(*self._errors))
            )

    def learn_errors(self, scenes: Scenes) -> bool:
        """Take the errors of the coarse grid from scenes near the posterior; return whether there
        are any.

        Arguments:
            scenes: a few, such as those of the last levels of a ladder.
        """
        if len(self.log_likelihoods) == 1 or not len(scenes):
            return False
        coarse, exact = self.log_likelihoods
        errors = exact.read(scenes) - coarse.read(scenes)
        share = len(scenes) / (len(scenes) + _PRIOR_WEIGHT)
        new = errors.mean(dim=0), errors.square().mean(dim=0)
        mixed = [a + share * (b - a) for a, b in zip(self._errors, new, strict=True)]
        coarse.values, coarse.variance = self._with_errors(*mixed)
        return True

    def _with_errors(
        self, mean: torch.Tensor, square: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and variances (m,) of readings with errors of a mean and a mean square."""
        return self.observation.values - mean, self.variance + square - mean.square()

    def _reader(self, grid: Grid, render: Callable[[Scenes, Grid], torch.Tensor]) -> _Reader:
        """Return the map from scenes to readings (batch, m) on a grid."""
        forward = self.forward.observing(self.observation.on_grid(grid))

        def read(scenes: Scenes) -> torch.Tensor:
            return torch.cat(
                [
                    forward.approximate(render(scenes.chosen(rows), grid)).double()
                    for rows in torch.arange(len(scenes)).split(AT_ONCE)
                ]
            )

        return read

    def states(self, scenes: Scenes) -> torch.Tensor:
        """Return the states (batch, channel, ny, nx) of scenes."""
        grid, pde = self.observation.grid, self.forward.pde
        found = []
        for rows in torch.arange(len(scenes)).split(min(pde.at_once, AT_ONCE)):
            a = pde.restrict(self.prior.render(scenes.chosen(rows), grid))
            found.append(torch.cat([a, self.forward.solve(a)], dim=1))
        return torch.cat(found)

    def reduced_chi_squared(self, states: torch.Tensor) -> float:
        """Return the mean misfit of states (batch, channel, ny, nx) to a reading that carries
        weight."""
        off = self.observation(states) - self.observation.values
        return reduced((off.square() / self.variance).mean(dim=0), self.weighty)


@dataclass
class NormalReadings:
    """Log-likelihoods (batch,) of scenes with normal noise, without their constant.

    Arguments:
        read: returns the readings (batch, m) of scenes.
        values, variance: of the readings, (m,).
    """

    read: _Reader
    values: torch.Tensor
    variance: torch.Tensor

    def __call__(self, scenes: Scenes) -> torch.Tensor:
        return self.of(self.read(scenes))

    def of(self, readings: torch.Tensor) -> torch.Tensor:
        """Return those of readings (batch, m); minus infinity where one is not finite.

        Raises:
            NumericalError: no scene has finite readings.
        """
        found = -0.5 * ((readings - self.values).square() / self.variance).sum(dim=1)
        found = found.nan_to_num(nan=-math.inf, posinf=-math.inf)
        if len(found) and not bool(found.isfinite().any()):
            raise NumericalError(
                "the readings of the scenes must be finite, got nan or inf for all of them; check "
                "the PDE's parameters and the units of the readings"
            )
        return found
