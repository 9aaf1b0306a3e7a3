"""What a plan saves over a reconstruction of each table: `pdeinv study plans`.

Readings change from one table to the next as a truth turns into another one. All seconds that are
compared are processor time of one process, call by call in turn, and the least of several calls:
other work can only add to them. Their ratios are fair on a busy machine.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pdeinv import layouts, seeds
from pdeinv.benchmarks.plan_kinds import PLANS
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.coefficients import LogNormal
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.sensors import Sensors
from pdeinv.solvers import MisfitWarning, reconstruct
from pdeinv.solvers.plans import prepare
from pdeinv.solvers.plans.gain_plan import GainPlan

__all__ = ["CASES", "Case", "plans_table", "run"]

_Found = TypeVar("_Found")
_OF_CASE = ("case", "grid", "sensors")
_REPEATS = 15  # of a call that takes milliseconds
_TURN = 0.05  # of the truth from one table to the next, in radians
_NOISE = 0.02  # relative to the spread of the readings


class Case(NamedTuple):
    """A problem and its sensors.

    Arguments:
        pde: name of the physics.
        grid, sensors: numbers of nodes per side, and of readings of the solution.
        log_std: of a log-normal coefficient; None for the prior of the physics.
    """

    pde: str
    grid: int
    sensors: int
    log_std: float | None = None

    @property
    def problem(self) -> Problem:
        """The physics and the prior."""
        physics = pde_by_name(self.pde)
        if self.log_std is None:
            return Problem(physics)
        return Problem(physics, LogNormal(median=1.0, log_std=self.log_std, length=0.3))


CASES: Mapping[str, Case] = {
    "poisson": Case("poisson", 128, 500),
    "helmholtz": Case("helmholtz", 64, 125),
    "darcy, log-normal": Case("darcy", 64, 125, 1.0),
    "navier-stokes": Case("navier-stokes", 64, 125),
}


def run(
    out: Path,
    *,
    instances: int = 4,
    cases: Sequence[str] = (),
    grid: int | None = None,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the calls of plans; a repeated run keeps the cases that the file has.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of tables.
        cases: names of `CASES`; all if there is none.
        grid: nodes per side; None for those of the case.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.
    """
    units = []
    for name in cases or CASES:
        case = CASES[name] if grid is None else CASES[name]._replace(grid=grid)
        shared = {"case": name, "grid": case.grid, "sensors": case.sensors}

        def measure(case: Case = case, shared: Record = shared) -> list[Record]:
            return [shared | one for one in _measured(case, instances)]

        units.append(Unit(shared, measure))
    log = JsonLines(out, PLANS, key=lambda record: values_of(record, _OF_CASE))
    return append_missing(log, units, _line, command=command, echo=echo)


def _measured(case: Case, count: int) -> Iterator[Record]:
    """Yield the records of successive tables."""
    problem, (layout, tables, noise) = case.problem, _tables(case, count)
    given: dict[str, Any] = {"problem": problem, "noise": noise, "grid": case.grid, "n_samples": 4}
    start = time.process_time()
    plan = prepare(layout, **given)
    prepared = time.process_time() - start
    stored = plan.gain.gain if isinstance(plan, GainPlan) else None
    name = problem.physics.coefficient_field.name
    for i, values in enumerate(tables):
        table = layout.assign(value=values)
        method, seconds, product = plan.method, list[float](), list[float]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MisfitWarning)
            fresh_seconds, fresh = _timed(partial(reconstruct, table, **given))
            for _ in range(_REPEATS if stored is not None else 1):
                took, found = _timed(partial(plan, values))
                seconds.append(took)
                if stored is not None:
                    vector = torch.from_numpy(values)
                    product.append(_timed(partial(torch.matmul, vector, stored))[0])
        yield {
            "pde": problem.physics.name,
            "instance": i,
            "method": method,
            "prepare_seconds": prepared,
            "seconds": min(seconds),
            "fresh_seconds": fresh_seconds,
            **({"product_seconds": min(product)} if product else {}),
            **_iterations(found, fresh),
            "distance": _distance(found, fresh, name),
        }


def _tables(case: Case, count: int) -> tuple[pd.DataFrame, np.ndarray, float]:
    """The layout, the readings (count, m), and the standard deviation of their noise."""
    problem = case.problem
    physics = problem.physics
    places = layouts.random(case.sensors, 0, physics.domain)
    field = physics.solution_field.name
    layout = pd.DataFrame(np.asarray(places), columns=["x", "y"]).assign(field=field)
    grid = physics.grid(case.grid)
    observation = Sensors(layout.assign(value=0.0)).observation(physics, grid, noise=1.0)
    first, last = problem.latent.sample(2, grid, seeds.generator(seeds.TUNING, 0)).split(1)
    angles = _TURN * torch.arange(count, dtype=torch.float64)[:, None, None, None]
    coefficients = problem.coefficient(first * angles.cos() + last * angles.sin())
    states = (torch.cat([a[None], physics.respond(a[None])], dim=1) for a in coefficients)
    clean = torch.cat([observation(state) for state in states]).numpy()
    noise = _NOISE * float(clean[0].std())
    generator = np.random.default_rng(0)
    return layout, clean + noise * generator.standard_normal(clean.shape), noise


def _timed(call: Callable[[], _Found]) -> tuple[float, _Found]:
    start = time.process_time()
    found = call()
    return time.process_time() - start, found


def _iterations(found: xr.Dataset, fresh: xr.Dataset) -> Record:
    if "iterations" not in found.attrs:
        return {}
    return {
        "iterations": int(found.attrs["iterations"]),
        "fresh_iterations": int(fresh.attrs["iterations"]),
    }


def _distance(found: xr.Dataset, fresh: xr.Dataset, name: str) -> float:
    apart = (found[f"{name}_mean"] - fresh[f"{name}_mean"]).values
    return float(np.sqrt((apart**2).mean() / (fresh[f"{name}_std"].values ** 2).mean()))


def _line(record: Record) -> str:
    return (
        f"{record['case']}, table {record['instance']}: {record['method']}, {record['seconds']:.3g}"
        f" s, afresh {record['fresh_seconds']:.3g} s"
    )


def plans_table(records: list[Record]) -> str:
    """Return the ratios of seconds of each case as a Markdown table: medians over the tables, and
    in brackets the least and the largest.

    The first table of a plan that searches from the last mode is left out.
    """
    heads = ["grid", "sensors", "a call does", "call / product", "call / reconstruction"]
    heads += ["iterations / those of a reconstruction", "distance"]
    rows = []
    for case, grid, sensors in dict.fromkeys(values_of(r, _OF_CASE) for r in records):
        mine = [r for r in records if values_of(r, _OF_CASE) == (case, grid, sensors)]
        last = mine[-1]["method"]
        own = [r for r in mine if r["method"] == last]
        rows.append(
            [
                case,
                f"{grid} x {grid}",
                f"{sensors}",
                last,
                _ratios(own, "seconds", "product_seconds"),
                _ratios(own, "seconds", "fresh_seconds"),
                _ratios(own, "iterations", "fresh_iterations"),
                f"{max(r['distance'] for r in own):.1g}",
            ]
        )
    return render_table(["problem"], heads, rows)


def _ratios(records: list[Record], above: str, below: str) -> str:
    ratios = [r[above] / r[below] for r in records if r.get(below) and above in r]
    if not ratios:
        return ""
    middle, low, high = (f"{one:.2g}" for one in (median(ratios), min(ratios), max(ratios)))
    return f"{middle} ({low}–{high})"
