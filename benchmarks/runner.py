"""Run methods on tasks, one JSON line an instance as soon as it is done, and summarise them."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from dataclasses import asdict, fields
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t as student_t
from tqdm import tqdm

from pdeinv.benchmarks.report import read_records
from pdeinv.benchmarks.tasks import Task
from pdeinv.errors import InputError
from pdeinv.metrics import crps_ensemble, error_rate, ranks, relative_l2
from pdeinv.output import written_whole
from pdeinv.posterior import Posterior
from pdeinv.prior import Ensemble
from pdeinv.priors import load
from pdeinv.solvers import SOLVERS, OptimalInterpolation, Solver
from pdeinv.solvers.diffusion import DiffusionSolver
from pdeinv.solvers.optimal_interpolation import draw_ensemble
from pdeinv.solvers.reconstruction import with_options

__all__ = ["check", "provenance", "run", "solver_generator", "summarise"]

_SAMPLES = 19  # so that the central 18 of the truth's 20 possible ranks are a 90 % interval
_KEY = (
    "pde",
    "task",
    "method",
    "equireg",
    "steps",
    "settings",
    "given_prior",
    "samples",
    "grid",
    "sensors",
    "noise",
    "seed",
)
_ABSENT = {"equireg": False, "steps": 0, "samples": _SAMPLES}  # in older rows
# The truth of instance i is the first draw from its own seed: a solver on that stream would find it among its prior draws.
_SOLVER_SEED = 3_000_000_000
_PRIORS = {"optimal-interpolation": "ensemble", "kriging": "fitted"}
_ENSEMBLE_SEED = 4_000_000_000  # no task draws its instances from this seed


def run(
    task: Task,
    method: str,
    instances: int,
    out: str | os.PathLike,
    *,
    steps: int | None = None,
    equireg: bool | str = False,
    prior: str | None = None,
    settings: dict | None = None,
    samples: int = _SAMPLES,
    command: str = "",
    progress=False,
) -> list[dict]:
    """Score a method on the first instances of a task; those already in the file are kept, so that a rerun resumes.

    Arguments:
        method: a name in `pdeinv.solvers.SOLVERS`.
        instances: how many.
        out: JSON-lines file of summaries, rewritten; the instances stand beside it in `<out stem>.instances.jsonl`.
        steps, equireg, prior: of a solver by diffusion, as in `reconstruct`; equireg also by a name of its `VARIANTS`.
        settings: further arguments of the method's class.
        samples: posterior samples behind the mean and the spread.
        command: what the reader is to type, recorded.

    Returns:
        This task's and method's summaries: one record for each scored field and metric.
    """
    options = {"steps": steps, "equireg": equireg, "prior": prior, "settings": settings}
    solver, out = check(task, method, instances, **options), Path(out)
    log = out.with_name(f"{out.stem}.instances.jsonl")
    key = {"method": method, "equireg": equireg, "steps": getattr(solver, "steps", 0), "samples": samples}
    key |= {
        "given_prior": prior and Path(prior).name,
        "settings": json.dumps(settings, sort_keys=True) if settings else None,
    }
    key |= {("task" if k == "kind" else k): v for k, v in asdict(task).items()}
    log.touch()
    _drop_cut_instances(log)
    done = {row["instance"] for row in read_records(log) if _key(row) == _key(key)}
    missing = [i for i in range(instances) if i not in done]
    known = load(prior) if missing and prior else None
    if missing and isinstance(solver, OptimalInterpolation):
        known = _ensemble(task, solver.members, progress)  # drawn once for all instances, outside their time
    label = f"{task.pde} {task.kind} {method}"
    for i in tqdm(missing, desc=label, disable=not (progress and missing), unit="instance"):
        rows = _score(task, solver, known, i, samples)
        made = {"rows": len(rows), **provenance(command)} | ({"prior": key["given_prior"]} if prior else {})
        with log.open("a") as stream:
            stream.write("".join(json.dumps({**key, **row, **made}) + "\n" for row in rows))
    with written_whole(out) as temporary:
        records = summarise(read_records(log))
        temporary.write_text("".join(json.dumps(r) + "\n" for r in records))
    return [r for r in records if _key(r) == _key(key)]


def _key(row: dict) -> tuple:
    return tuple(row.get(k, _ABSENT.get(k)) for k in _KEY)


def check(
    task: Task,
    method: str,
    instances: int,
    *,
    steps: int | None = None,
    equireg: bool | str = False,
    prior: str | None = None,
    settings: dict | None = None,
) -> Solver:
    """The method's solver, unless the run would fail for a name, a PDE or a number that cannot be used."""
    if method not in SOLVERS:
        raise InputError(f"method {method!r} is unknown; use one of {', '.join(sorted(SOLVERS))}")
    if instances < 1:
        raise InputError(f"instances = {instances} must be at least 1")
    known = {f.name for f in fields(SOLVERS[method])} - {"steps", "guidance"}
    for name in settings or {}:
        if name not in known:
            raise InputError(f"method {method!r} has no setting {name!r}; it has {', '.join(sorted(known)) or 'none'}")
    solver = with_options(SOLVERS[method](**(settings or {})), equireg, steps)
    if not solver.accepts(task.physics):
        raise InputError(f"method {method!r} is not made for {task.pde}: {solver.needs}; leave one of them out")
    if prior and not isinstance(solver, DiffusionSolver):
        raise InputError(f"method {method!r} takes no prior from a file; leave out --prior or the method")
    solver.check(task.physics, load(prior) if prior else None)
    task.instance(0)
    return solver


def summarise(rows: list[dict]) -> list[dict]:
    """One record for each task, method, field and metric: means over instances, with the standard error of the error."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((*_key(row), row["field"], row["metric"]), []).append(row)
    records = []
    for group in groups.values():
        mean = {name: float(np.mean([r[name] for r in group])) for name in _AVERAGED if name in group[0]}
        histogram = np.mean([r["ranks"] for r in group], axis=0)
        errors = np.array([r["error"] for r in group])
        first = group[0]
        records.append(
            dict(zip(_KEY, _key(first), strict=True))
            | {"prior": first["prior"], "instances": len(group)}
            | {name: first[name] for name in ("field", "metric")}
            | {name: _rounded(value) for name, value in mean.items()}
            | {"ranks": [_rounded(share) for share in histogram]}
            | {"error_se": _rounded(errors.std(ddof=1) / len(errors) ** 0.5) if len(errors) > 1 else None}
            | {name: "; ".join(dict.fromkeys(r[name] for r in group)) for name in ("commit", "machine", "command")}
        )
    return records


_AVERAGED = (
    "error",
    "predicted_error",
    "sample_error",
    "crps",
    "coverage90",
    "reduced_chi_squared",
    "seconds_per_instance",
    "network_evaluations",
    "solver_calls",
)


def _score(task: Task, solver: Solver, prior, i: int, samples: int) -> list[dict]:
    truth, observation = task.instance(i)
    start = time.perf_counter()
    posterior = solver(task.physics, prior, observation, n_samples=samples, generator=solver_generator(i))
    seconds = time.perf_counter() - start
    shared = {
        "instance": i,
        "prior": posterior.record.get("prior") or _PRIORS.get(solver.name, "exact"),
        "seconds_per_instance": _rounded(seconds),
        **{k: posterior.record.get(k, 0) for k in ("reduced_chi_squared", "network_evaluations", "solver_calls")},
    }
    return [shared | row for channel in task.scored for row in _metrics(task, posterior, truth, channel, i)]


def solver_generator(i: int) -> torch.Generator:
    """The randomness of a solver on instance i, independent of the instance's own."""
    return torch.Generator().manual_seed(_SOLVER_SEED + i)


def _metrics(task: Task, posterior: Posterior, truth: torch.Tensor, channel: int, i: int) -> list[dict]:
    mean, std, true = (v[None, channel : channel + 1] for v in (posterior.mean, posterior.std, truth))
    samples = posterior.samples[:, None, channel : channel + 1]
    covered, histogram = _covered(samples[:, 0, 0], mean[0, 0], std[0, 0], true[0, 0], torch.Generator().manual_seed(i))
    shared = {
        "field": posterior.fields[channel].name,
        "crps": _rounded(float(crps_ensemble(samples, true).mean())),
        "coverage90": _rounded(covered),
        "spread": _rounded(float(std.square().mean().sqrt())),
        "ranks": [_rounded(float(share)) for share in histogram],
    }
    # The error of the mean, that which the posterior expects of it, and that of a single sample, which papers report.
    every = true.expand_as(samples)
    one = float(relative_l2(samples, every).mean())
    scores = {"relative_l2": (float(relative_l2(mean, true)), float(std.norm() / true.norm()), one)}
    bounds = task.physics.coefficient_range
    if channel == 0 and bounds:
        high = (mean - bounds[0]) / (bounds[1] - bounds[0])
        predicted = torch.minimum(high, 1 - high).mean()
        middle = sum(bounds) / 2
        one = float(error_rate(samples, every, middle).mean())
        scores["error_rate"] = (float(error_rate(mean, true, middle)), float(predicted), one)
    names = ("error", "predicted_error", "sample_error")
    return [
        shared | {"metric": metric} | {name: _rounded(value) for name, value in zip(names, values, strict=True)}
        for metric, values in scores.items()
    ]


def _covered(samples, mean, std, truth, generator) -> tuple[float, torch.Tensor]:
    """Share of the nodes where a 90 % interval holds the truth (n, n), and frequencies of its rank among the samples."""
    size = len(samples)
    rank = ranks(samples, truth, generator)
    histogram = rank.flatten().bincount(minlength=size + 1) / rank.numel()
    if (size + 1) % 20 == 0:
        edge = (size + 1) // 20
        return float(histogram[edge:-edge].sum()), histogram
    # Too few for quantiles of their own: Student's interval for one more draw of a Gaussian.
    wide = student_t.ppf(0.95, size - 1) * (1 + 1 / size) ** 0.5
    return float(((truth - mean).abs() <= wide * std).double().mean()), histogram


def _ensemble(task: Task, members: int, progress: bool) -> Ensemble:
    generator = torch.Generator().manual_seed(_ENSEMBLE_SEED)
    return Ensemble(draw_ensemble(task.physics, members, task.physics.grid(task.grid), generator, progress))


def _drop_cut_instances(log: Path) -> None:
    """Drop what a killed run wrote last, unless every row of that instance is there."""
    text = log.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        log.write_text(whole)
    rows = read_records(log)
    last = [r for r in rows if (_key(r), r["instance"]) == (_key(rows[-1]), rows[-1]["instance"])]
    if last and len(last) < last[0]["rows"]:
        with written_whole(log) as temporary:
            temporary.write_text("".join(line + "\n" for line in whole.splitlines()[: -len(last)]))


def provenance(command: str) -> dict:
    """What made a record: commit, machine and the command to type."""
    return {"commit": _commit(), "machine": _machine(), "command": command}


@cache
def _commit() -> str:
    here = Path(__file__).parent
    try:
        revision = subprocess.run(
            ["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return revision.stdout.strip()


def _machine() -> str:
    try:
        names = [
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ]
    except OSError:
        names = []
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {torch.get_num_threads()} threads"


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")
