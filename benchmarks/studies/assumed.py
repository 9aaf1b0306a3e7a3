"""Truths, and reconstructions of them with numbers that are right, wrong or left out.

What several studies share: how a truth is drawn and read, how its reconstructions are scored, and
the loop that goes on with a file.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pdeinv import layouts, seeds
from pdeinv.benchmarks.assumption_kinds import ASSUMED
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.datasets import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Grid
from pdeinv.metrics import rank_coverage, ranks
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.sensors import Sensors
from pdeinv.solvers import MisfitWarning, Solver, reconstruct
from pdeinv.torch_state import one_thread

__all__ = ["Case", "Reads", "Setting", "Size", "draw_case", "measure_cases", "solve"]

NOISE = 0.01
"""Standard deviation of the noise, relative to that of the field that is read."""
_FIRST = 2**29  # number of the first truth among the test instances
_SAMPLES = 19
_INTERVAL = 1.6449  # standard deviations on each side of 90 per cent of a normal distribution
_KNOWN = 1e-9  # standard deviation, relative to the largest, of a node whose value is known
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
                n_samples=_SAMPLES,
                seed=instance,
                **setting.options,
            )
        except NumericalError as error:
            return Solved(None, f"failed: {error}", _seconds_since(start))
    alarms = [str(one.message) for one in caught if issubclass(one.category, MisfitWarning)]
    return Solved(found, "; ".join(alarms), _seconds_since(start))


def _seconds_since(start: float) -> float:
    return max(_LEAST_SECONDS, round(time.process_time() - start, 3))


def measure_cases(
    out: Path,
    cases: Mapping[str, Callable[[Size, int], Case]],
    instances: Iterable[int],
    size: Size,
    *,
    command: str = "",
    echo: Callable[[str], object] = print,
    settings: Sequence[str] = (),
) -> list[Record]:
    """Reconstruct the truths of cases with each of their settings; a repeated run keeps what the
    file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        cases: by their names, each a function of the size and of the number of the truth.
        instances: numbers of the truths.
        size: of the problems.
        command: command to type for the same records.
        echo: prints one line for each record.
        settings: names of the settings; all if there is none.

    Returns:
        All records of the file.
    """
    unit = [name for name in ASSUMED.identity if name != "field"]
    log = JsonLines(out, ASSUMED, lambda record: values_of(record, unit))
    for i in instances:
        for name, make in cases.items():
            case = make(size, i)
            _check_settings(settings, case.settings)
            for setting, told in case.settings.items():
                shared = {"case": name, "setting": setting, "instance": i, **size._asdict()}
                if log.key(shared) in log or (settings and setting not in settings):
                    continue
                made = provenance(command)
                solved = solve(case, told, i)
                records = [shared | one | made for one in _records(case, told, solved, i)]
                log.append(*records)
                for record in records:
                    echo(_line(record))
    return log.read()


def _check_settings(given: Sequence[str], known: Iterable[str]) -> None:
    for name in given:
        if name not in (names := list(known)):
            raise InputError(
                f"the setting must be one of {'; '.join(names)}, got {name!r}; choose one of them"
            )


def _line(record: Record) -> str:
    shown = ("case", "setting", "instance", "field", "error", "coverage90", "seconds")
    alarm = f", alarm: {record['alarm'][:90]}" if record["alarm"] else ""
    return ", ".join(f"{name} {record[name]}" for name in shown) + alarm


def _records(case: Case, told: Setting, solved: Solved, i: int) -> list[Record]:
    found = solved.result
    shared = {
        "pde": case.world.physics.name,
        "seed": i,
        "method": found.attrs["solver"] if found is not None else str(told.solver),
        "alarm": solved.alarm,
        "numbers": {} if found is None else _numbers(case, found),
        "true_numbers": {name: float(value) for name, value in case.numbers.items()},
        "converged": 0 if found is None else int(found.attrs.get("converged", 1)),
        "seconds": solved.seconds,
        "rows": len(case.scored),
    }
    state = case.state[0]
    exact = Posterior(case.world.physics.fields, case.grid, state, state, state[None]).to_xarray()
    return [shared | {"field": name, **_scores(case, found, exact, name)} for name in case.scored]


def _numbers(case: Case, found: xr.Dataset) -> dict[str, list[float | None]]:
    """Return the truth, the mean and the ends of the interval of each inferred number."""
    if "parameter" not in found:
        return {}
    columns = (found[f"parameter_{what}"].values for what in ("mean", "low", "high"))
    names = [str(name) for name in found["parameter"].values]
    return {
        name: [case.numbers.get(name), *(float(f"{v:.6g}") for v in values)]
        for name, *values in zip(names, *columns, strict=True)
    }


def _scores(case: Case, found: xr.Dataset | None, exact: xr.Dataset, name: str) -> Record:
    """Return the scores of one field; nodes whose value is known have no part in the coverage."""
    phases = case.world.coefficient_prior.phases
    two_valued = phases is not None and name == case.world.physics.coefficient_field.name
    measure = "error_rate" if two_valued else "relative_l2"
    if found is None:
        return {"measure": measure, **dict.fromkeys(_SCORED)}
    true = exact[f"{name}_mean"].values
    mean, std, samples = _of_result(found, name)
    if two_valued:
        assert phases is not None
        error = _wrong_nodes(found, name, mean, true, phases)
    else:
        error = float(np.linalg.norm(mean - true) / np.linalg.norm(true))
    free = std > _KNOWN * std.max()
    inside = np.abs(mean - true)[free] <= _INTERVAL * std[free]
    return {
        "measure": measure,
        "error": round(error, 5),
        "coverage90": round(float(inside.mean()), 4) if free.any() else None,
        "rank_coverage90": _rank_coverage(samples, true, case.grid),
    }


_SCORED = ("error", "coverage90", "rank_coverage90")


def _of_result(found: xr.Dataset, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the deviation (ny, nx) and the samples of a field, at its last time.

    A result of another prior may lack the logarithm of a coefficient: it is that of the samples.
    """
    if f"{name}_mean" in found:
        parts = [found[f"{name}_{what}"] for what in ("mean", "std", "samples")]
        parts = [one.isel(time=-1) if "time" in one.dims else one for one in parts]
        mean, std, samples = (one.values for one in parts)
        return mean, std, samples
    values = np.log(found[f"{name.removeprefix('log_')}_samples"].values)
    return values.mean(axis=0), values.std(axis=0, ddof=1), values


def _wrong_nodes(
    found: xr.Dataset,
    name: str,
    mean: np.ndarray,
    true: np.ndarray,
    phases: tuple[float, float],
) -> float:
    """Return the share of nodes that are taken for the other phase."""
    probability = found.get(f"{name}_probability")
    high = mean > np.sqrt(np.prod(phases)) if probability is None else probability.values > 0.5
    return float((high != (true >= phases[1])).mean())


def _rank_coverage(samples: np.ndarray, true: np.ndarray, grid: Grid) -> float:
    """Return how often the interval between samples holds the truth; values on the sides, which
    the physics may state, have no part."""
    inner = (..., slice(None), slice(None)) if grid.periodic else (..., slice(1, -1), slice(1, -1))
    generator = seeds.generator(seeds.STATISTICS)
    found = ranks(torch.as_tensor(samples)[inner], torch.as_tensor(true)[inner], generator)
    counts = torch.bincount(found.flatten(), minlength=_SAMPLES + 1).double()
    return round(float(rank_coverage((counts / counts.sum()).tolist(), 0.9) or 0.0), 4)
