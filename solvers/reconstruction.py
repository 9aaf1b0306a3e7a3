"""The door: from a table of sensors and the name of a PDE to both fields, as an xarray Dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import IO

import numpy as np
import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.checks import Bounds, described, integer, path_of
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDE, Experiments, Problem, pde_by_name
from pdeinv.datasets.limits import check_solves
from pdeinv.errors import InputError
from pdeinv.external import is_reference, source_of
from pdeinv.grid import LARGEST, Grid
from pdeinv.memory import check_states
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.sensors import Sensors
from pdeinv.sensors.instruments import Instruments, instruments_of
from pdeinv.sensors.noise_levels import NoiseLevels
from pdeinv.sensors.sources import SensorTable
from pdeinv.solvers.alarms import judge_misfit, judge_weights
from pdeinv.solvers.base import Solver
from pdeinv.solvers.holdout import parse_share, split_readings, with_predicted
from pdeinv.solvers.parameter_columns import with_inferred_noise
from pdeinv.solvers.replicates import reconstruct_each
from pdeinv.solvers.results import reading_columns, result_of
from pdeinv.solvers.robust import Robust
from pdeinv.solvers.selection import solver_for, with_options
from pdeinv.solvers.turns.recorded import problem_attributes

__all__ = ["Run", "checked_numbers", "physics_read", "reconstruct", "resolve_problem", "sources_of"]

_COARSEST = 16
_SEEDS = 2**32


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
    progress: bool = False,
) -> xr.Dataset:
    """Reconstruct the coefficient and the solution of a PDE from sensors, with uncertainty.

    Arguments:
        sensors: a table with the columns field, x, y, value and, if need be, noise_std; or a file.
        pde: `"poisson"`, `"helmholtz"`, `"darcy"`, `"navier-stokes"`, "file.py:Class", an instance;
            or a list of these, one for each number from 1 in the column `experiment` of the table.
        problem: a `Problem` or its file, in place of `pde`.
        noise: of readings without noise_std, as `pdeinv.sensors.NoiseLevels`; None is exact.
        instruments: whose readings share a bias, as `{"probe A": 2}`; None: the problem's.
        grid: nodes on the shorter side, at least 16, or a `Grid`; None is the problem's, or 64.
        solver: a name in `pdeinv.solvers.SOLVERS`, an instance, `"file.py:name"`, or `"auto"`.
        prior: of `pdeinv.coefficients`, an `Ensemble`, one of `pdeinv.priors`, its file or shipped
            name, "file.py:name", or None: that of the problem, or the `default_prior` of the PDE.
        robust, equireg: allow for gross errors of readings (`Robust`); add `EquiReg()` to a solver.
        steps, preset: of a solver by diffusion: as many as published, and "default", if not given.
        n_samples, seed: posterior samples in the result, and the seed of all randomness.
        holdout: share of the sensors to leave out and predict, 0.2 or "20%"; see `with_predicted`.
        progress: show a bar for work of more than two seconds.

    Returns:
        Dataset of the fields (also derived ones that sensors read or the prior states), `sensor_*`,
        what `with_site` adds, and attributes; replicates as in `reconstruct_each`.

    Raises:
        InputError: the input cannot be used, with the row or the value and the remedy.
        NumericalError: the computation failed on valid input.

    Example:
        >>> import pdeinv
        >>> table = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]}
        >>> pdeinv.reconstruct(table, "poisson", noise=1e-4, grid=16).potential_mean.shape
        (16, 16)
    """
    posed = resolve_problem(pde, problem, prior, instruments)
    pde, prior, sources = posed.physics, posed.prior, sources_of(posed, prior, solver)
    chosen = with_options(solver_for(solver, pde, prior), equireg, steps, preset)
    chosen.check(pde, prior)
    n_samples, seed = checked_numbers(n_samples, seed)
    pde, nodes = physics_read(table := Sensors.read(sensors), posed, grid, n_samples)
    given = (noise, posed, n_samples, progress, sources, parse_share(holdout), robust)
    return Run(chosen, pde, prior, nodes, *given).of_table(table, seed)


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

    def of_table(self, sensors: Sensors, seed: int) -> xr.Dataset:
        """Return the result of all readings of a table, with replicates or without."""
        parts = sensors.by_replicate()
        if parts and self.holdout is not None:
            raise InputError(
                f"holdout must be left out for a table of {len(parts)} replicates, got "
                f"{self.holdout:g}; reconstruct each of them by itself"
            )
        if parts:
            return reconstruct_each(parts, self.observe, self.solve, seed, self.progress)
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
        return solve(
            self.pde,
            self.prior,
            observation,
            n_samples=self.n_samples,
            generator=seeds.generator(seeds.SOLVER, seed),
            progress=self.progress,
        )

    def dataset(
        self, found: Posterior, sensors: Sensors, observation: Observation, seed: int
    ) -> xr.Dataset:
        stated = self.sources | problem_attributes(self.posed, self.grid)
        return result_of(
            found, self.solver, self.pde, self.prior, sensors, observation, seed, stated
        )


def _further_fields(pde: PDE, prior: Prior) -> tuple[str, ...]:
    """Return the names of derived fields that the result has though no sensor may read them."""
    if isinstance(prior, CoefficientPrior) and prior.logarithmic and pde.logarithm:
        return (pde.logarithm.name,)
    return ()


def resolve_problem(
    pde: str | PDE | Sequence[str | PDE] | None,
    problem: Problem | str | os.PathLike | None,
    prior: Prior | str | os.PathLike | None,
    instruments: Instruments | None,
) -> Problem:
    if (pde is None) == (problem is None):
        both = "both" if pde is not None else "neither"
        raise InputError(f"pde or problem must be given, got {both}; give one of them")
    if isinstance(problem, str | os.PathLike):
        problem = Problem.load(path_of("problem", problem))
    if problem is not None and not isinstance(problem, Problem):
        raise InputError(
            f"problem must be a Problem or the name of its file, got {described(problem)}; give "
            f"physics as pde"
        )
    posed = Problem.of(_resolve_pde(pde) if problem is None else problem, prior)  # type: ignore
    if instruments is None:
        return posed
    return replace(posed, instruments=instruments_of(instruments))


def _resolve_pde(pde: str | PDE | Sequence[str | PDE]) -> PDE:
    if isinstance(pde, list | tuple):
        return Experiments(tuple(_resolve_pde(one) for one in pde))
    pde = pde_by_name(pde) if isinstance(pde, str) else pde
    if not isinstance(pde, PDE):
        raise InputError(
            f"pde must be a name or a PDE, got {described(pde)}; give an instance of a class of "
            f"pdeinv.datasets"
        )
    return pde


def physics_read(
    table: Sensors, problem: Problem, grid: int | Grid | None, n_samples: int
) -> tuple[PDE, Grid]:
    """Return the physics with the derived fields of the result, and the grid of the result."""
    fields = table.table.field.unique()
    times = table.times(problem.physics)
    further = _further_fields(problem.physics, problem.prior)
    pde = problem.physics.reading([*fields, *further], times[~np.isnan(times)].tolist())
    if grid is None:
        nodes = _grid_of(pde, problem.grid, "grid of the problem ([grid] in its file)")
    else:
        nodes = _grid_of(pde, grid, "grid")
    check_solves(pde, pde.check_grid(nodes))
    check_states(pde, nodes, n_samples, len(table.by_replicate()) or 1)
    return pde, nodes


def _grid_of(pde: PDE, grid: int | Grid, what: str) -> Grid:
    """Return the grid of the result."""
    if not isinstance(grid, Grid):
        grid = pde.grid(integer(what, grid, Bounds(_COARSEST, LARGEST)))
    if min(grid.shape) < _COARSEST:
        raise InputError(
            f"{what} must have at least {_COARSEST} nodes in each direction, got {grid}; use more"
        )
    return grid


def checked_numbers(n_samples: int, seed: int) -> tuple[int, int]:
    return (
        integer("n_samples", n_samples, Bounds(1, 10**9)),
        integer("seed", seed, Bounds(0, _SEEDS - 1)),
    )


def sources_of(problem: Problem, prior: object, solver: object) -> dict[str, str]:
    """Return the `file.py:name` of each that comes from a file.

    Arguments:
        problem: the physics and the prior.
        prior, solver: as they were given.
    """
    given = {
        "pde_source": problem.physics.origin,
        "prior_source": str(prior) if is_reference(prior) else source_of(type(problem.prior)),
        "solver_source": str(solver) if is_reference(solver) else source_of(type(solver)),
    }
    return {name: source for name, source in given.items() if source}
