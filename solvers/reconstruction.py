"""The door: from a table of sensors and the name of a PDE to both fields, as an xarray Dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO

import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDE, Problem
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.quantities.table import (
    Wanted,
    check_quantities,
    with_quantities,
)
from pdeinv.result import Result
from pdeinv.sensors import Sensors
from pdeinv.sensors.instruments import Instruments
from pdeinv.sensors.noise_levels import NoiseLevels
from pdeinv.sensors.sources import SensorTable
from pdeinv.solvers.alarms import judge_misfit, judge_weights
from pdeinv.solvers.base import Solver
from pdeinv.solvers.holdout import parse_share, split_readings, with_predicted
from pdeinv.solvers.parameter_columns import with_inferred_noise
from pdeinv.solvers.replicates import ALONE, Helpers, checked_helpers, reconstruct_each
from pdeinv.solvers.results import reading_columns, result_of
from pdeinv.solvers.robust import Robust
from pdeinv.solvers.selection import solver_for, with_options
from pdeinv.solvers.stated_problem import (
    checked_numbers,
    physics_read,
    resolve_problem,
    sources_of,
)
from pdeinv.solvers.turns.recorded import problem_attributes
from pdeinv.torch_state import checked_device

__all__ = ["Run", "reconstruct"]


def reconstruct(
    sensors: Sensors | str | os.PathLike | IO | SensorTable,
    pde: str | PDE | Sequence[str | PDE] | None = None,
    *,
    problem: Problem | str | os.PathLike | None = None,
    noise: NoiseLevels | None = None,
    instruments: Instruments | None = None,
    grid: int | Grid | None = None,
    solver: str | Solver = "auto",
    prior: Prior | str | os.PathLike | None = None,
    robust: bool = False,
    equireg: bool = False,
    steps: int | None = None,
    preset: str | None = None,
    n_samples: int = 16,
    seed: int = 0,
    holdout: float | str | None = None,
    quantities: Wanted | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
    device: str | torch.device = "cpu",
) -> Result:
    """Reconstruct the coefficient and the solution of a PDE from sensors, with uncertainty.

    Arguments:
        sensors: a table with the columns field, x, y, value and, if need be, noise_std; or a file.
        pde: a name such as `"darcy"`, "file.py:Class", an instance; a list for several experiments.
        problem: a `Problem` or its file, in place of `pde`.
        noise: of readings without noise_std, as `pdeinv.sensors.NoiseLevels`; None is exact.
        instruments: whose readings share a bias, as `{"probe A": 2}`; None: the problem's.
        grid: nodes on the shorter side, at least 16, or a `Grid`; None is the problem's, or 64.
        solver: a name in `pdeinv.solvers.SOLVERS`, an instance, `"file.py:name"`, or `"auto"`.
        prior: of `pdeinv.coefficients` or `pdeinv.priors`, a file or a name; None: the problem's.
        robust, equireg: allow for gross errors of readings (`Robust`); add `EquiReg()` to a solver.
        steps, preset: of a solver by diffusion: as many as published, and "default", if not given.
        n_samples, seed, progress: number of samples; seed of all randomness; a bar for long work.
        holdout, quantities: a share of the sensors, see `with_predicted`; see `with_quantities`.
        workers, scheduler, device: of replicates, see `checked_helpers`; of torch, as "cuda".

    Returns:
        The fields, `sensor_*`, what `with_site` adds, and attributes; see also `reconstruct_each`.

    Raises:
        InputError, NumericalError: the input cannot be used; the computation failed on valid input.

    Example:
        >>> table = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]}
        >>> reconstruct(table, "poisson", noise=1e-4, grid=16).potential_mean.shape
        (16, 16)
    """
    posed = resolve_problem(pde, problem, prior, instruments)
    chosen = _solver(solver, posed, equireg, steps, preset)
    n_samples, seed = checked_numbers(n_samples, seed)
    wanted = check_quantities(quantities, n_samples)
    pde, nodes = physics_read(table := Sensors.read(sensors), posed, grid, n_samples, wanted)
    given = (noise, posed, n_samples, progress, sources_of(posed, prior, solver))
    more = parse_share(holdout), robust, checked_helpers(workers, scheduler)
    run = Run(chosen, pde, posed.prior, nodes, *given, *more, checked_device(device, torch.float64))
    return with_quantities(Result.of(run.of_table(table, seed)), wanted)


def _solver(
    given: str | Solver, posed: Problem, equireg: bool, steps: int | None, preset: str | None
) -> Solver:
    """Return the solver with its options, which can solve the problem."""
    chosen = with_options(solver_for(given, posed.physics, posed.prior), equireg, steps, preset)
    chosen.check(posed.physics, posed.prior)
    return chosen


@dataclass(frozen=True)
class Run:
    """A solver with all that it needs but the readings and the seed."""

    solver: Solver
    pde: PDE
    prior: Prior
    grid: Grid
    noise: NoiseLevels | None
    posed: Problem
    n_samples: int
    progress: bool
    sources: dict[str, str]
    holdout: float | None = None
    robust: bool = False
    helpers: Helpers = ALONE
    device: torch.device | str = "cpu"

    def of_table(self, sensors: Sensors, seed: int) -> xr.Dataset:
        """Return the result of all readings of a table, with replicates or without."""
        parts = sensors.by_replicate()
        if parts and self.holdout is not None:
            raise InputError(
                f"holdout must be left out for a table of {len(parts)} replicates, got "
                f"{self.holdout:g}; reconstruct each of them by itself"
            )
        if parts:
            # Other processes have no place for bars
            solve = (replace(self, progress=False) if self.helpers.any else self).solve
            given = parts, self.observe, solve, seed, self.progress
            return reconstruct_each(*given, self.helpers)
        observation = self.observe(sensors)
        if self.holdout is None:
            return self.solve(sensors, observation, seed)
        return self.solve_some(sensors, observation, seed, self.holdout)

    def observe(self, sensors: Sensors) -> Observation:
        """Return the checked readings of sensors."""
        bounds = self.prior.bounds if isinstance(self.prior, CoefficientPrior) else None
        return sensors.observation(
            self.pde, self.grid, noise=self.noise, bounds=bounds, instruments=self.posed.instruments
        )

    def solve(self, sensors: Sensors, observation: Observation, seed: int) -> xr.Dataset:
        """Return the result of readings, with a seed."""
        return self.dataset(self._posterior(sensors, observation, seed), sensors, observation, seed)

    def solve_some(
        self, sensors: Sensors, observation: Observation, seed: int, share: float
    ) -> xr.Dataset:
        """Return the result of most of the readings, with predictions of the others.

        Arguments:
            share: of the sensors that are left out.
        """
        split = split_readings(sensors.table, observation, share, seed)
        kept, left = (observation.subset(torch.from_numpy(rows)) for rows in split)
        sensors_kept, sensors_left = (sensors.of_rows(rows) for rows in split)
        found = self._posterior(sensors_kept, kept, seed)
        result = self.dataset(found, sensors_kept, kept, seed)
        table = reading_columns(sensors_left, with_inferred_noise(left, found), self.pde)
        return with_predicted(result, table, left, found)

    def _posterior(self, sensors: Sensors, observation: Observation, seed: int) -> Posterior:
        found = self.solved(observation, seed)
        self.judge(found, sensors, observation)
        return found

    def judge(self, found: Posterior, sensors: Sensors, observation: Observation) -> None:
        """Record whether a posterior fits its readings, with a warning where it does not."""
        given = self.pde, self.prior, sensors, observation
        if self.robust:
            judge_weights(found, *given)
        else:
            judge_misfit(self.solver, found, *given, progress=self.progress)

    def solved(self, observation: Observation, seed: int) -> Posterior:
        """Return the posterior, which nothing has judged."""
        solve = Robust(self.solver) if self.robust else self.solver
        found = solve(
            self.pde,
            self.prior,
            observation.to(self.device),
            n_samples=self.n_samples,
            generator=seeds.generator(seeds.SOLVER, seed),
            progress=self.progress,
        )
        return found.to("cpu")

    def dataset(
        self, found: Posterior, sensors: Sensors, observation: Observation, seed: int
    ) -> xr.Dataset:
        stated = self.sources | problem_attributes(self.posed, self.grid)
        return result_of(
            found, self.solver, self.pde, self.prior, sensors, observation, seed, stated
        )
