"""Calibrations of a right prior and of one of half its deviation: `pdeinv study calibrated`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from pdeinv import layouts
from pdeinv.benchmarks.assumption_kinds import CALIBRATIONS
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.studies.assumed_cases import NOISE, Size
from pdeinv.coefficients import CoefficientPrior, GaussianField, LogNormal
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.solvers.calibration import calibrate

__all__ = ["CASES", "SIZE", "run"]

SIZE = Size(grid=32, sensors=40)
_LENGTH = 0.25
_STATED = {"right": 1.0, "half the deviation": 0.5}
"""The stated deviation over that of the truths."""


def _gaussian(std: float) -> CoefficientPrior:
    return GaussianField(0.0, std, _LENGTH)


def _log_normal(std: float) -> CoefficientPrior:
    return LogNormal(1.0, std, _LENGTH)


CASES: Mapping[str, Callable[[float], Problem]] = {
    "poisson": lambda std: Problem(pde_by_name("poisson"), _gaussian(std)),
    "darcy, log-normal": lambda std: Problem(pde_by_name("darcy"), _log_normal(std)),
}
"""A problem of a deviation for each physics."""


def run(
    out: Path,
    *,
    instances: Iterable[int],
    draws: int = 100,
    cases: Sequence[str] = (),
    size: Size = SIZE,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Calibrate problems; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: seeds of the calibrations, each with a layout of its own.
        draws: of each calibration.
        cases: names of `CASES`; all if there is none.
        size: of the problems.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = []
    for i in instances:
        for name in cases or CASES:
            for setting in _STATED:
                shared = {"case": name, "setting": setting, "instance": i, "draws": draws}
                shared |= size._asdict()
                units.append(Unit(shared, partial(_records, shared)))
    return append_missing(JsonLines(out, CALIBRATIONS), units, _line, command=command, echo=echo)


def _records(shared: Record) -> list[Record]:
    """Return the record of one calibration.

    Arguments:
        shared: what identifies it.
    """
    problem, seed = CASES[shared["case"]], shared["instance"]
    world, stated = problem(1.0), problem(_STATED[shared["setting"]])
    x, y = layouts.random(shared["sensors"], seed, world.physics.domain).T
    table = {"field": world.physics.solution_field.name, "x": x, "y": y, "value": 0.0}
    start = time.process_time()
    found = calibrate(
        stated,
        table,
        truths=world,
        noise=f"{100 * NOISE:g}%",
        draws=shared["draws"],
        grid=shared["grid"],
        seed=seed,
    )
    held = {
        f"coverage{100 * level:.0f}": round(float(found["coverage"].sel(level=level).mean()), 4)
        for level in (0.5, 0.9)
    }
    record = shared | {
        "pde": world.physics.name,
        "seed": seed,
        "method": "calibrate",
        "p_value": float(f"{found.attrs['p_value']:.4g}"),
        "verdict": str(found.attrs["verdict"]),
        "seconds": round(time.process_time() - start, 3),
        **held,
    }
    return [record]


def _line(record: Record) -> str:
    return "{case}, {setting}, seed {seed}: {verdict}".format_map(record)
