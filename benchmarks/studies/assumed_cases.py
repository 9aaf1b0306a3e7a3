"""Truths of the studies of what is assumed, and their reconstructions."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import pandas as pd
import torch
import xarray as xr

from pdeinv import layouts, seeds
from pdeinv.datasets import Problem
from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.sensors import Sensors
from pdeinv.solvers import MisfitWarning, Solver, reconstruct
from pdeinv.torch_state import one_thread

__all__ = ["NOISE", "SAMPLES", "Case", "Reads", "Setting", "Size", "Solved", "draw_case", "solve"]

NOISE = 0.01
"""Standard deviation of the noise, relative to that of the field that is read."""
_FIRST = 2**29  # number of the first truth among the test instances
SAMPLES = 19
"""Posterior samples of each reconstruction."""
_LEAST_SECONDS = 1e-3


class Size(NamedTuple):
    """The size of a study's problems.

    Arguments:
        grid: nodes along each side.
        sensors: number of readings.
    """

    grid: int = 64
    sensors: int = 125


class Reads(NamedTuple):
    """So many readings of a field at random nodes, at a time or at the end."""

    field: str
    number: int
    time: float | None = None


@dataclass(frozen=True)
class Setting:
    """What a reconstruction takes as known.

    Arguments:
        problem: the physics and the prior.
        solver: its name, or an instance.
        options: further ones of `pdeinv.reconstruct`.
        spoil: returns the sensors with what is wrong with them.
    """

    problem: Problem
    solver: str | Solver = "auto"
    options: Mapping[str, Any] = field(default_factory=dict)
    spoil: Callable[[Sensors], Sensors] | None = None


@dataclass(frozen=True)
class Case:
    """A truth, its readings, and what its reconstructions take as known.

    Arguments:
        world: the problem that drew it, whose state has a channel for each field that is read.
        grid: of the state.
        state: (1, channel, ny, nx).
        sensors: noisy readings.
        settings: by their names.
        scored: names of the fields that are scored.
        numbers: the values of its numbers, by the names that a result has for them.
    """

    world: Problem
    grid: Grid
    state: torch.Tensor
    sensors: Sensors
    settings: Mapping[str, Setting]
    scored: tuple[str, ...]
    numbers: Mapping[str, float] = field(default_factory=dict)


def draw_case(
    world: Problem,
    reads: Sequence[Reads],
    size: Size,
    instance: int,
    settings: Mapping[str, Setting],
    numbers: Mapping[str, float] | None = None,
    noise: float = NOISE,
) -> Case:
    """Return a case: a draw of a problem, read at random nodes of its own grid.

    Arguments:
        world: the problem, of known numbers.
        reads: what is read; readings of one time share no place.
        size: of the problem.
        instance: number of the truth.
        settings: of its reconstructions.
        numbers: of the truth.
        noise: relative to the standard deviation of each field.
    """
    times = sorted({read.time for read in reads if read.time is not None})
    physics = world.physics.reading([read.field for read in reads], times)
    logarithm = physics.logarithm if world.coefficient_prior.logarithmic else None
    if logarithm:
        physics = physics.reading([*(read.field for read in reads), logarithm.name], times)
    world = replace(world, physics=physics)
    grid = physics.grid(size.grid)
    generator = seeds.generator(seeds.TEST, _FIRST + instance)
    state = world.sample(1, grid, generator)
    tables = []
    for k, read in enumerate(reads):
        channel = physics.channel(read.field, "", read.time)
        points = torch.as_tensor(layouts.random_nodes(read.number, grid, seed=1000 * instance + k))
        std = noise * float(state[0, channel].std())
        order = tuple(f.interpolation_order for f in physics.fields)
        one = torch.full((read.number,), std, dtype=torch.float64)
        o = Observation(grid, points, torch.full((read.number,), channel), 0 * one, one, order)
        values = o(state)[0] + std * torch.randn(
            read.number, generator=generator, dtype=torch.float64
        )
        x, y = points.T.numpy()
        table = {"field": read.field, "x": x, "y": y, "value": values.numpy(), "noise_std": std}
        tables.append(pd.DataFrame(table | ({} if read.time is None else {"time": read.time})))
    sensors = Sensors(pd.concat(tables, ignore_index=True))
    coefficient = logarithm.name if logarithm else physics.coefficient_field.name
    scored = (coefficient, physics.solution_field.name)
    return Case(world, grid, state, sensors, settings, scored, numbers or {})


class Solved(NamedTuple):
    """A result, None where the solver failed, with the text of its alarm and its seconds of one
    processor."""

    result: xr.Dataset | None
    alarm: str
    seconds: float


def solve(case: Case, setting: Setting, instance: int) -> Solved:
    """Return the reconstruction of a case, with one thread."""
    sensors = setting.spoil(case.sensors) if setting.spoil else case.sensors
    start = time.process_time()
    with one_thread(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = reconstruct(
                sensors,
                problem=setting.problem,
                grid=case.grid,
                solver=setting.solver,
                n_samples=SAMPLES,
                seed=instance,
                **setting.options,
            )
        except NumericalError as error:
            return Solved(None, f"failed: {error}", _seconds_since(start))
    alarms = [str(one.message) for one in caught if issubclass(one.category, MisfitWarning)]
    return Solved(found, "; ".join(alarms), _seconds_since(start))


def _seconds_since(start: float) -> float:
    return max(_LEAST_SECONDS, round(time.process_time() - start, 3))
