"""Long Markov chains against the solvers of nonlinear problems: `pdeinv study reference`.

The chains use no linearisation or smoothing: they sample the posterior of the latent field's draw,
with the sharp coefficient, the stated noise and each PDE's fast solve. Half of them
start at members of the solver, the others at draws of the prior, with a likelihood that is
annealed. Where both find the same posterior, the solver is right if its mean and standard deviation
agree with theirs within the Monte-Carlo error of both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from pdeinv.benchmarks.cells import solver_generator
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.studies.chains import Chains, reference_chains
from pdeinv.benchmarks.studies.media import MediumTask
from pdeinv.benchmarks.study_kinds import REFERENCES
from pdeinv.benchmarks.tasks import Task
from pdeinv.checks import Bounds, integer
from pdeinv.datasets import Problem
from pdeinv.errors import InputError
from pdeinv.posterior import Posterior
from pdeinv.solvers.selection import solver_for

__all__ = ["compare", "run"]

_MEMBERS = 32  # samples of the solver
_CHAINS = Bounds(4, 1000, even=True)
_STEPS = Bounds(80, 10**7)  # at least 4 states of the second half, for R-hat


def run(
    out: Path,
    tasks: Iterable[Task | MediumTask],
    instances: int,
    *,
    chains: int = 8,
    steps: int = 8000,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> None:
    """Compare solvers with chains; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        tasks: with noisy readings.
        instances: number of instances of each task.
        chains: number of chains.
        steps: of each chain.
        command: command to type for the same records.
        echo: prints one line.
    """
    tasks = tuple(tasks)
    for task in tasks:
        _check(task, chains, steps)
    log = JsonLines(out, REFERENCES)
    for i in range(instances):
        for task in tasks:
            setting = (task.pde, task.kind, task.grid, task.sensors, task.noise, task.seed)
            if (*setting, i, chains, steps, task.variant) not in log:
                record = compare(task, i, chains, steps) | provenance(command)
                log.append(record)
                shown = (*REFERENCES.identity, "error_solver", "error_chains", "distance")
                echo(", ".join(f"{name} {record[name]}" for name in shown))


def compare(task: Task | MediumTask, i: int, chains: int, steps: int) -> Record:
    """Return the solver's posterior of instance i against the chains', in the norm of the truth.

    "starts_apart" is the distance between the means of chains that start at the solver's members
    and at draws of the prior, over its Monte-Carlo error.

    Arguments:
        task: with noisy readings.
        i: number of the instance.
        chains: number of chains, at least 4 and even.
        steps: of each chain, at least 80.

    Raises:
        InputError: the readings are exact, or there are too few chains or steps.
    """
    problem = _check(task, chains, steps)
    truth, observation = task.instance(i)
    channel = task.scored[0]
    pde, prior = problem.physics, problem.prior
    solver = solver_for("auto", pde, prior)
    ours = solver(pde, prior, observation, n_samples=_MEMBERS, generator=solver_generator(i))
    if ours.latent is None:
        raise InputError(
            f"pde must have a solver that samples the latent field, got {task.pde}, whose solver "
            f"is {solver.name}; choose another PDE"
        )
    begin, generator = time.perf_counter(), solver_generator(1_000_000 + i)
    start = _starts(problem, ours.latent, chains, generator)
    from_prior = torch.arange(chains) >= chains // 2
    centre = ours.latent.mean(dim=0, keepdim=True)
    found = reference_chains(
        problem, observation, start, from_prior, centre, steps, channel, generator
    )
    return {
        "pde": task.pde,
        "task": task.kind,
        "variant": task.variant,
        **{name: getattr(task, name) for name in ("grid", "sensors", "noise", "seed")},
        "instance": i,
        "method": solver.name,
        "field": pde.fields[channel].name,
        "chains": chains,
        "steps": steps,
        **_agreement(found, from_prior),
        **_distances(ours, found, truth, channel),
        "seconds": round(time.perf_counter() - begin, 1),
    }


def _check(task: Task | MediumTask, chains: int, steps: int) -> Problem:
    """Return the problem of a task; refuse what no chains can sample."""
    if not task.noise > 0:
        raise InputError(
            f"noise must be above 0, so that chains can move, got {task.noise}; use --noise 0.01"
        )
    integer("chains", chains, _CHAINS)
    integer("steps of a chain", steps, _STEPS)
    return task.problem


def _distances(ours: Posterior, found: Chains, truth: torch.Tensor, channel: int) -> Record:
    """Return errors, distances and spreads of the solver and the chains in one field."""
    mean, size = found.means.mean(dim=0), truth[channel].norm()
    variance = (found.squares.mean(dim=0) - mean**2).clamp(min=0)
    return {
        "error_solver": _percent((ours.mean[channel] - truth[channel]).norm() / size),
        "error_chains": _percent((mean - truth[channel]).norm() / size),
        "distance": _percent((ours.mean[channel] - mean).norm() / size),
        "monte_carlo_chains": _percent(_error_of_mean(found.means) / size),
        "monte_carlo_solver": _percent(_error_of_solver(ours, channel) / size),
        "spread_solver": _percent(ours.std[channel].norm() / size),
        "spread_chains": _percent(variance.sum().sqrt() / size),
    }


def _starts(
    problem: Problem, members: torch.Tensor, chains: int, generator: torch.Generator
) -> torch.Tensor:
    """Return where chains start, (chains, size): half of them at members, half at draws."""
    drawn = problem.latent.white(chains // 2, generator).flatten(1)
    return torch.cat([members[::2][: chains // 2], drawn])  # of a pair of members the first


def _agreement(found: Chains, from_prior: torch.Tensor) -> Record:
    """Return how well chains have mixed, and how well those of the two starts agree."""
    r_hat = _r_hat(found.trace)
    apart = found.means[from_prior].mean(dim=0) - found.means[~from_prior].mean(dim=0)
    errors = [_error_of_mean(found.means[side]) for side in (from_prior, ~from_prior)]
    return {
        "acceptance": [round(a, 3) for a in found.acceptance],
        "log_likelihood": round(float(found.trace[..., 0].mean()), 2),
        "log_likelihood_drift": _drift(found.likelihood),
        "r_hat": [round(float(v), 3) for v in (r_hat.median(), r_hat.max())],
        "starts_apart": round(float(apart.norm()) / math.hypot(*errors), 2),
    }


def _error_of_mean(independent: torch.Tensor) -> float:
    """Return the norm of the standard error of a mean of fields (k, n, n)."""
    return float((independent.var(dim=0).sum() / len(independent)).sqrt())


def _error_of_solver(posterior: Posterior, channel: int) -> float:
    """Return the norm of the standard error of a solver's mean.

    The two members of a pair are not independent, but pairs are. The mean may be of more members
    than there are samples.
    """
    samples = posterior.samples[:, channel]
    independent = samples.unflatten(0, (-1, 2)).mean(dim=1) if posterior.pairs else samples
    members = int(posterior.record.get("members_kept", len(samples)))
    return _error_of_mean(independent) * (len(samples) / members) ** 0.5


def _r_hat(trace: torch.Tensor) -> torch.Tensor:
    """Return the split R-hat of each functional of (draws, chains, functionals)."""
    from arviz_stats.base import array_stats  # takes a second or two to import

    found = array_stats.rhat(trace.transpose(0, 1).numpy(), chain_axis=0, draw_axis=1)
    return torch.as_tensor(found)


def _drift(likelihood: torch.Tensor) -> float:
    """Return by how much the last quarter's mean log-likelihood (draws, chains) exceeds that of
    the quarter before."""
    quarter = len(likelihood) // 4
    before, late = likelihood[-2 * quarter : -quarter], likelihood[-quarter:]
    return round(float(late.mean() - before.mean()), 2)


def _percent(share: torch.Tensor | float) -> float:
    return round(100 * float(share), 3)
