"""`calibrate`: draws of a problem, their reconstructions, and the ranks of the truths."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import numpy as np
import xarray as xr

from pdeinv.checks import Bounds, described, integer
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.files import check_writable, reading_failure, save_netcdf
from pdeinv.grid import Grid
from pdeinv.parallel import for_each
from pdeinv.progress import Progress
from pdeinv.sensors import Sensors
from pdeinv.sensors.noise_levels import NoiseLevels
from pdeinv.sensors.sources import SensorTable
from pdeinv.solvers.base import Solver
from pdeinv.solvers.calibration.functionals import SAMPLES, scores
from pdeinv.solvers.calibration.truths import Readings, Truths, simulated, truths_of
from pdeinv.solvers.calibration.verdict import judged
from pdeinv.solvers.misfit import MisfitWarning
from pdeinv.solvers.reconstruction import reconstruct
from pdeinv.solvers.selection import solver_for

__all__ = ["calibrate"]

_LEAST = 20  # draws; fewer show no fault that is not gross
_SEEDS = 1000
_EVERY = 5.0  # seconds between two writes of the file


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

    Each draw is a truth, of which readings are simulated and reconstructed. Where the problem is
    right, the truth is one more posterior sample: the rank of any scalar of it among the samples
    is uniform. The scalars of each field are its mean, two waves, a random node, its spread and its
    roughness; the numbers that were drawn with the field are others. A field in time is judged at
    its last time. Truths are solved on the grid of the result, so that the error of the grid is no
    part of the judgement.

    Arguments:
        problem: whose intervals are judged, or its file.
        sensors: places and what is read there, as `reconstruct` takes it; the values serve for
            nothing.
        truths: what the truths are drawn from: another problem, its TOML file, or a dataset's file
            with coefficients of one's own; None is the problem itself, with its unknown numbers
            drawn of their laws.
        noise: of readings without noise_std, as of `reconstruct`; a percentage is one of the
            readings' spread without noise.
        draws: number of truths, at least 20.
        solver, grid: as of `reconstruct`.
        seed: of all randomness, from 0 to 999.
        workers: processes, one thread each; the result does not depend on their number.
        out: NetCDF file of the draws that are done; a repeated run keeps them and goes on.
        progress: show a bar for work of more than two seconds.

    Returns:
        Dataset with `rank`, `truth_value`, `sample_mean` (draw, functional), `coverage` (draw,
        quantity, level), `p_value` (functional), `seconds` and `warned` (draw), and the attributes
        `verdict`, a sentence, and `p_value`, of all functionals together. A draw whose
        reconstruction failed is left out; the attribute `failed` counts these.

    Raises:
        InputError: the input cannot be used, or the file is of another calibration.
        NumericalError: the reconstruction of nearly every draw failed.

    References:
        Talts et al., *Validating Bayesian inference algorithms with simulation-based calibration*,
        arXiv 1804.06788, 2018.

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
    if draws > posed.truths.most:
        raise InputError(
            f"draws must be at most the {posed.truths.most} truths of the file, got {draws}; use "
            f"fewer"
        )
    store = _Store.of(out, posed.identity)
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
    return store.finish(draws, len(failures))


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
        prior, logarithm = self.problem.prior, self.problem.physics.logarithm
        further = isinstance(prior, CoefficientPrior) and prior.logarithmic and logarithm
        return [*self.readings.sensors.table.field.unique(), *([logarithm.name] if further else [])]

    @cached_property
    def times(self) -> list[float]:
        return self.readings.times(self.problem.physics)

    @property
    def identity(self) -> str:
        """Text that differs for another calibration."""
        table = self.readings.sensors.table.drop(columns="value")
        stated = [self.problem, self.truths, self.readings.noise, self.solver, self.seed]
        return json.dumps([table.to_csv(index=False, float_format="%.12g"), *map(repr, stated)])

    def __call__(self, i: int) -> xr.Dataset | str:
        """Return the ranks of draw i, with the dimension draw, or why its reconstruction failed."""
        truth = self.truths.truth(self.fields, self.times, self.seed, i)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
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
        physics, prior = self.problem.physics, self.problem.prior
        if isinstance(prior, CoefficientPrior) and prior.logarithmic and physics.logarithm:
            found.remove(physics.coefficient_field.name)
        return tuple(name for name in found if name != "parameter")


class _Store:
    """The draws that are done, in memory and in a file."""

    def __init__(self, path: Path | None, identity: str, draws: list[xr.Dataset]) -> None:
        self.path, self.identity, self.draws = path, identity, draws
        self._written = time.monotonic()

    @classmethod
    def of(cls, out: str | os.PathLike | None, identity: str) -> _Store:
        """Return the draws of a file, if there is one.

        Raises:
            InputError: it cannot be written, or is of another calibration.
        """
        path = None if out is None else check_writable(out)
        if path is None or not path.exists():
            return cls(path, identity, [])
        try:
            found = xr.load_dataset(path, engine="h5netcdf")
        except Exception as error:  # whatever the engine raises
            raise reading_failure(path, error, "is not a file of a calibration") from None
        if found.attrs.get("calibration") != identity:
            raise InputError(
                f"{path} must be of the same problem, sensors, noise, truths, solver and seed, and "
                f"is of others; choose another name, or move it away"
            )
        found = found.drop_vars("p_value")
        return cls(path, identity, [found.isel(draw=[k]) for k in range(found.sizes["draw"])])

    @property
    def done(self) -> set[int]:
        return {int(one.draw[0]) for one in self.draws}

    def add(self, draw: xr.Dataset) -> None:
        """Keep a draw, and write the file from time to time."""
        self.draws.append(draw)
        if time.monotonic() - self._written > _EVERY:
            self.write()

    def write(self, **attributes: int) -> None:
        """Write the draws that are done."""
        if self.path and len(self.draws) > 1:
            save_netcdf(self._whole(self.draws, attributes), self.path)
        self._written = time.monotonic()

    def finish(self, count: int, failed: int) -> xr.Dataset:
        """Return, and write, the first draws."""
        made = self._whole([one for one in self.draws if int(one.draw[0]) < count], {})
        made.attrs["failed"] = failed
        self.write(failed=failed)
        return made

    def _whole(self, draws: list[xr.Dataset], attributes: Mapping[str, Any]) -> xr.Dataset:
        ordered = sorted(draws, key=lambda one: int(one.draw[0]))
        whole = xr.concat(ordered, "draw", coords="minimal", compat="override", join="exact")
        each, verdict = judged(whole)
        label = {"long_name": "p-value of uniform ranks, of three tests"}
        return whole.assign(p_value=("functional", np.asarray(each), label)).assign_attrs(
            verdict=verdict.sentence,
            p_value=verdict.p_value,
            calibration=self.identity,
            pdeinv_version=version("pdeinv"),
            **attributes,
        )
