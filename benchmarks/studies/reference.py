"""Long Markov chains beside the solvers of the nonlinear PDEs: `python -m
pdeinv.benchmarks.studies.reference --out FILE.jsonl`.

The chains know nothing of linearisation or smoothing: they sample the posterior of the
Karhunen–Loève coefficients, with the sharp coefficient, the stated noise and each PDE's fast solve,
whose error of about 1e-6 is far below that noise. Where the solver's mean and spread agree with
theirs within the Monte-Carlo error of both, the solver is at the Bayes limit.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
import time
from pathlib import Path

import torch
from tqdm import tqdm

from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.reports.tables import read_records
from pdeinv.benchmarks.runner import solver_generator
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import PDE
from pdeinv.errors import InputError, run_cli
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.selection import solver_for

__all__ = ["reference_chains"]

# Of a smoothed jump, relative to the latent field's standard deviation; shapes the proposals alone
_WIDTH = 0.2
_ACCEPTANCE = 0.25  # what the step sizes are tuned to
_EVERY = 10  # steps between two recorded states


def reference_chains(
    pde: PDE,
    observation: Observation,
    start: torch.Tensor,
    steps: int,
    channel: int,
    generator: torch.Generator,
) -> dict:
    """Run Metropolis–Hastings from each start and average the field of one channel over the second
    half of the steps.

    The proposal is preconditioned Crank–Nicolson with a step for each direction: in the eigenbasis
    of the Gauss–Newton Hessian JᵀJ at the mean of the starts, eigenvalues λ_k, it is ξ' = sqrt(1 -
    β_k²) ξ + β_k z with β_k = β / sqrt(1 + λ_k), and β = β' for the directions that the readings do
    not see. It is reversible for the prior, so that only the likelihood decides. Steps in the two
    subspaces alternate; β and β' are tuned in the first quarter.

    Arguments:
        start: ξ of each chain, (chains, modes²).

    Returns:
        `means` and `squares` (chains, n, n) of the field, `acceptance` (2,), `trace` (draws,
        chains) of the log-likelihood.

    Reference:
        Cotter, Roberts, Stuart & White, *MCMC methods for functions*, Statistical Science 28(3),
        2013, section 4.2; Cui, Law & Marzouk, *Dimension-independent likelihood-informed MCMC*, J.
        Comput. Phys. 304, 2016, section 3.
    """
    prior, grid = pde.latent_prior, observation.grid
    shape = (1, *prior.eigenvalues.shape)
    forward = ForwardMap(pde, observation)
    width = _WIDTH * float(prior.eigenvalues.sum()) ** 0.5

    def fields(xi):
        return forward.states(forward.coefficient(xi.unflatten(1, shape)), forward.surrogate)

    def log_likelihood(state):
        return (
            -((observation.values - observation(state)) / observation.noise_std).square().sum(dim=1)
            / 2
        )

    centre = start.mean(dim=0, keepdim=True).unflatten(1, shape)
    rows = forward.whitened_jacobian(centre, lambda latent: pde.smoothed(latent, width))
    rows = rows / observation.noise_std[:, None]
    _, scale, basis = torch.linalg.svd(rows, full_matrices=False)  # basis (m, modes²)
    narrow = 1 / (1 + scale**2).sqrt()

    def noise(n):
        return torch.randn(n, shape[1] * shape[2], dtype=torch.float64, generator=generator)

    xi, state = start.clone(), fields(start)
    current = log_likelihood(state)
    beta, accepted, counted = [0.3, 0.3], [0.0, 0.0], [0, 0]
    means = torch.zeros(len(start), *grid.shape, dtype=torch.float64)
    squares, trace, recorded = torch.zeros_like(means), [], 0
    for step in tqdm(range(steps), desc="chains", leave=False):
        z, kind = noise(len(xi)), step % 2
        inside, z_inside = xi @ basis.T, z @ basis.T
        if kind == 0:
            b = beta[0] * narrow
            moved = (1 - b**2).sqrt() * inside + b * z_inside - inside
            proposal = xi + moved @ basis
        else:
            keep = (1 - beta[1] ** 2) ** 0.5
            proposal = keep * xi + beta[1] * z
            proposal = proposal + (inside - proposal @ basis.T) @ basis
        trial = fields(proposal)
        likelihood = log_likelihood(trial)
        accept = (
            torch.rand(len(xi), dtype=torch.float64, generator=generator).log()
            < likelihood - current
        )
        xi = torch.where(accept[:, None], proposal, xi)
        state = torch.where(accept[:, None, None, None], trial, state)
        current = torch.where(accept, likelihood, current)
        rate = float(accept.double().mean())
        if step < steps // 4:
            beta[kind] = min(1.0, max(1e-4, beta[kind] * math.exp(0.1 * (rate - _ACCEPTANCE))))
        else:
            accepted[kind] += rate
            counted[kind] += 1
        if step % _EVERY == 0:
            trace.append(current)
            if step >= steps // 2:
                field = (
                    state[:, channel]
                    if forward.sees_solution or channel == 0
                    else pde.surrogate(state[:, :1])[:, 0]
                )
                means, squares, recorded = means + field, squares + field**2, recorded + 1
    return {
        "means": means / recorded,
        "squares": squares / recorded,
        "acceptance": [a / max(c, 1) for a, c in zip(accepted, counted, strict=True)],
        "trace": torch.stack(trace),
    }


def compare(task: Task, i: int, chains: int, steps: int) -> dict:
    """One instance: the solver's posterior against the chains', in the norm of the truth."""
    if not task.noise > 0:
        raise InputError("chains cannot move between exact readings; use a noise above 0")
    truth, observation = task.instance(i)
    pde, channel = task.physics, task.scored[0]
    solver = solver_for("auto", pde)
    ours = solver(pde, None, observation, n_samples=32, generator=solver_generator(i))
    start = time.perf_counter()
    generator = solver_generator(1_000_000 + i)
    run = reference_chains(pde, observation, ours.latent[:chains], steps, channel, generator)
    mean = run["means"].mean(dim=0)
    variance = (run["squares"].mean(dim=0) - mean**2).clamp(min=0)
    size = truth[channel].norm()
    members = ours.record.get("members_kept", len(ours.samples))
    half = len(run["trace"]) // 2
    return {
        "pde": task.pde,
        "task": task.kind,
        "grid": task.grid,
        "sensors": task.sensors,
        "noise": task.noise,
        "seed": task.seed,
        "instance": i,
        "method": solver.name,
        "field": pde.fields[channel].name,
        "chains": chains,
        "steps": steps,
        "acceptance": [round(a, 3) for a in run["acceptance"]],
        "log_likelihood": round(float(run["trace"][half:].mean()), 2),
        "log_likelihood_drift": round(
            float(run["trace"][half:].mean() - run["trace"][half // 2 : half].mean()), 2
        ),
        "error_solver": _percent((ours.mean[channel] - truth[channel]).norm() / size),
        "error_chains": _percent((mean - truth[channel]).norm() / size),
        "distance": _percent((ours.mean[channel] - mean).norm() / size),
        "monte_carlo_chains": _percent((run["means"].var(dim=0).sum() / chains).sqrt() / size),
        "monte_carlo_solver": _percent(ours.std[channel].norm() / members**0.5 / size),
        "spread_solver": _percent(ours.std[channel].norm() / size),
        "spread_chains": _percent(variance.sum().sqrt() / size),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _percent(share) -> float:
    return round(100 * float(share), 3)


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON-lines file; instances that it holds are kept"
    )
    parser.add_argument("--pde", nargs="*", default=["darcy", "navier-stokes"])
    parser.add_argument("--task", nargs="*", default=["forward", "inverse"])
    parser.add_argument("--grid", type=int, default=64)
    parser.add_argument("--sensors", type=int, default=125)
    parser.add_argument(
        "--noise",
        type=float,
        default=0.01,
        help="relative to the field's standard deviation, not 0",
    )
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--chains", type=int, default=12)
    parser.add_argument("--steps", type=int, default=8000)
    o = parser.parse_args()
    command = shlex.join(["python", "-m", "pdeinv.benchmarks.studies.reference", *sys.argv[1:]])
    o.out.touch()
    for i in range(o.instances):
        for pde in o.pde:
            for kind in o.task:
                task = Task(pde, kind, o.grid, o.sensors, o.noise)
                key = {
                    "pde": pde,
                    "task": kind,
                    "grid": o.grid,
                    "sensors": o.sensors,
                    "noise": o.noise,
                    "instance": i,
                }
                if any(key.items() <= record.items() for record in read_records(o.out)):
                    continue
                record = compare(task, i, o.chains, o.steps) | provenance(command)
                with o.out.open("a") as stream:
                    stream.write(json.dumps(record) + "\n")
                print(
                    {k: record[k] for k in (*key, "error_solver", "error_chains", "distance")},
                    flush=True,
                )


if __name__ == "__main__":
    run_cli(_main)
