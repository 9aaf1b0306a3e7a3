"""Ready-made problems, each with a table of sensors of a truth that its own prior draws."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pdeinv import layouts
from pdeinv.checks import described
from pdeinv.datasets import PDE, Problem
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.problems.loading import load_problem
from pdeinv.problems.truths import draw_truth
from pdeinv.sensors import Sensors

__all__ = ["EXAMPLES", "Example", "Readings", "Truth", "example_by_name"]

_FROM_WELLS = 2.0  # cells of the result's grid: a borehole next to a well reads its discretisation
_TEST_TIMES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)  # days since pumping began
_DIGITS = 100  # of the noise: steps to which values are rounded


@dataclass(frozen=True)
class Readings:
    """Readings of one field at random points.

    Arguments:
        field: name of the field.
        count: number of points.
        noise_std: standard deviation of the noise of each reading.
        times: at which each point is read; once if there is none.
        experiments: in which each point is read; none for a field that all share, or where the
            physics has no experiments.
    """

    field: str
    count: int
    noise_std: float
    times: tuple[float, ...] = ()
    experiments: tuple[str, ...] = ()

    @property
    def places(self) -> list[tuple[str, float | None]]:
        """The experiment and the time of each reading of a point."""
        return [(name, t) for name in self.experiments or ("",) for t in self.times or (None,)]


class Truth(NamedTuple):
    """A draw of a problem's prior and its readings.

    Arguments:
        problem: the problem, whose state has a channel for each field that is read.
        grid: a grid twice as fine as the problem's.
        state: (1, channel, ny, nx) on that grid.
        sensors: noisy readings of the state.
        drawn: the physics with the draws of its uncertain quantities.
    """

    problem: Problem
    grid: Grid
    state: torch.Tensor
    sensors: Sensors
    drawn: PDE


@dataclass(frozen=True)
class Example:
    """A problem in a file of the package, and what is measured.

    Arguments:
        name: of the file, without its ending.
        summary: one line for people.
        readings: what is measured.
    """

    name: str
    summary: str
    readings: tuple[Readings, ...]

    @property
    def text(self) -> str:
        """The TOML file, with comments."""
        return (resources.files("pdeinv.problems") / f"{self.name}.toml").read_text("utf-8")

    @cached_property
    def problem(self) -> Problem:
        """The problem of the file."""
        file = resources.files("pdeinv.problems") / f"{self.name}.toml"
        with resources.as_file(file) as path:
            return load_problem(path)

    def truth(self, number: int = 0) -> Truth:
        """Return a truth and its readings; the same for the same number.

        Arguments:
            number: counts the truths from 0, which is that of `pdeinv problem`.
        """
        times = {time for read in self.readings for time in read.times}
        drawn = draw_truth(
            self.problem, [read.field for read in self.readings], sorted(times), number
        )
        problem, coarse, fine, state, truth, generator, *_ = drawn
        physics = problem.physics
        points = self._points(problem, coarse, number)
        rows = self._rows()
        points = points[[point for point, _, _, _ in rows]]
        channel = torch.tensor([physics.channel(read.field, name, t) for _, read, name, t in rows])
        std = torch.tensor([read.noise_std for _, read, _, _ in rows], dtype=torch.float64)
        order = tuple(f.interpolation_order for f in physics.fields)
        blank = Observation(
            fine, torch.from_numpy(points), channel, torch.zeros_like(std), std, order
        )
        noise = torch.randn(len(std), generator=generator, dtype=torch.float64)
        values = blank(state)[0] + std * noise
        table = {
            "field": [physics.fields[c].name for c in channel.tolist()],
            "x": points[:, 0],
            "y": points[:, 1],
            "value": [_rounded(v, s / _DIGITS) for v, s in zip(values.tolist(), std, strict=True)],
            "noise_std": std.numpy(),
        }
        if physics.experiments:
            table["experiment"] = [name for _, _, name, _ in rows]
        if times:
            table["time"] = [time for _, _, _, time in rows]
        return Truth(problem, fine, state, Sensors(pd.DataFrame(table)), truth)

    def _rows(self) -> list[tuple[int, Readings, str, float | None]]:
        """Return the number of the point, what is read there, in which experiment and when, for
        each reading."""
        rows: list[tuple[int, Readings, str, float | None]] = []
        first = 0
        for read in self.readings:
            points = range(first, first + read.count)
            rows += [(point, read, *place) for place in read.places for point in points]
            first += read.count
        return rows

    def _points(self, problem: Problem, grid: Grid, number: int) -> np.ndarray:
        """Return random positions, not near a well, in a few digits, one for each."""
        domain, count = problem.physics.domain, sum(read.count for read in self.readings)
        points = layouts.random(4 * count, number, domain)
        points = np.round(points, 3 - math.floor(math.log10(domain.shorter)))
        physics = problem.physics.experiments.values() or (problem.physics,)
        for well in (well for one in physics for well in one.parameters.get("wells", ())):
            away = np.abs(points - [well.x, well.y]) / [grid.hx, grid.hy]
            points = points[away.max(axis=1) > _FROM_WELLS]
        return points[:count]


def _rounded(value: float, step: float) -> float:
    return round(value, max(0, -math.floor(math.log10(step))))


def example_by_name(name: str) -> Example:
    """Return the example of a name.

    Arguments:
        name: a name in `EXAMPLES`.

    Raises:
        InputError: there is none.
    """
    if name not in EXAMPLES:
        plain = str(name).lower().replace("_", "-")
        near = difflib.get_close_matches(plain, EXAMPLES, n=1)
        near = near or [one for one in EXAMPLES if plain and one.startswith(plain)]
        raise InputError(
            f"the name of an example must be one of {', '.join(EXAMPLES)}, got {described(name)}; "
            + (f"did you mean {near[0]!r}?" if near else "choose one of them")
        )
    return EXAMPLES[name]


EXAMPLES = {
    example.name: example
    for example in (
        Example(
            "aquifer",
            "hydraulic conductivity of an aquifer with two wells, from heads",
            (
                Readings("head", 40, 0.02),
                Readings("log_hydraulic_conductivity", 10, 0.1),
            ),
        ),
        Example(
            "basin",
            "hydraulic conductivity of a basin of any shape with a lake and a river, from heads",
            (Readings("head", 45, 0.05),),
        ),
        Example(
            "heat-sources",
            "hidden heat sources in a plate, from temperatures",
            (Readings("temperature", 30, 0.1),),
        ),
        Example(
            "pumping-test",
            "hydraulic conductivity around a well, from heads in time after pumping begins",
            (
                Readings("head", 10, 0.01, _TEST_TIMES),
                Readings("log_hydraulic_conductivity", 5, 0.3),
            ),
        ),
        Example(
            "torus-flow",
            "vorticity of a flow at the start, from its vorticity and velocity at the end",
            (
                Readings("final_vorticity", 40, 0.05),
                Readings("velocity_x", 20, 0.01),
                Readings("velocity_y", 20, 0.01),
            ),
        ),
        Example(
            "two-pumping-tests",
            "hydraulic conductivity of an aquifer, from heads while one well pumps, then another",
            (
                Readings("head", 12, 0.02, experiments=("west", "east")),
                Readings("log_hydraulic_conductivity", 5, 0.1),
            ),
        ),
        Example(
            "uncertain-aquifer",
            "hydraulic conductivity, recharge and the head along a side of an aquifer, from heads",
            (
                Readings("head", 40, 0.02),
                Readings("log_hydraulic_conductivity", 10, 0.1),
            ),
        ),
    )
}
"""The examples by name."""
