"""Five further readings at places by `pdeinv.design`, at random ones, and far from all others:
`pdeinv study further-readings`.

Truths are drawn and solved on a grid twice as fine, and the solvers are given the prior's numbers.
All arms have the same first readings, and further ones of the same field with the same noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist

from pdeinv import layouts
from pdeinv.benchmarks.problem_kinds import FURTHER_READINGS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import Values, ratio
from pdeinv.benchmarks.studies.example_scores import measure_missing, score_cells, scores_file
from pdeinv.coefficients import GaussianField
from pdeinv.datasets import Poisson, Problem
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.problems.examples import EXAMPLES, Example, Readings, Truth
from pdeinv.sensors import Sensors
from pdeinv.solvers.design import design

__all__ = ["ARMS", "CASES", "further_readings_table", "run"]

ADDED = 5
ARMS = ("design", "random", "far from all", "none")
"""How the further places are chosen."""
_SEED = 10_000  # of random places, not those of the first readings
_SHOWN = (*FURTHER_READINGS.identity, "error", "spread", "coverage90", "seconds")


@dataclass(frozen=True)
class _Case:
    """A problem, its first readings and what is to become certain.

    Arguments:
        problem: the problem; that of the example of this name if None.
        example: name of the example.
        readings: the first ones; further ones are as the first of them.
        of: the field.
        solver: its name.
    """

    readings: tuple[Readings, ...]
    of: str
    solver: str
    problem: Problem | None = None
    example: str = ""


_SQUARE = Problem(Poisson(), GaussianField(0.0, 1.0, 0.2))
CASES = {
    "poisson": _Case(
        (Readings("potential", 10, 2e-4),),
        "source",
        "gaussian",
        replace(_SQUARE, grid=_SQUARE.physics.grid(33)),
    ),
    "aquifer": _Case(
        (Readings("head", 10, 0.02), Readings("log_hydraulic_conductivity", 3, 0.1)),
        "log_hydraulic_conductivity",
        "gauss-newton",
        example="aquifer",
    ),
}
"""The cases by their names."""


@dataclass(frozen=True)
class _Arm(Example):
    """An example whose truths have further readings."""

    case: _Case = CASES["poisson"]
    arm: str = "none"

    @cached_property
    def problem(self) -> Problem:
        return self.case.problem or EXAMPLES[self.case.example].problem

    def truth(self, number: int = 0) -> Truth:
        """Return a truth with its first readings, and the further ones of the arm."""
        whole = super().truth(number)
        if self.arm == "none":
            return whole
        first, physics = self.readings[0], whole.problem.physics
        points = torch.from_numpy(self._places(whole, first, number))
        channel = torch.full((len(points),), physics.channel(first.field))
        std = torch.full((len(points),), first.noise_std, dtype=torch.float64)
        order = tuple(f.interpolation_order for f in physics.fields)
        exact = Observation(whole.grid, points, channel, 0 * std, std, order)(whole.state)[0]
        noise = np.random.default_rng([_SEED, number]).standard_normal(len(points))
        x, y = points.T.numpy()
        values = exact.numpy() + first.noise_std * noise
        columns = {"x": x, "y": y, "value": values, "noise_std": first.noise_std}
        more = pd.DataFrame({"field": first.field, **columns})
        return whole._replace(sensors=Sensors(pd.concat([whole.sensors.table, more])))

    def _places(self, truth: Truth, first: Readings, number: int) -> np.ndarray:
        """Return the further places, (5, 2)."""
        problem = truth.problem
        domain = problem.physics.domain
        if self.arm == "random":
            return layouts.random(ADDED, _SEED + number, domain)
        if self.arm == "design":
            plan = design(
                truth.sensors,
                problem=problem,
                add=ADDED,
                field=first.field,
                noise_std=first.noise_std,
                of=self.case.of,
                solver=self.case.solver,
                seed=number,
            )
            return np.stack([plan["reading_x"].values, plan["reading_y"].values], axis=1)
        grid = problem.grid
        assert isinstance(grid, Grid)
        places = grid.points().numpy()
        x0, x1, y0, y1 = domain.extent
        x, y = places.T
        aside = 2 * np.minimum.reduce([x - x0, x1 - x, y - y0, y1 - y])  # as in a tiling
        taken = truth.sensors.table.query("field == @first.field")[["x", "y"]].to_numpy()
        for _ in range(ADDED):
            room = np.minimum(cdist(places, taken).min(axis=1), aside)
            farthest = places[room.argmax()]
            taken = np.concatenate([taken, farthest[None]])
        return taken[-ADDED:]


def run(
    out: Path,
    *,
    instances: int = 32,
    cases: Sequence[str] = (),
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the arms on truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        cases: names of `CASES`; all if there is none.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log = scores_file(out, FURTHER_READINGS)
    for name in cases or CASES:
        case = CASES[name]
        for arm in ARMS:
            example = _Arm(name, "", case.readings, case, arm)
            cells = [(case.solver, case.solver, {"case": name, "arm": arm})]
            measure_missing(log, example, instances, cells, _SHOWN, command, echo, (case.of,))
    return log.read()


def further_readings_table(records: list[Record]) -> str:
    """Return the scores of each arm, and its error over that of the design, with standard errors
    over the truths.

    Arguments:
        records: as `pdeinv study further-readings` writes them.
    """
    rows = []
    for case in dict.fromkeys(r["case"] for r in records):
        mine = [r for r in records if r["case"] == case]
        known = [arm for arm in ARMS if any(r["arm"] == arm for r in mine)]
        for arm in known:
            of_arm = [r for r in mine if r["arm"] == arm]
            error, _, predicted, coverage, seconds, count = score_cells(of_arm)
            over = ratio(_errors(mine, arm), _errors(mine, ARMS[0])) if len(of_arm) > 1 else None
            relative = "" if over is None or arm == ARMS[0] else f"{over:.3f}"
            rows.append([case, arm, error, predicted, coverage, relative, seconds, count])
    numbers = [
        *("RMS error", "predicted RMS error", coverage_head(90)),
        *("error over that of the design", "seconds", "truths"),
    ]
    return render_table(["case", "further places"], numbers, rows)


def _errors(records: list[Record], arm: str) -> Values:
    return {r["instance"]: r["error"] for r in records if r["arm"] == arm}
