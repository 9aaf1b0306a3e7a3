"""Diffusion solvers where the posterior is known: `pdeinv study gaussian-limit`.

The prior is Gaussian, fitted to fields of a linear PDE, and its denoiser exact: what is left is the
sampler's own error, and that of a mean of 8 samples, sqrt(1 + 1/8) = 1.06 times the limit if they
are perfect. For every solver and number of steps this records the error of the posterior mean and
that of the exact one under the prior of both fields. DDIS and `moment` have the prior of the
coefficient, and the PDE.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import torch

from pdeinv import seeds
from pdeinv.benchmarks.cells import solve
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.study_kinds import GAUSSIAN_LIMITS
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import PDE, PDES, Problem, pde_by_name
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.progress import progress_bar
from pdeinv.solvers import DAPS, DDIS, DPS, DiffusionPDE, FunDPS, Moment
from pdeinv.solvers.linear_algebra import cholesky_with_nugget

__all__ = ["STEPS", "exact_mean", "limit_table", "run", "score"]

PDE_NAME = "helmholtz"
"""The PDE of the study."""
STEPS = (20, 50, 100, 500)
"""Numbers of steps that are compared."""
_SEED = 79_000
_FITTED = 4000  # fields
_SAMPLES = 8
_Solver: TypeAlias = DPS | DiffusionPDE | FunDPS | DAPS | DDIS | Moment
_SOLVERS: tuple[_Solver, ...] = (
    DPS(),
    DiffusionPDE(),
    FunDPS(),
    DAPS(ode_steps=5, langevin=50),
    DDIS(ode_steps=5, langevin=50),
    Moment(),
)


def run(
    out: Path,
    *,
    pde: str = PDE_NAME,
    instances: int = 8,
    grid: int = 64,
    steps: Iterable[int] = STEPS,
    methods: Iterable[str] = (),
    command: str = "",
) -> list[Record]:
    """Score every solver; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        pde: name of a linear PDE.
        instances: number of instances of each task.
        grid: nodes per side.
        steps: numbers of steps.
        methods: names of solvers; all of the study's if none are given.
        command: command to type for the same records.

    Returns:
        The file's records of this PDE and grid.

    Raises:
        InputError: the PDE is not linear, or the study lacks a method.
    """
    names, methods = [s.name for s in _SOLVERS], tuple(methods)
    for method in methods:
        if method not in names:
            raise InputError(
                f"method must be one of {', '.join(names)}, got {method!r}; choose one of them"
            )
    physics = pde_by_name(pde)
    if not physics.linear:
        linear = ", ".join(name for name, kind in PDES.items() if kind.linear)
        raise InputError(f"pde must be one of the linear {linear}, got {pde!r}; choose one of them")
    log = JsonLines(out, GAUSSIAN_LIMITS)
    jobs = [
        (Task(pde, kind, grid, grid**2 * 125 // 4096), dataclasses.replace(solver, steps=n), i)
        for n in steps
        for kind in ("forward", "inverse")
        for solver in _SOLVERS
        if solver.name in (methods or names)
        for i in range(instances)
    ]
    missing = [
        (task, solver, i)
        for task, solver, i in jobs
        if (task.pde, task.grid, task.kind, solver.name, solver.steps, i) not in log
    ]
    if missing:
        priors, made = _fitted_priors(physics, grid), provenance(command)
        for task, solver, i in progress_bar(missing, "runs", unit="run", keep=True):
            log.append(score(solver, priors, task, i) | made)
    return [r for r in log.read() if (r["pde"], r["grid"]) == (pde, grid)]


def _fitted_priors(pde: PDE, grid: int) -> dict[int, GaussianPrior]:
    """Return the priors of the coefficient and of both fields, by their number of fields."""
    nodes = pde.grid(grid)
    states = Problem(pde).sample(_FITTED, nodes, seeds.generator(seeds.TRAINING, _SEED)).float()
    return {
        n: GaussianPrior.fit(
            TrainingData(states[:, :n], pde.fields[:n], nodes, pde, "fresh"), progress=True
        )
        for n in (1, 2)
    }


def exact_mean(prior: GaussianPrior, observation: Observation) -> torch.Tensor:
    """Return the posterior mean (2, n, n) under a Gaussian prior of the state.

    It is μ + C Hᵀ (H C Hᵀ + R)⁻¹ (y - H μ).
    """
    m = len(observation)
    columns = prior.covariance(observation.adjoint(torch.eye(m, dtype=torch.float64)))
    gram = observation(columns)
    mean = prior.mean(observation.grid)
    nugget = observation.noise_std**2 + 1e-9 * gram.diagonal().clamp(
        min=gram.diagonal().mean() * 1e-6
    )
    lower = cholesky_with_nugget((gram + gram.T) / 2, nugget)
    weights = torch.cholesky_solve((observation.values - observation(mean)).T, lower)
    return (mean + (columns.flatten(1).T @ weights).T.reshape(mean.shape))[0]


def score(solver: _Solver, priors: dict[int, GaussianPrior], task: Task, i: int) -> Record:
    """Return errors of a solver on instance i, relative to the norm of the truth.

    Arguments:
        solver: one of the diffusion solvers.
        priors: by their number of fields.
        task: what is reconstructed.
        i: number of the instance.
    """
    truth, observation = task.instance(i)
    channel, start = task.scored[0], time.perf_counter()
    prior = priors[1 if solver.role == "coefficient" else 2]
    found = solve(task, solver, prior, observation, i, _SAMPLES)
    seconds, size = time.perf_counter() - start, truth[channel].norm()
    best = exact_mean(priors[2], observation)[channel]
    return {
        "pde": task.pde,
        "seed": task.seed,
        "task": task.kind,
        "method": solver.name,
        "steps": solver.steps,
        "grid": task.grid,
        "sensors": task.sensors,
        "instance": i,
        "samples": _SAMPLES,
        "error": round(float((found.mean[channel] - truth[channel]).norm() / size), 6),
        "limit": round(float((best - truth[channel]).norm() / size), 6),
        "distance": round(float((found.mean[channel] - best).norm() / size), 6),
        "network_evaluations": found.record["network_evaluations"],
        "seconds": round(seconds, 3),
    }


def limit_table(records: list[Record]) -> str:
    """Return mean error over mean limit, by task and solver, as a Markdown table.

    There is a column for each number of steps; in brackets is the number of instances if others
    have more.
    """
    steps = sorted({r["steps"] for r in records})
    cells: dict[tuple[str, str, int], list[Record]] = {}
    for r in records:
        cells.setdefault((r["task"], r["method"], r["steps"]), []).append(r)
    most = max(len(group) for group in cells.values())
    rows = []
    for task, method in dict.fromkeys((t, m) for t, m, _ in cells):
        row = [task, method]
        for s in steps:
            group = cells.get((task, method, s), [])
            ratio = sum(r["error"] for r in group) / max(sum(r["limit"] for r in group), 1e-300)
            fewer = f" ({len(group)})" if len(group) < most else ""
            row.append(f"{ratio:.2f}{fewer}" if group else "")
        rows.append(row)
    return render_table(["task", "solver"], [f"{s} steps" for s in steps], rows)
