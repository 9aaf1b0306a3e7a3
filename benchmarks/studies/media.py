"""Log-normal media seen by heads and a few conductivities, for comparisons with long chains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from pdeinv import layouts, seeds
from pdeinv.benchmarks.tasks import MOST_INSTANCES, TEST_SEEDS
from pdeinv.coefficients import LogNormal
from pdeinv.datasets import Darcy, NoFlux, Problem, Sides, Value, Well
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.observation import Observation

__all__ = ["MediumTask"]

_LENGTH = 0.3  # of the logarithm's correlation
_OF_HEADS = 7  # readings, of which one is of the conductivity
_COARSER = 10.0  # relative noise of a conductivity over that of a head


@dataclass(frozen=True)
class MediumTask:
    """Flow across the unit square, from the left to the right and to a well, in a log-normal medium
    of median 1.

    One in seven sensors reads the conductivity, the others the head, at random points. What is
    scored is the logarithm of the conductivity.

    Arguments:
        log_std: standard deviation of the logarithm.
        grid: nodes per side.
        sensors: number of readings.
        noise: standard deviation of a head's noise, relative to that of the heads over the
            instance. That of a conductivity is ten times as large, relative to its value.
        seed: as of a `Task`.
    """

    log_std: float
    grid: int = 24
    sensors: int = 35
    noise: float = 0.01
    seed: int = 0

    pde = "darcy"
    kind = "both"
    scored = (2,)

    def __post_init__(self) -> None:
        if self.seed not in TEST_SEEDS:
            raise InputError(
                f"the seed of a task must be from 0 to {TEST_SEEDS[-1]}, got {self.seed}; use one "
                f"of them"
            )

    @property
    def variant(self) -> str:
        """The task in words, in records."""
        return f"log-normal, standard deviation {self.log_std:g}"

    @cached_property
    def problem(self) -> Problem:
        """The problem that draws the instances and that the solvers are given."""
        physics = Darcy(
            source=0.0,  # type: ignore[arg-type]  # converted
            boundary=Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux()),
            wells=(Well(0.4, 0.6, rate=-0.3),),
            method="direct",
            coefficient_field=Field("conductivity", "conductivity"),
            solution_field=Field("head", "head"),
            outputs=("log_conductivity",),
        )
        return Problem(physics, LogNormal(1.0, self.log_std, _LENGTH), self.grid)

    def instance(self, i: int) -> tuple[torch.Tensor, Observation]:
        """Return the true state (3, n, n) of instance i and its observation."""
        number = MOST_INSTANCES * self.seed + i
        pde, generator = self.problem.physics, seeds.generator(seeds.TEST, number)
        grid, of_medium = pde.grid(self.grid), self.sensors // _OF_HEADS
        truth = self.problem.sample(1, grid, generator)
        points = torch.from_numpy(layouts.random(self.sensors, number))
        channel = (torch.arange(self.sensors) >= of_medium).long()
        order = tuple(f.interpolation_order for f in pde.fields)
        zeros = torch.zeros(self.sensors, dtype=torch.float64)
        exact = Observation(grid, points, channel, zeros, zeros, order)(truth)[0]
        std = self.noise * torch.where(channel == 0, _COARSER * exact.abs(), truth[0, 1].std())
        values = exact + std * torch.randn(self.sensors, dtype=torch.float64, generator=generator)
        return truth[0], Observation(grid, points, channel, values, std, order)
