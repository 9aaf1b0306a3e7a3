"""Scores of a posterior against the truth: errors, calibration, CRPS and cost."""

from __future__ import annotations

import time

import torch

from pdeinv import seeds
from pdeinv.benchmarks.cells import solve
from pdeinv.benchmarks.provenance import forget_peak, peak_megabytes
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.summary import COUNTED, LEVELS, coverage_of, rounded
from pdeinv.benchmarks.tasks import Task, fingerprint
from pdeinv.datasets import Problem
from pdeinv.errors import DivergedError
from pdeinv.metrics import (
    crps_ensemble,
    error_rate,
    error_spectrum,
    ranks,
    relative_l2,
)
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors import Prior
from pdeinv.solvers import Solver

__all__ = ["mean_errors", "score"]

_TENTHS = 10
# The prior of solvers that have another than the PDE's distribution and do not record it
_PRIORS = {"optimal-interpolation": "ensemble", "kriging": "fitted"}


def score(
    task: Task, solver: Solver, prior: Prior, i: int, samples: int, device: str = "cpu"
) -> list[Record]:
    """Solve instance i and score the posterior: a record for each scored field and metric.

    Arguments:
        task: what is reconstructed.
        solver, prior: as `Cell.prepare` returns them.
        i: number of the instance.
        samples: number of posterior samples.
        device: of torch, on which the solver computes.

    Returns:
        The records; their scores are None where the solver diverged.
    """
    truth, observation = task.instance(i)
    forget_peak()
    start = time.perf_counter()
    counts: Record = dict.fromkeys(COUNTED)
    try:
        posterior = solve(task, solver, prior, observation, i, samples, device)
        counts |= {name: posterior.record.get(name, 0) for name in COUNTED}
    except DivergedError:
        posterior = _diverged(task, observation, samples)
    seconds = time.perf_counter() - start
    shared = {
        "instance": i,
        "prior": posterior.record.get("prior") or _PRIORS.get(solver.name) or _kind(task, prior),
        "instance_hash": fingerprint(truth, observation),
        "seconds_per_instance": rounded(seconds),
        "peak_megabytes": peak_megabytes(),
        **counts,
    }
    return [
        shared | row
        for channel in task.scored
        for row in _scores(task, posterior, truth, channel, i)
    ]


def _kind(task: Task, prior: Prior) -> str:
    """Return what a prior that a solver is given is: that of the truth, or not."""
    return "exact" if not task.family or prior == task.problem.prior else "default"


def mean_errors(
    problem: Problem, estimate: torch.Tensor, truth: torch.Tensor, channel: int
) -> dict[str, torch.Tensor]:
    """Return the errors of estimates by metric; a coefficient of two values has an error rate too.

    Arguments:
        problem: the physics and the prior.
        estimate, truth: (batch, 1, ny, nx), one field.
        channel: 0 if that field is the coefficient, 1 if it is the solution.

    Returns:
        Errors (batch, 1) by the metric's name.
    """
    errors = {"relative_l2": relative_l2(estimate, truth)}
    if channel == 0 and (values := problem.coefficient_prior.phases):
        errors["error_rate"] = error_rate(estimate, truth, sum(values) / 2)
    return errors


def _scores(
    task: Task, posterior: Posterior, truth: torch.Tensor, channel: int, i: int
) -> list[Record]:
    mean, std, true = (
        v[None, channel : channel + 1] for v in (posterior.mean, posterior.std, truth)
    )
    samples = posterior.samples[:, None, channel : channel + 1]
    # An error rate would count nan as a value, and a rank as the lowest
    known = bool(samples.isfinite().all())
    ties = seeds.generator(seeds.STATISTICS, i)
    histogram = _histogram(samples, true, ties, known)
    shared = {
        "field": posterior.fields[channel].name,
        "crps": rounded(float(crps_ensemble(samples, true, pairs=posterior.pairs).mean())),
        "crps_pairs": posterior.pairs,  # whether they were respected; older records lack it
        **{f"coverage{level}": coverage_of({"ranks": histogram}, level) for level in LEVELS},
        "spread": rounded(float(std.square().mean().sqrt())),
        "ranks": histogram,
        "error_spectrum": [rounded(v) for v in error_spectrum(mean[0, 0], true[0, 0]).tolist()],
    }
    problem, every = task.problem, true.expand_as(samples)
    predicted = _predicted_errors(problem, mean, std, true, channel)
    single = mean_errors(problem, samples.flatten(0, 1), every.flatten(0, 1), channel)
    high = _probability(problem, posterior) if known and channel == 0 else None
    forecast = {} if high is None else _forecast(high, true[0, 0] > _middle(problem))
    return [
        shared
        | (forecast if metric == "error_rate" else {})
        | {"metric": metric}
        | {
            name: rounded(value if known else float("nan"))
            for name, value in (
                ("error", float(error)),
                ("predicted_error", predicted[metric]),
                ("sample_error", float(single[metric].mean())),  # which papers report
            )
        }
        for metric, error in mean_errors(problem, mean, true, channel).items()
    ]


def _middle(problem: Problem) -> float:
    """Return the value between the phases of a coefficient of two values."""
    phases = problem.coefficient_prior.phases
    assert phases is not None
    return sum(phases) / 2


def _probability(problem: Problem, posterior: Posterior) -> torch.Tensor | None:
    """Return the probability (ny, nx) of the high value of the coefficient, that of the mean where
    the method states none; None for a coefficient of other values."""
    phases = problem.coefficient_prior.phases
    if phases is None or posterior.probability is not None:
        return None if phases is None else posterior.probability
    return ((posterior.mean[0] - phases[0]) / (phases[1] - phases[0])).clamp(0, 1)


def _forecast(high: torch.Tensor, truth: torch.Tensor) -> Record:
    """Return the Brier score of probabilities, and for each tenth of them the share of nodes, the
    mean probability and the share of nodes where the truth is high, both times that share.

    Arguments:
        high: probabilities (ny, nx).
        truth: where the truth is high, (ny, nx).

    Reference:
        Brier, *Verification of forecasts expressed in terms of probability*, Monthly Weather Review
        78, 1950.
    """
    p, hit = high.flatten().double(), truth.flatten().double()
    tenth = (p * _TENTHS).long().clamp(max=_TENTHS - 1)
    sums = torch.zeros(3, _TENTHS, dtype=torch.float64)
    for row, values in zip(sums, (torch.ones_like(p), p, hit), strict=True):
        row.index_add_(0, tenth, values)
    curve = [[rounded(v) for v in row] for row in (sums / len(p)).T.tolist()]
    return {"brier": rounded(float((p - hit).square().mean())), "reliability": curve}


def _predicted_errors(
    problem: Problem, mean: torch.Tensor, std: torch.Tensor, truth: torch.Tensor, channel: int
) -> dict[str, float]:
    """Return by metric the error of the mean that the posterior expects."""
    predicted = {"relative_l2": float(std.norm() / truth.norm())}
    if channel == 0 and (values := problem.coefficient_prior.phases):
        high = (mean - values[0]) / (values[1] - values[0])
        predicted["error_rate"] = float(torch.minimum(high, 1 - high).mean())
    return predicted


def _histogram(
    samples: torch.Tensor, truth: torch.Tensor, generator: torch.Generator, known: bool
) -> list[float | None]:
    """Return how often the truth has each rank among the samples, s + 1 numbers.

    Arguments:
        samples: (s, 1, 1, n, n).
        truth: (1, 1, n, n).
        generator: breaks ties of ranks.
        known: whether all samples are finite; without, the shares are None.
    """
    if not known:
        return [None] * (len(samples) + 1)
    counts = ranks(samples, truth, generator).flatten().bincount(minlength=len(samples) + 1)
    return [rounded(float(share)) for share in counts / truth.numel()]


def _diverged(task: Task, observation: Observation, samples: int) -> Posterior:
    """Return the posterior of a solver that diverged: nan."""
    nothing = torch.full((samples, 2, task.grid, task.grid), torch.nan, dtype=torch.float64)
    return Posterior(task.physics.fields, observation.grid, nothing[0], nothing[0], nothing)
