"""Truths of a calibration, and simulated readings of them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd
import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.checks import described
from pdeinv.datasets import PDE, Problem, open_dataset, states
from pdeinv.datasets.unknowns import draw_numbers
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.posterior import Posterior
from pdeinv.sensors import Sensors
from pdeinv.sensors.noise_levels import NoiseLevels

__all__ = ["FileTruths", "PriorTruths", "Readings", "Truth", "Truths", "simulated"]

_EACH = 10**6  # draws of a seed
_STREAMS = 2  # of random numbers in a draw: those of the fields, and all others


class Truth(NamedTuple):
    """A state and the numbers behind it.

    Arguments:
        physics: the PDE, with the fields that are read and scored.
        grid: of the state.
        state: (1, channel, ny, nx).
        numbers: values of the numbers that were drawn too, by their names.
        generator: for more random numbers of the same draw.
    """

    physics: PDE
    grid: Grid
    state: torch.Tensor
    numbers: dict[str, float]
    generator: torch.Generator

    def fields(self) -> xr.Dataset:
        """Return the fields in the form of a result's means."""
        state = self.state[0]
        return Posterior(self.physics.fields, self.grid, state, state, state[None]).to_xarray()


@dataclass(frozen=True)
class PriorTruths:
    """Draws of a problem: its unknown numbers of their laws, then its coefficient.

    A range in units of what readings imply is taken in the coefficient's units, since nothing was
    read yet.

    Arguments:
        problem: the problem; its grid is that of the truths.
    """

    problem: Problem
    most = _EACH

    @property
    def grid(self) -> Grid:
        """The grid of the truths."""
        given, physics = self.problem.grid, self.problem.physics
        return given if isinstance(given, Grid) else physics.grid(given)

    def truth(self, fields: Sequence[str], times: Sequence[float], seed: int, i: int) -> Truth:
        """Return truth i of a seed, with channels of these fields at these times.

        Raises:
            InputError: the prior cannot be drawn from.
        """
        of_fields, further = _generators(seed, i)
        problem, numbers = draw_numbers(self.problem, further)
        physics = problem.physics.reading(fields, times)
        state = replace(problem, physics=physics).sample(1, self.grid, of_fields)
        return Truth(physics, self.grid, state, numbers, further)


@dataclass(frozen=True)
class FileTruths:
    """The coefficients of a dataset, and their solutions.

    Arguments:
        coefficients: (n, 1, ny, nx).
        physics: of the solutions.
        grid: of the coefficients.
    """

    coefficients: torch.Tensor
    physics: PDE
    grid: Grid

    @classmethod
    def read(cls, path: str | os.PathLike, physics: PDE) -> FileTruths:
        """Return the truths of a file.

        Raises:
            InputError: it cannot be read, or does not hold the fields of the physics.
        """
        with open_dataset(path, pde=physics) as dataset:
            found = states(dataset, physics)[:, :1]
        return cls(found, physics, physics.grid(*found.shape[-2:]))

    @property
    def most(self) -> int:
        """Number of truths."""
        return len(self.coefficients)

    def truth(self, fields: Sequence[str], times: Sequence[float], seed: int, i: int) -> Truth:
        """Return truth i; the arguments are as of `PriorTruths.truth`."""
        physics, a = self.physics.reading(fields, times), self.coefficients[i : i + 1]
        state = torch.cat([a, physics.respond(a)], dim=1)
        return Truth(physics, self.grid, state, {}, _generators(seed, i)[1])


Truths = PriorTruths | FileTruths
"""Where truths come from."""


def _generators(seed: int, i: int) -> list[torch.Generator]:
    first = _STREAMS * (_EACH * seed + i)
    return [seeds.generator(seeds.TEST, first + k) for k in range(_STREAMS)]


@dataclass(frozen=True)
class Readings:
    """What is read of each truth.

    Arguments:
        sensors: the places and what is read there; the values are not used.
        noise: of rows without a standard deviation, as of `reconstruct`.

    Raises:
        InputError: the table has replicates or limits of detection.
    """

    sensors: Sensors
    noise: NoiseLevels | None

    def __post_init__(self) -> None:
        for column, what in (("replicate", "replicates"), ("censored", "limits of detection")):
            cells = self.sensors.table.get(column, pd.Series(dtype=object))
            if any(cell != "" for cell in cells):
                raise InputError(
                    f"the sensors of a calibration must have no {what}, got a column {column}; "
                    f"drop its cells"
                )

    def times(self, physics: PDE) -> list[float]:
        """Return the times of the readings."""
        return [t for t in dict.fromkeys(self.sensors.times(physics).tolist()) if not math.isnan(t)]


def simulated(
    readings: Readings, problem: Problem, truth: Truth
) -> tuple[Sensors, NoiseLevels | None, dict[str, float]]:
    """Return readings of a truth with their noise and biases, the noise to state with them, and
    the values of unknown noise and of biases by their names.

    Arguments:
        readings: what is read.
        problem: with the instruments.
        truth: the truth.

    Raises:
        InputError: the readings do not fit the truth, or their noise is not stated.
    """
    table = readings.sensors.table.drop(columns=["censored", "replicate"], errors="ignore")
    plain = Sensors(table.assign(value=0.0, noise_std=1.0))
    instruments = problem.instruments
    blank = plain.observation(truth.physics, truth.grid, instruments=instruments)
    exact = blank(truth.state)[0]
    o = Sensors(table.assign(value=exact.numpy())).observation(
        truth.physics, truth.grid, noise=readings.noise, instruments=instruments
    )
    std, numbers = o.noise_std.clone(), {}
    known = torch.full(std.shape, True)
    for j, (name, unknown) in enumerate(o.unknown_noise):
        mine = o.noise_group == j
        numbers[name] = unknown.at(_normal(1, truth).item())
        std[mine], known[mine] = numbers[name], False
    biases = _normal(o.biases, truth)
    sizes = o.shared.abs().amax(dim=0) if o.biases else biases
    numbers |= dict(zip(o.common_names, (biases * sizes).tolist(), strict=True))
    values = exact + std * _normal(len(std), truth) + (o.shared @ biases if o.biases else 0.0)
    stated = std.masked_fill(~known, math.nan)
    made = Sensors(table.assign(value=values.numpy(), noise_std=stated.numpy()))
    unknown_of = {table.field[i]: "unknown" for i in (~known).nonzero().flatten().tolist()}
    return made, unknown_of or None, numbers


def _normal(n: int, truth: Truth) -> torch.Tensor:
    return torch.randn(n, dtype=torch.float64, generator=truth.generator)


def truths_of(given: Any, problem: Problem, grid: Grid) -> Truths:
    """Return where truths come from: None is the problem itself.

    Arguments:
        given: None, a problem or its TOML file, or a dataset's file.
        problem: that of the reconstruction.
        grid: of its results.

    Raises:
        InputError: it is none of these, or has other fields than the problem.
    """
    if isinstance(given, str | os.PathLike):
        path = os.fsdecode(given)
        if not path.endswith(".toml"):
            return FileTruths.read(path, problem.physics)
        given = Problem.load(path)
    source = problem if given is None else given
    if not isinstance(source, Problem):
        raise InputError(
            f"truths must be a Problem, its file or a dataset's file, got {described(source)}; "
            f"give one of these"
        )
    _check_same(source, problem)
    return PriorTruths(replace(source, grid=grid))


def _check_same(source: Problem, problem: Problem) -> None:
    """Refuse truths of another domain or of other fields."""
    pairs: Mapping[str, tuple[Any, Any]] = {
        "domain": (source.physics.domain, problem.physics.domain),
        "fields": (_names(source), _names(problem)),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise InputError(
                f"truths must have the {what} of the problem, {_shown(ours)}, got "
                f"{_shown(theirs)}; change one of them"
            )


def _names(problem: Problem) -> tuple[str, ...]:
    return tuple(dict.fromkeys(field.name for field in problem.physics.fields))


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
