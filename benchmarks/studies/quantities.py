"""Quantities of truths and their 90 % intervals: `pdeinv study quantities`.

Truths are drawn and solved on a grid twice as fine, on which their quantities are computed, and the
solvers are given the prior's numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import sqrt
from pathlib import Path
from statistics import fmean

import xarray as xr

from pdeinv.benchmarks.quantity_kinds import QUANTITIES
from pdeinv.benchmarks.records import JsonLines, Record, values_of
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.coefficients import GaussianField, LogNormal
from pdeinv.datasets import Darcy, NoFlux, Poisson, Problem, Sides, Value
from pdeinv.datasets.distributed import Distributed
from pdeinv.fields import Field
from pdeinv.grid import Domain
from pdeinv.posterior import Posterior
from pdeinv.problems.examples import Example, Readings, Truth
from pdeinv.quantities import Flux, Mean, Quantity, TravelTime, evaluation, quantity
from pdeinv.quantities.evaluation import Function
from pdeinv.solvers.reconstruction import reconstruct

__all__ = ["CASES", "quantities_table", "run"]

SAMPLES = 99
_SHOWN = ("case", "instance", "quantity", "truth", "low", "high", "within", "seconds")
_UNIT = [name for name in QUANTITIES.identity if name != "quantity"]


def outflow_left(draw: xr.Dataset) -> xr.DataArray:
    """Return the integral of ∂u/∂x over the left side, of second order: the flux -∇u out of it."""
    u = draw["potential"]
    step = float(u["x"][1] - u["x"][0])
    slope = (4 * u.isel(x=1) - 3 * u.isel(x=0) - u.isel(x=2)) / (2 * step)
    return slope.integrate("y")


def highest(draw: xr.Dataset) -> xr.DataArray:
    """Return the largest potential."""
    return draw["potential"].max()


@dataclass(frozen=True)
class _Case(Example):
    """A problem whose truths are read at random points, and quantities of it.

    Arguments:
        posed: the problem.
        solver: its name.
        quantities: by their names.
    """

    posed: Problem | None = None
    solver: str = ""
    quantities: Mapping[str, Quantity | Function] | None = None

    @cached_property
    def problem(self) -> Problem:
        assert self.posed is not None
        return self.posed


_HEAD = Field("head", "hydraulic head", "m")
_CONDUCTIVITY = Field("hydraulic_conductivity", "hydraulic conductivity", "m day-1")
_LOG = "log_hydraulic_conductivity"
_STRIP = Darcy(
    source=Distributed(0.0),
    domain=Domain((0.0, 2000.0, 0.0, 1000.0), "m"),
    boundary=Sides(Value(52.0), Value(50.0), NoFlux(), NoFlux()),
    thickness=20.0,
    coefficient_field=_CONDUCTIVITY,
    solution_field=_HEAD,
)
_POSED = Problem(Poisson(), GaussianField(0.0, 1.0, 0.2))
CASES = {
    "poisson": _Case(
        "poisson",
        "",
        (Readings("potential", 10, 2e-4),),
        replace(_POSED, grid=_POSED.physics.grid(33)),
        "gaussian",
        {
            "outflow through the left side": outflow_left,
            "mean source over a triangle": Mean("source", [[0.2, 0.2], [0.8, 0.3], [0.4, 0.8]]),
            "largest potential": highest,
        },
    ),
    "aquifer": _Case(
        "aquifer",
        "",
        (Readings("head", 15, 0.02), Readings(_LOG, 5, 0.1)),
        Problem(
            _STRIP.reading(["flux_x", "flux_y", _LOG]),
            LogNormal(8.0, 1.0, 400.0),
            _STRIP.grid(17),
        ),
        "gauss-newton",
        {
            "flux through the right side": Flux(side="right"),
            "mean log conductivity over a rectangle": Mean(
                _LOG, [[600, 300], [1400, 300], [1400, 700], [600, 700]]
            ),
            "travel time from (500, 500)": TravelTime((500.0, 500.0), porosity=0.2),
        },
    ),
}
"""The cases by their names."""


def run(
    out: Path,
    *,
    instances: int = 64,
    cases: Sequence[str] = (),
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure the quantities of truths; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of truths.
        cases: names of `CASES`; all if there is none.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """
    log = JsonLines(out, QUANTITIES, lambda record: values_of(record, _UNIT))

    def units() -> Iterator[Unit]:
        for name in cases or CASES:
            for i in range(instances):
                solver = CASES[name].solver
                identity = {"case": name, "method": solver, "samples": SAMPLES, "instance": i}
                yield Unit(identity, partial(_measured, CASES[name], identity))

    def line(record: Record) -> str:
        return ", ".join(f"{name} {record[name]}" for name in _SHOWN)

    return append_missing(log, units(), line, command=command, echo=echo)


def _measured(case: _Case, identity: Record) -> list[Record]:
    """Return the records of one truth."""
    i, wanted = identity["instance"], case.quantities or {}
    truth = case.truth(i)
    start = time.perf_counter()
    found = reconstruct(
        truth.sensors, problem=truth.problem, solver=case.solver, n_samples=SAMPLES, seed=i
    )
    seconds = round(time.perf_counter() - start, 3)
    records = []
    for name, f in wanted.items():
        exact = float(evaluation.values_of(_exact(truth), f).squeeze())
        one = quantity(found, f)
        mean, std, low, high = (float(one[what]) for what in ("mean", "std", "low", "high"))
        numbers = {"truth": exact, "mean": mean, "std": std, "low": low, "high": high}
        records.append(
            {
                "pde": truth.problem.physics.name,
                **identity,
                "quantity": name,
                "units": str(one["samples"].attrs["units"]),
                "seed": i,
                "level": one.attrs["level"],
                **{key: float(f"{value:.6g}") for key, value in numbers.items()},
                "within": int(low <= exact <= high),
                "infinite": one.attrs["infinite"],
                "seconds": seconds,
                "rows": len(wanted),
            }
        )
    return records


def _exact(truth: Truth) -> xr.Dataset:
    """Return a truth as a result with one sample."""
    state, physics = truth.state[0], truth.problem.physics
    parameters = json.dumps(physics.json_parameters(describe=True))
    posterior = Posterior(physics.fields, truth.grid, state, state, state[None])
    return posterior.to_xarray(pde_parameters=parameters)


def quantities_table(records: list[Record]) -> str:
    """Return for each quantity how many truths are within its interval, the root mean square error
    of the mean and that predicted.

    Arguments:
        records: as `pdeinv study quantities` writes them.
    """
    rows = []
    for case, name in dict.fromkeys((r["case"], r["quantity"]) for r in records):
        mine = [r for r in records if (r["case"], r["quantity"]) == (case, name)]
        truths = {r["instance"]: r for r in mine}.values()
        error, predicted, spread = (
            sqrt(fmean(values))
            for values in (
                [(r["mean"] - r["truth"]) ** 2 for r in truths],
                [r["std"] ** 2 for r in truths],
                [(r["truth"] - fmean(t["truth"] for t in truths)) ** 2 for r in truths],
            )
        )
        within = f"{sum(r['within'] for r in truths)} of {len(truths)}"
        numbers = [f"{value:.3g}" for value in (error, predicted, spread)]
        rows.append([case, name, mine[0]["units"], within, *numbers])
    heads = ["within the 90 % interval", "RMS error", "predicted", "spread of the truths"]
    return render_table(["case", "quantity", "units"], heads, rows)
