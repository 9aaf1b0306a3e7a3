"""One learned prior of the coefficient under other sides, wells and physics than those of its
training: `pdeinv study any-experiment`.

Each experiment is on the unit square, with readings of the solution alone. `moment` and `ddis` have
the shipped prior of the coefficient, as it is. The limit is the solver that uses the distribution
from which the truths are drawn: exact for a linear PDE, an ensemble for two phases.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from pdeinv import layouts, seeds
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.study_kinds import ANY_EXPERIMENTS
from pdeinv.datasets import (
    PDE,
    Darcy,
    Distributed,
    Flux,
    Helmholtz,
    NoFlux,
    Poisson,
    Problem,
    Sides,
    Value,
    Well,
)
from pdeinv.metrics import error_rate, relative_l2
from pdeinv.observation import Observation
from pdeinv.progress import progress_bar
from pdeinv.solvers import DDIS, GaussianSolver, LevelSet, Moment
from pdeinv.solvers.base import Solver

__all__ = ["EXPERIMENTS", "METHODS", "experiment_table", "run"]

_SEED = 81_000
_NOISE = 0.01
_SAMPLES = 8


class _Experiment(NamedTuple):
    """Physics, the shipped prior of its coefficient, and the limit's solver."""

    pde: PDE
    prior: str
    limit: Solver


EXPERIMENTS = {
    "well": _Experiment(
        Darcy(
            source=Distributed(0.0),
            boundary=Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux()),
            wells=(Well(0.6, 0.4, rate=-2.0),),
        ),
        "darcy-coefficient",
        LevelSet(),
    ),
    "insulated": _Experiment(
        Poisson(boundary=Sides(Value(0.0), NoFlux(), Flux(0.1), NoFlux())),
        "poisson-coefficient",
        GaussianSolver(),
    ),
    "waves": _Experiment(
        Helmholtz(k=3.0, boundary=Sides(Value(0.0), NoFlux(), NoFlux(), Value(0.0))),
        "poisson-coefficient",
        GaussianSolver(),
    ),
}
"""The experiments by name: flow between two sides and to a well, and sources seen through
potentials and through waves between other sides."""
METHODS: dict[str, Solver | None] = {
    "limit": None,
    "moment": Moment(),
    "ddis": DDIS(steps=40, ode_steps=5, langevin=30),
}
"""The methods by name; the limit's solver is that of the experiment."""


def run(
    out: Path,
    *,
    instances: int = 3,
    grid: int = 64,
    sensors: int = 60,
    methods: Iterable[str] = (),
    command: str = "",
) -> list[Record]:
    """Score every method on every experiment; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: truths of each experiment.
        grid: nodes per side.
        sensors: readings of the solution.
        methods: names in `METHODS`; all if none are given.
        command: command to type for the same records.

    Returns:
        The file's records.
    """
    log, wanted = JsonLines(out, ANY_EXPERIMENTS), tuple(methods) or tuple(METHODS)
    missing = [
        (name, method, i)
        for i in range(instances)
        for name in EXPERIMENTS
        for method in wanted
        if (name, grid, sensors, method, i) not in log
    ]
    made = provenance(command) if missing else {}
    for name, method, i in progress_bar(missing, "runs", unit="run", keep=True):
        log.append(score(name, method, i, grid, sensors) | made)
    return log.read()


def score(name: str, method: str, i: int, grid: int, sensors: int) -> Record:
    """Return the errors of a method on instance i of an experiment."""
    experiment = EXPERIMENTS[name]
    pde, truth, observation = _instance(experiment.pde, i, grid, sensors)
    solver = METHODS[method] or experiment.limit
    prior = experiment.prior if METHODS[method] else None
    problem, start = Problem.of(pde, prior), time.perf_counter()
    found = solver(
        pde,
        problem.prior,
        observation,
        n_samples=_SAMPLES,
        generator=seeds.generator(seeds.SOLVER, _SEED + i),
    )
    seconds = time.perf_counter() - start
    coefficient, solution = relative_l2(found.mean[None], truth)[0, :2].tolist()
    rate = {}
    if phases := pde.default_prior.phases:
        wrong = error_rate(found.mean[None, :1], truth[:, :1], sum(phases) / 2)
        rate = {"error_rate": round(float(wrong), 6)}
    return {
        "experiment": name,
        "pde": pde.name,
        "method": method,
        "solver": solver.name,
        "prior": prior or "that of the truths",
        "grid": grid,
        "sensors": sensors,
        "noise": _NOISE,
        "seed": _SEED,
        "instance": i,
        "samples": _SAMPLES,
        "coefficient_error": round(coefficient, 6),
        "solution_error": round(solution, 6),
        **rate,
        "network_evaluations": found.record["network_evaluations"],
        "solver_calls": found.record["solver_calls"],
        "seconds": round(seconds, 3),
    }


def _instance(pde: PDE, i: int, grid: int, sensors: int) -> tuple[PDE, torch.Tensor, Observation]:
    """Return the physics, a truth (1, 2, n, n) and noisy readings of its solution."""
    nodes = pde.grid(grid)
    generator = seeds.generator(seeds.TUNING, _SEED + i)
    truth = Problem(pde).sample(1, nodes, generator)
    points = torch.as_tensor(layouts.random(sensors, seed=_SEED + i))
    std = torch.full((sensors,), _NOISE * float(truth[0, 1].std()), dtype=torch.float64)
    order = tuple(field.interpolation_order for field in pde.fields)
    channel = torch.ones(sensors, dtype=torch.long)
    exact = Observation(nodes, points, channel, torch.zeros_like(std), std, order)(truth)[0]
    values = exact + std * torch.randn(sensors, dtype=torch.float64, generator=generator)
    return pde, truth, Observation(nodes, points, channel, values, std, order)


def experiment_table(records: list[Record]) -> str:
    """Return the mean errors in per cent, by experiment and method, as a Markdown table."""
    cells: dict[tuple[str, ...], list[Record]] = {}
    for r in records:
        names = ("experiment", "pde", "method", "solver", "prior")
        cells.setdefault(tuple(str(r[name]) for name in names), []).append(r)

    def percent(group: list[Record], name: str) -> str:
        values = [r[name] for r in group if name in r]
        return f"{100 * sum(values) / len(values):.2f}" if values else ""

    numbers = ("coefficient_error", "error_rate", "solution_error")
    rows = [
        [experiment, pde, method if method == solver else f"{method} ({solver})", prior]
        + [percent(group, name) for name in numbers]
        + [f"{sum(r['seconds'] for r in group) / len(group):.1f}", str(len(group))]
        for (experiment, pde, method, solver, prior), group in cells.items()
    ]
    return render_table(
        ["experiment", "PDE", "method", "prior"],
        ["coefficient, %", "wrong nodes, %", "solution, %", "seconds", "instances"],
        rows,
    )
