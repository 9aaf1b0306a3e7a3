"""`calibrate`: draws of a problem, their reconstructions, and the ranks of the truths.

Each draw is a truth, of which readings are simulated and reconstructed. Where the problem is right,
the truth is one more posterior sample: the rank of any scalar of it among the samples is uniform.
The scalars of a field are its mean, two waves, a random node, its spread and its roughness; the
numbers that were drawn with the field are others. A field in time is judged at its last time.
Truths are solved on the grid of the result: the error of the grid is no part of the judgement.

Reference:
    Talts et al., *Validating Bayesian inference algorithms with simulation-based calibration*,
    arXiv 1804.06788, 2018.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import IO, Any

import xarray as xr

from pdeinv.caught import recorded_warnings
from pdeinv.checks import Bounds, described, integer
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.fields import Field
from pdeinv.files import check_writable
from pdeinv.grid import Grid
from pdeinv.locking import sole_writer
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.sensors import Sensors
from pdeinv.sensors.noise_levels import NoiseLevels
from pdeinv.sensors.sources import SensorTable
from pdeinv.solvers.base import Solver
from pdeinv.solvers.calibration.functionals import SAMPLES, scores
from pdeinv.solvers.calibration.store import DrawStore
from pdeinv.solvers.calibration.truths import Readings, Truths, simulated, truths_of
from pdeinv.solvers.misfit import MisfitWarning
from pdeinv.solvers.reconstruction import reconstruct
from pdeinv.solvers.selection import solver_for

__all__ = ["calibrate"]

_LEAST = 20  # draws; fewer show no fault that is not gross
_SEEDS = 1000


def calibrate(
    problem: Problem | str | os.PathLike,
    sensors: Sensors | str | os.PathLike | IO | SensorTable,
    *,
    truths: Problem | str | os.PathLike | None = None,
    noise: NoiseLevels | None = None,
    draws: int = 100,
    solver: str | Solver = "auto",
    grid: int | Grid | None = None,
    seed: int = 0,
    workers: int = 1,
    out: str | os.PathLike | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Judge the intervals of a problem by truths that are known: simulation-based calibration.

    Arguments:
        problem: whose intervals are judged, or its file.
        sensors: places and what is read there, as of `reconstruct`; their values are not used.
        truths: what truths are drawn from: another problem or its TOML file, or the file of a
            dataset; None is the problem itself, with its unknown numbers drawn of their laws.
        noise: of readings without noise_std, as of `reconstruct`; a percentage is one of the
            spread of readings without noise.
        draws: number of truths, at least 20.
        solver, grid: as of `reconstruct`.
        seed: of all randomness, from 0 to 999.
        workers: processes, one thread each; the result does not depend on their number.
        out: NetCDF file of the draws that are done; a repeated run keeps them and goes on.
        progress: show a bar for work of more than two seconds.

    Returns:
        Dataset with `rank`, `truth_value`, `sample_mean` (draw, functional), `coverage` (draw,
        quantity, level), `p_value` (functional), `seconds` and `warned` (draw). Its attributes
        `verdict`, a sentence, and `p_value` are of all functionals together; `failed` counts the
        draws that could not be reconstructed, which are left out.

    Raises:
        InputError: the input cannot be used, or the file is of another calibration.
        NumericalError: the reconstruction of nearly every draw failed.

    Example:
        >>> from pdeinv import GaussianField, Problem, calibrate
        >>> from pdeinv.datasets import Poisson
        >>> problem = Problem(Poisson(), GaussianField(0.0, 1.0, length=0.3), grid=16)
        >>> table = {"field": "potential", "x": [0.3, 0.7], "y": [0.4, 0.6], "value": 0.0}
        >>> float(calibrate(problem, table, noise=1e-3, draws=20).p_value.min()) > 0
        True
    """
    draws, workers = integer("draws", draws, Bounds(_LEAST, 10**6)), integer("workers", workers)
    posed = _Calibration.of(problem, sensors, truths, noise, solver, grid, seed)
    with nullcontext() if out is None else sole_writer(check_writable(out)):
        store = DrawStore.of(out, posed.identity)
        failed = _do(posed, store, draws, workers, progress)
        return store.finish(draws, failed)


def _do(posed: _Calibration, store: DrawStore, draws: int, workers: int, progress: bool) -> int:
    """Reconstruct the draws that are missing, and return how many failed."""
    if draws > posed.truths.most:
        raise InputError(
            f"draws must be at most the {posed.truths.most} truths of the file, got {draws}; use "
            f"fewer"
        )
    missing = [i for i in range(draws) if i not in store.done]
    failures: list[str] = []
    with Progress(draws, "calibration", progress, unit="draw", initial=len(store.done)) as shown:

        def report(i: int, made: xr.Dataset | str) -> None:
            if isinstance(made, str):
                failures.append(made)
            else:
                store.add(made)
            shown.update()

        try:
            for_each(posed, missing, workers, report)
        finally:  # an interruption too
            store.write()
    if len(store.done) < 2:
        raise NumericalError(failures[-1])
    return len(failures)


@dataclass(frozen=True)
class _Calibration:
    """What all draws share; a call reconstructs one."""

    problem: Problem
    truths: Truths
    readings: Readings
    solver: Solver
    seed: int

    @classmethod
    def of(
        cls,
        problem: Problem | str | os.PathLike,
        sensors: Any,
        truths: Problem | str | os.PathLike | None,
        noise: NoiseLevels | None,
        solver: str | Solver,
        grid: int | Grid | None,
        seed: int,
    ) -> _Calibration:
        """Return it, with all that is given checked on the first truth."""
        if isinstance(problem, str | os.PathLike):
            problem = Problem.load(problem)
        if not isinstance(problem, Problem):
            raise InputError(
                f"problem must be a Problem or its file, got {described(problem)}; give one"
            )
        problem = problem if grid is None else replace(problem, grid=grid)
        nodes, physics = problem.grid, problem.physics
        nodes = nodes if isinstance(nodes, Grid) else physics.grid(nodes)
        made = cls(
            problem,
            truths_of(truths, problem, nodes),
            Readings(Sensors.read(sensors), noise),
            solver_for(solver, physics, problem.prior),
            integer("seed", seed, Bounds(0, _SEEDS - 1)),
        )
        first = made.truths.truth(made.fields, made.times, made.seed, 0)
        simulated(made.readings, problem, first)
        return made

    @cached_property
    def fields(self) -> list[str]:
        """Names of the fields that a truth must have channels of."""
        logarithm = self._logarithm
        further = [logarithm.name] if logarithm else []
        return [*self.readings.sensors.table.field.unique(), *further]

    @property
    def _logarithm(self) -> Field | None:
        """The logarithm of the coefficient, where that is Gaussian."""
        prior = self.problem.prior
        logarithmic = isinstance(prior, CoefficientPrior) and prior.logarithmic
        return self.problem.physics.logarithm if logarithmic else None

    @cached_property
    def times(self) -> list[float]:
        return self.readings.times(self.problem.physics)

    @property
    def identity(self) -> dict[str, str]:
        """Texts by name, of which one differs for another calibration."""
        table = self.readings.sensors.table.drop(columns="value")
        stated = {
            "problem": self.problem,
            "truths": self.truths,
            "noise": self.readings.noise,
            "solver": self.solver,
            "seed": self.seed,
        }
        texts = {name: repr(value) for name, value in stated.items()}
        return {"sensors": table.to_csv(index=False, float_format="%.12g"), **texts}

    def __call__(self, i: int) -> xr.Dataset | str:
        """Return the ranks of draw i, with the dimension draw, or why its reconstruction failed."""
        truth = self.truths.truth(self.fields, self.times, self.seed, i)
        with recorded_warnings(always=True) as caught:
            sensors, noise, numbers = simulated(self.readings, self.problem, truth)
            try:
                result = reconstruct(
                    sensors,
                    problem=self.problem,
                    noise=noise,
                    grid=truth.grid,
                    solver=self.solver,
                    n_samples=2 * SAMPLES,
                    seed=_SEEDS * i + self.seed,
                )
            except NumericalError as error:
                return str(error)
        truth.numbers.update(numbers)
        made = scores(result, truth, self._scored(result), truth.grid.periodic)
        warned = sum(issubclass(one.category, MisfitWarning) for one in caught)
        further = {"seconds": float(result.attrs["seconds"]), "warned": float(warned > 0)}
        made = made.assign(further).expand_dims(draw=[i])
        return made

    def _scored(self, result: xr.Dataset) -> tuple[str, ...]:
        """Return the names of the fields of a result; a coefficient with a logarithm is judged by
        that."""
        found = [str(name).removesuffix("_samples") for name in result if "_samples" in str(name)]
        if self._logarithm:
            found.remove(self.problem.physics.coefficient_field.name)
        return tuple(name for name in found if name != "parameter")
