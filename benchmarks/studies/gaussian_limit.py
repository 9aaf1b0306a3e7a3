"""Published solvers where the posterior is known: `python -m
pdeinv.benchmarks.studies.gaussian_limit --out F.jsonl`.

The prior is Gaussian, fitted to Helmholtz fields, and its denoiser exact: what is left is the
sampler's own error, and that of a mean of 8 samples, sqrt(1 + 1/8) = 1.06 times the limit if they
are perfect. For every solver and number of steps this records the error of the posterior mean
beside that of the exact one under the prior of both fields; DDIS and `moment` have that of the
coefficient, and the PDE.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.reports.tables import read_records
from pdeinv.benchmarks.runner import drop_cut_line, solve
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import pde_by_name
from pdeinv.errors import run_cli
from pdeinv.files import check_writable
from pdeinv.observation import Observation
from pdeinv.priors import GaussianPrior, TrainingData
from pdeinv.solvers import DAPS, DDIS, DPS, DiffusionPDE, FunDPS, Moment
from pdeinv.solvers.base import cholesky_with_nugget

__all__ = ["exact_mean", "limit_table", "score"]

_SEED = 79_000  # no dataset or benchmark draws from it
_FITTED = 4000  # fields
_SAMPLES = 8
_KEY = ("pde", "grid", "task", "method", "steps", "instance")
_STEPS = (20, 50, 100, 500)
_SOLVERS = (
    DPS(),
    DiffusionPDE(),
    FunDPS(),
    DAPS(ode_steps=5, langevin=50),
    DDIS(ode_steps=5, langevin=50),
    Moment(),
)


def exact_mean(prior: GaussianPrior, observation: Observation) -> torch.Tensor:
    """Posterior mean (2, n, n) under a Gaussian prior of the state: μ + C Hᵀ (H C Hᵀ + R)⁻¹ (y - H
    μ)."""
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


def score(solver, priors: dict[int, GaussianPrior], task: Task, i: int) -> dict:
    """Errors of one solver on one instance, relative to the norm of the truth."""
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


def limit_table(records: list[dict]) -> str:
    """Markdown: mean error over mean limit, by task and solver; a column for each number of steps.

    In brackets stand the instances of what has fewer than the others.
    """
    steps = sorted({r["steps"] for r in records})
    cells: dict[tuple, list[dict]] = {}
    for r in records:
        cells.setdefault((r["task"], r["method"], r["steps"]), []).append(r)
    most = max(len(group) for group in cells.values())
    lines = [
        "| task | solver | " + " | ".join(f"{s} steps" for s in steps) + " |",
        "| --- | --- |" + " ---: |" * len(steps),
    ]
    for task, method in dict.fromkeys((t, m) for t, m, _ in cells):
        row = []
        for s in steps:
            group = cells.get((task, method, s), [])
            ratio = sum(r["error"] for r in group) / max(sum(r["limit"] for r in group), 1e-300)
            fewer = f" ({len(group)})" if len(group) < most else ""
            row.append(f"{ratio:.2f}{fewer}" if group else "")
        lines.append(f"| {task} | {method} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON-lines file; what is there is kept"
    )
    parser.add_argument("--pde", default="helmholtz", choices=("poisson", "helmholtz"))
    parser.add_argument("--instances", type=int, default=8)
    parser.add_argument("--grid", type=int, default=64)
    parser.add_argument("--steps", type=int, nargs="+", default=_STEPS)
    names = [s.name for s in _SOLVERS]
    parser.add_argument(
        "--method",
        nargs="+",
        default=names,
        choices=names,
        help="some of the solvers; all if not given",
    )
    o = parser.parse_args()
    check_writable(o.out)
    pde = pde_by_name(o.pde)
    states = pde.sample(_FITTED, pde.grid(o.grid), torch.Generator().manual_seed(_SEED)).float()
    priors = {}
    for channels in (1, 2):
        data = TrainingData(
            states[:, :channels], pde.fields[:channels], pde.grid(o.grid), pde, "fresh"
        )
        priors[channels] = GaussianPrior.fit(data, progress=True)
    made = provenance(
        shlex.join(["python", "-m", "pdeinv.benchmarks.studies.gaussian_limit", *sys.argv[1:]])
    )
    o.out.touch()
    drop_cut_line(o.out)
    done = {tuple(r[k] for k in _KEY) for r in read_records(o.out)}
    runs = [
        (
            Task(o.pde, kind, o.grid, o.grid**2 * 125 // 4096),
            dataclasses.replace(solver, steps=steps),
            i,
        )
        for steps in o.steps
        for kind in ("forward", "inverse")
        for solver in _SOLVERS
        if solver.name in o.method
        for i in range(o.instances)
    ]
    for task, solver, i in tqdm(runs, unit="run"):
        if (task.pde, task.grid, task.kind, solver.name, solver.steps, i) not in done:
            record = score(solver, priors, task, i)
            with o.out.open("a") as stream:
                stream.write(json.dumps(record | made) + "\n")
    print(limit_table([r for r in read_records(o.out) if (r["pde"], r["grid"]) == (o.pde, o.grid)]))


if __name__ == "__main__":
    run_cli(_main)
