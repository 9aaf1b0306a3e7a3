"""How often tables give an alarm, with one wrong reading and without: `pdeinv study alarm-rates`.

The error of the wrong reading is in standard deviations of its prediction from the others, with its
own noise; in those of its noise where the result has no such prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import xarray as xr

from pdeinv.benchmarks.assumption_kinds import ALARM_RATES
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.studies.assumed_cases import (
    NOISE,
    Case,
    Reads,
    Setting,
    Size,
    Solved,
    draw_case,
    solve,
)
from pdeinv.coefficients import GaussianField, LogNormal
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.sensors import Sensors

__all__ = ["CASES", "SIZE", "SIZES", "run"]

SIZES = (3.0, 5.0, 10.0)
"""Errors of the wrong reading."""
SIZE = Size(grid=32, sensors=40)
_LENGTH = 0.25
_POISSON = Problem(pde_by_name("poisson"), GaussianField(0.0, 1.0, _LENGTH))
_DARCY = Problem(pde_by_name("darcy"), LogNormal(1.0, 1.0, _LENGTH))


@dataclass(frozen=True)
class _Table:
    """Tables of a problem, judged by one solver."""

    problem: Problem
    solver: str
    noise: float = NOISE

    def case(self, size: Size, instance: int) -> Case:
        """Return a truth with its readings."""
        settings = {self.solver: Setting(self.problem, self.solver)}
        reads = [Reads(self.problem.physics.solution_field.name, size.sensors)]
        return draw_case(self.problem, reads, size, instance, settings, noise=self.noise)


CASES: Mapping[str, _Table] = {
    "poisson, gaussian": _Table(_POISSON, "gaussian"),
    "poisson, gaussian, exact readings": _Table(_POISSON, "gaussian", 0.0),
    "darcy, gauss-newton": _Table(_DARCY, "gauss-newton"),
    "darcy, gauss-newton, exact readings": _Table(_DARCY, "gauss-newton", 0.0),
    "navier-stokes, gauss-newton": _Table(Problem.named("navier-stokes"), "gauss-newton"),
    "darcy, level-set": _Table(Problem.named("darcy"), "level-set"),
    "poisson, optimal-interpolation": _Table(_POISSON, "optimal-interpolation"),
    "poisson, kriging": _Table(_POISSON, "kriging"),
    "darcy, ensemble-smoother": _Table(_DARCY, "ensemble-smoother"),
    "poisson, moment": _Table(Problem.named("poisson"), "moment"),
}
"""A problem and a solver by their names."""


def run(
    out: Path,
    *,
    instances: Iterable[int],
    power: int = 100,
    cases: Sequence[str] = (),
    size: Size = SIZE,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Judge tables; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: numbers of the tables.
        power: each table with a number less than this is judged with a wrong reading too.
        cases: names of `CASES`; all if there is none.
        size: of the problems.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = (
        unit for i in instances for name in cases or CASES for unit in _units(name, i, size, power)
    )
    return append_missing(JsonLines(out, ALARM_RATES), units, _line, command=command, echo=echo)


def _units(name: str, i: int, size: Size, power: int) -> Iterator[Unit]:
    """Yield the judgements of a table without a wrong reading and with one, as units of work."""
    judged = _Judged(CASES[name], size, i)
    shared = {"case": name, "setting": CASES[name].solver, "instance": i, **size._asdict()}
    for error in (0.0, *(SIZES if i < power else ())):
        yield Unit(shared | {"size": error}, partial(judged.records, shared, error))


class _Judged:
    """A table that is drawn and judged where a record of it is missing."""

    def __init__(self, table: _Table, size: Size, instance: int) -> None:
        self.table, self.size, self.instance = table, size, instance

    @cached_property
    def case(self) -> Case:
        return self.table.case(self.size, self.instance)

    @cached_property
    def clean(self) -> Solved:
        (setting,) = self.case.settings.values()
        return solve(self.case, setting, self.instance)

    def records(self, shared: Record, error: float) -> list[Record]:
        """Return the record of an error, in predicted standard deviations."""
        case, wrong, judged = self.case, _wrong(self.case, self.instance), self.clean
        if error:
            add = partial(_with_error, at=wrong, error=error * _std(judged.result, case, wrong))
            (setting,) = case.settings.values()
            judged = solve(case, replace(setting, spoil=add), self.instance)
        return [shared | _record(case, judged, self.instance, error, wrong)]


def _wrong(case: Case, i: int) -> int:
    """Return the position of a reading, not of one on a side, whose value the physics states."""
    x, y = (case.sensors.table[name].to_numpy() for name in ("x", "y"))
    x0, x1, y0, y1 = case.grid.extent
    off = min(case.grid.hx, case.grid.hy) / 2
    inner = (x > x0 + off) & (x < x1 - off) & (y > y0 + off) & (y < y1 - off)
    return int(np.random.default_rng(i).choice(np.flatnonzero(inner)))


def _std(found: xr.Dataset | None, case: Case, wrong: int) -> float:
    """Return the standard deviation in which the error of a reading is stated."""
    noise = float(case.sensors.table.noise_std[wrong])
    if found is None or "sensor_predicted_std" not in found:
        return noise
    predicted = float(found["sensor_predicted_std"].values[wrong])
    return predicted if np.isfinite(predicted) else noise


def _with_error(sensors: Sensors, at: int, error: float) -> Sensors:
    values = sensors.table.value.to_numpy(copy=True)
    values[at] += error
    return Sensors(sensors.table.assign(value=values))


def _record(case: Case, judged: Solved, i: int, error: float, wrong: int) -> Record:
    found = judged.result
    record = {
        "pde": case.world.physics.name,
        "seed": i,
        "method": "none" if found is None else found.attrs["solver"],
        "size": error,
        "alarm": judged.alarm,
        "found": 0,
        "seconds": judged.seconds,
    }
    if found is None or "sensor_p_value" not in found:
        return record
    p = found["sensor_p_value"].values
    if not np.isfinite(p).any():
        return record
    z = (found["sensor_value"] - found["sensor_predicted"]) / found["sensor_predicted_std"]
    worst = int(np.nanargmax(np.abs(z.values)))
    return record | {"found": int(error > 0 and worst == wrong), "p_value": float(np.nanmin(p))}


def _line(record: Record) -> str:
    shown = ", ".join(f"{n} {record[n]}" for n in ("case", "instance", "size", "found", "seconds"))
    return f"{shown}{', alarm' if record['alarm'] else ''}"
