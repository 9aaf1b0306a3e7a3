"""What a result states of its problem and of its readings, so that both can be made again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from pdeinv.coefficients import Conditioned
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.external import named_by_data
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.problems.loading import parse_problem
from pdeinv.problems.saving import problem_text
from pdeinv.sensors import Sensors
from pdeinv.sensors.instruments import instruments_of

__all__ = ["Turn", "problem_attributes"]

_COLUMNS = (
    *("field", "x", "y", "value", "noise_std", "experiment", "time"),
    *("kind", "radius", "x2", "y2", "censored", "instrument"),
)
_LARGEST = 1_000_000  # characters of a text that each result then has
_ROOT = Path(os.sep)


def problem_attributes(problem: Problem, grid: Grid) -> dict[str, str]:
    """Return the attributes of a result that state its problem: `problem`, as the text of a problem
    file, and, after earlier readings, `earlier_readings`. There are none where no file can hold the
    problem, or its text is very long.

    Names of files in the text are relative to the root of the file system.

    Arguments:
        problem: with its prior.
        grid: of the result.
    """
    attributes, prior = {}, problem.prior
    if isinstance(prior, Conditioned):
        if not prior.turns:
            return {}
        attributes["earlier_readings"] = f"[{', '.join(prior.turns)}]"
        problem = replace(problem, prior=prior.base)
    try:
        attributes["problem"] = problem_text(replace(problem, grid=grid), _ROOT)
    except InputError:
        return {}
    return attributes if len(attributes["problem"]) < _LARGEST else {}


@dataclass(frozen=True)
class Turn:
    """Readings of one result, with the problem before any readings and the solver.

    Arguments:
        problem: the text of its file.
        solver: its name.
        settings: of the solver, by name.
        readings: the table, a list for each column, with None for a missing number.
    """

    problem: str
    solver: str
    settings: dict[str, Any]
    readings: dict[str, list[Any]]

    @classmethod
    def of(cls, result: xr.Dataset) -> Turn:
        """Return the turn of a result; its `problem` is empty where the result states none."""
        columns = {}
        for name in _COLUMNS:
            if (variable := f"sensor_{name}") in result:
                columns[name] = result[variable].values.copy()
        if "sensor_weight" in result:
            columns["noise_std"] = columns["noise_std"] / np.sqrt(result["sensor_weight"].values)
        if "sensor_bias_std" in result:
            columns["bias_std"] = result["sensor_bias_std"].values
        elif "instrument" in columns:
            del columns["instrument"]
        made = result.attrs
        return cls(
            str(made.get("problem", "")),
            str(made["solver"]),
            json.loads(made["solver_settings"]),
            {name: _plain(values) for name, values in columns.items() if not _missing(values)},
        )

    @classmethod
    def earlier(cls, result: xr.Dataset) -> list[Turn]:
        """Return the turns before a result."""
        return [cls(**stated) for stated in json.loads(result.attrs.get("earlier_readings", "[]"))]

    def to_text(self) -> str:
        """Return the turn as JSON."""
        return json.dumps(asdict(self))

    def stated_problem(self) -> Problem:
        """Return the problem, with its prior before any readings."""
        with named_by_data():  # the result may be a file of another person's
            return parse_problem(self.problem, _ROOT, "the problem of the result")

    def observed(self, problem: Problem) -> tuple[Problem, Observation]:
        """Return a problem with the physics of the fields that the readings are of, and them.

        Arguments:
            problem: with the grid of the result.
        """
        table = pd.DataFrame(self.readings)
        biases = table.pop("bias_std") if "bias_std" in table else None
        instruments = {}
        if biases is not None:
            stated = dict(zip(table["instrument"], biases, strict=True))
            instruments = {name: std for name, std in stated.items() if np.isfinite(std)}
            table.loc[biases.isna(), "instrument"] = ""
        sensors, physics = Sensors(table, origin="the earlier readings"), problem.physics
        times = sensors.times(physics)
        read = physics.reading([*table["field"].unique()], times[~np.isnan(times)].tolist())
        grid = problem.grid if isinstance(problem.grid, Grid) else read.grid(problem.grid)
        observation = sensors.observation(
            read, read.check_grid(grid), instruments=instruments_of(instruments)
        )
        return replace(problem, physics=read), observation


def _missing(values: np.ndarray) -> bool:
    """Whether all numbers of a column are missing."""
    return values.dtype.kind == "f" and bool(np.isnan(values).all())


def _plain(values: np.ndarray) -> list[Any]:
    """Return the values of a column as JSON has them."""
    return [None if value != value else value for value in values.tolist()]
