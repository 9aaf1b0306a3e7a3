"""A plan that solves each table, if it can from where the search for the last one ended."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

import pdeinv.solvers as solvers
from pdeinv.datasets import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.sensors import Sensors
from pdeinv.solvers.plans.layout import with_readings
from pdeinv.solvers.plans.plan import Plan
from pdeinv.solvers.reconstruction import Run
from pdeinv.solvers.results import reading_columns

__all__ = ["EachPlan"]


class EachPlan(Plan):
    """A plan whose solver solves each table, starting at the mode of the last one if it can.

    Arguments:
        sensors, problem: as of `Plan`.
        run: the solver with the problem.
        observation: the sensors.
        settings: further arguments of `prepare`, by name, with the seed of each table.
        mode: where the first search starts, (1, size); None for the solver's own start.
    """

    def __init__(
        self,
        sensors: Sensors,
        problem: Problem,
        run: Run,
        observation: Observation,
        settings: dict[str, Any],
        mode: torch.Tensor | None = None,
    ):
        super().__init__(sensors, problem)
        self.run, self.settings, self.mode = run, settings, mode
        self.seed = int(settings["seed"])
        self._columns = reading_columns(sensors, observation, run.pde)

    @property
    def method(self) -> str:  # type: ignore[override]
        return "solve afresh" if self.mode is None else "search from the last mode"

    def stored(self) -> xr.Dataset:
        solver = self.run.solver
        try:
            text = json.dumps(solver.settings())
            given = json.dumps(self.settings)
            same = solvers.SOLVERS.get(solver.name) is type(solver)
            same = same and type(solver)(**json.loads(text)) == solver
        except (TypeError, ValueError):
            same = False
        if not same:
            raise InputError(
                f"a plan in a file must be of numbers and texts, got settings of the {solver.name} "
                f"solver or of the noise that are none; use the plan in Python, or prepare it with "
                f"a named solver and numbers as noise"
            )
        settings = json.loads(given)
        settings |= {"solver": solver.name, "solver_settings": json.loads(text)}
        stored = xr.Dataset({"plan_settings": ((), json.dumps(settings))})
        if self.mode is None:
            return stored
        return stored.assign(plan_mode=(("plan_table", "plan_unknown"), self.mode.numpy()))

    def _results(self, rows: np.ndarray, samples: bool) -> list[xr.Dataset]:
        results = [self._of_table(values) for values in rows]
        return results if samples else [one.drop_dims("sample") for one in results]

    def _of_table(self, values: np.ndarray) -> xr.Dataset:
        sensors = with_readings(self.sensors, values)
        observation = self.run.observe(sensors)
        found = self._solved(observation)
        self.run.judge(found, sensors, observation)
        self.mode = found.mode
        result = self.run.dataset(found, sensors, observation, self.seed)
        given = np.flatnonzero(~np.isnan(values))
        return result if len(given) == len(values) else self._with_missing(result, given)

    def _solved(self, observation: Observation) -> Posterior:
        """The posterior by a search from the last mode; by one from the solver's own start where
        there is no other, or where the search from there fails."""
        if self.mode is not None:
            warm = replace(self.run, solver=self.run.solver.starting_at(self.mode))
            with suppress(InputError, NumericalError):  # of a state far from any medium
                found = warm.solved(observation, self.seed)
                if found.record.get("converged", 1):
                    return found
        return self.run.solved(observation, self.seed)

    def _with_missing(self, result: xr.Dataset, given: np.ndarray) -> xr.Dataset:
        """Return a result with all sensors of the layout: nan as value of a missing one."""
        m = len(self.sensors)
        whole = result.assign_coords(sensor=given).reindex(sensor=np.arange(m))
        whole = whole.drop_vars("sensor")
        missing = np.setdiff1d(np.arange(m), given)
        for name, column in self._columns.items():
            if name != "value" and f"sensor_{name}" in whole:
                whole[f"sensor_{name}"].values[missing] = column.to_numpy()[missing]
        return whole
