"""Run methods on tasks, one JSON line an instance as soon as it is done, and summarise them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path

import torch
from scipy.stats import t as student_t
from tqdm import tqdm

from pdeinv.benchmarks.provenance import forget_peak, peak_megabytes, provenance
from pdeinv.benchmarks.reports.tables import read_records
from pdeinv.benchmarks.summary import COUNTED, cell_key, rounded, summarise
from pdeinv.benchmarks.tasks import Task, fingerprint
from pdeinv.datasets import PDE
from pdeinv.errors import DivergedError, InputError
from pdeinv.files import atomic_write, check_writable
from pdeinv.metrics import crps_ensemble, error_rate, error_spectrum, ranks, relative_l2
from pdeinv.observation import Observation
from pdeinv.parallel import for_each
from pdeinv.posterior import Posterior
from pdeinv.priors import load, shipped
from pdeinv.priors.ensemble import Ensemble
from pdeinv.solvers import SOLVERS, OptimalInterpolation, Solver
from pdeinv.solvers.learned import LearnedSolver
from pdeinv.solvers.optimal_interpolation import draw_ensemble
from pdeinv.solvers.selection import with_options

__all__ = [
    "Cell",
    "drop_cut_line",
    "posterior_of",
    "run",
    "run_cells",
    "solve",
    "solver_generator",
    "takes",
]

_SAMPLES = 19  # so that the central 18 of the truth's 20 possible ranks are a 90 % interval
# The truth of instance i is the first draw from its own seed: a solver on that stream would find it
# among its prior draws.
_SOLVER_SEED = 3_000_000_000
_PRIORS = {"optimal-interpolation": "ensemble", "kriging": "fitted"}
_ENSEMBLE_SEED = 4_000_000_000  # no task draws its instances from this seed


@dataclass(frozen=True)
class Cell:
    """A method on the first instances of a task.

    Arguments:
        task: what is to be reconstructed.
        method: a name in `pdeinv.solvers.SOLVERS`.
        instances: how many.
        steps, equireg, prior: of a solver by diffusion, as in `reconstruct`; equireg also by a name
            of its `VARIANTS`.
        settings: further arguments of the method's class.
        samples: posterior samples behind the mean and the spread.
    """

    task: Task
    method: str
    instances: int = 32
    steps: int | None = None
    equireg: bool | str = False
    prior: str | None = None
    settings: dict | None = None
    samples: int = _SAMPLES

    def solver(self) -> Solver:
        """The method's solver, unless the run would fail for a name, a PDE or a number that cannot
        be used."""
        method, made = self.method, _class(self.method)
        if self.instances < 1:
            raise InputError(f"instances = {self.instances} must be at least 1")
        known = {f.name: f for f in fields(made) if f.name not in ("steps", "guidance")}
        for name in self.settings or {}:
            if name not in known:
                raise InputError(
                    f"method {method!r} has no setting {name!r}; it has "
                    f"{', '.join(sorted(known)) or 'none'}"
                )
            if not _alike(self.settings[name], usual := known[name].default):
                raise InputError(
                    f"method {method!r}: setting {name} = {self.settings[name]!r} is of another "
                    f"kind than {usual!r}, its "
                    "usual value; give such a one"
                )
        solver = with_options(made(**(self.settings or {})), self.equireg, self.steps)
        if not solver.accepts(self.task.physics):
            raise InputError(
                f"method {method!r} is not made for {self.task.pde}: {solver.needs}; leave one of "
                f"them out"
            )
        if self.prior and not isinstance(solver, LearnedSolver):
            raise InputError(
                f"method {method!r} takes no prior from a file; leave out --prior or the method"
            )
        return solver

    def prepare(self) -> tuple[Solver, object]:
        """The solver and the prior that it is given; what many instances share is made once,
        outside their time."""
        solver, prior = self.solver(), _loaded(self.prior) if self.prior else None
        if isinstance(solver, OptimalInterpolation):
            return solver, _ensemble(self.task.physics, self.task.grid, solver.members)
        solver.check(self.task.physics, prior)  # which loads the shipped prior
        return solver, prior

    def check(self) -> None:
        """Refuse what would fail only after hours of other cells."""
        self.solver().check(self.task.physics, _loaded(self.prior) if self.prior else None)
        self.task.instance(0)

    def key(self) -> dict:
        """What tells its records from those of other cells."""
        task = {("task" if k == "kind" else k): v for k, v in asdict(self.task).items()}
        return {
            "method": self.method,
            "equireg": self.equireg,
            "steps": getattr(self.solver(), "steps", 0),
            "samples": self.samples,
            "given_prior": self.prior and _told(self.prior),
            "settings": json.dumps(self.settings, sort_keys=True) if self.settings else None,
            **task,
        }


def run(
    task: Task,
    method: str,
    instances: int,
    out: str | os.PathLike,
    *,
    command: str = "",
    progress: bool = False,
    **options,
) -> list[dict]:
    """`run_cells` for one method on one task; further options as in `Cell`."""
    return run_cells(
        [Cell(task, method, instances, **options)], out, command=command, progress=progress
    )


def run_cells(
    cells: Iterable[Cell],
    out: str | os.PathLike,
    *,
    command: str = "",
    progress: bool = False,
    processes: int = 1,
) -> list[dict]:
    """Score methods on tasks; instances that are already in the file are kept, so that a rerun
    resumes.

    Arguments:
        cells: what to run, in this order.
        out: JSON-lines file of summaries in a folder that exists, rewritten; the instances stand
            beside it in `<out stem>.instances.jsonl`, written as soon as each is done.
        command: what the reader is to type, recorded.
        progress: show a bar.
        processes: that share the work, with one thread each; 1 for all threads on one instance
            after the other.

    Returns:
        The cells' summaries: one record for each scored field and metric.
    """
    cells, out = list(cells), check_writable(out)
    for cell in cells:
        cell.check()
    log = out.with_name(f"{out.stem}.instances.jsonl")
    log.touch()
    _drop_cut_instances(log)
    done = {(cell_key(row), row["instance"]) for row in read_records(log)}
    keys = [cell_key(cell.key()) for cell in cells]
    jobs = [
        (cell, i, command)
        for cell, key in zip(cells, keys, strict=True)
        for i in range(cell.instances)
        if (key, i) not in done
    ]
    with tqdm(total=len(jobs), disable=not (progress and jobs), unit="instance") as bar:

        def keep(job, rows):
            bar.set_description(f"{job[0].task.pde} {job[0].task.kind} {job[0].method}")
            with log.open("a") as stream:
                stream.write("".join(json.dumps(row) + "\n" for row in rows))
            bar.update()

        if processes > 1:
            for_each(_job, jobs, processes, keep)
        else:
            for job in jobs:
                keep(job, _job(job))
    with atomic_write(out) as temporary:
        records = summarise(read_records(log))
        temporary.write_text("".join(json.dumps(r) + "\n" for r in records))
    return [r for r in records if cell_key(r) in set(keys)]


def _job(job: tuple[Cell, int, str]) -> list[dict]:
    cell, i, command = job
    key, rows = cell.key(), _score(cell.task, *cell.prepare(), i, cell.samples)
    made = {"rows": len(rows), **provenance(command)} | (
        {"prior": key["given_prior"]} if cell.prior else {}
    )
    return [{**key, **row, **made} for row in rows]


def takes(method: str) -> set[str]:
    """Which of a cell's options `steps`, `equireg` and `prior` mean something to the method."""
    made = _class(method)
    names = {f.name for f in fields(made)}
    known = {
        "steps": "steps" in names,
        "equireg": "guidance" in names,
        "prior": issubclass(made, LearnedSolver),
    }
    return {name for name, taken in known.items() if taken}


def _class(method: str) -> type[Solver]:
    if method not in SOLVERS:
        raise InputError(f"method {method!r} is unknown; use one of {', '.join(sorted(SOLVERS))}")
    return SOLVERS[method]


def _alike(value, usual) -> bool:
    """Whether a setting is of the kind of its default; where that tells nothing, the solver has the
    word."""
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(value, bool) and (
            isinstance(usual, bool) or not isinstance(usual, (int, float, tuple))
        )
    if isinstance(usual, int):
        return isinstance(value, int)
    if isinstance(usual, float):
        return isinstance(value, (int, float))
    if isinstance(usual, tuple):
        return isinstance(value, (list, tuple)) and len(value) == len(usual)
    return True


@lru_cache(maxsize=4)
def _loaded(prior: str):
    return load(prior)


@lru_cache(maxsize=4)
def _told(prior: str) -> str:
    """A shipped prior by its name; a file by its path and what is in it, since files of one name
    differ."""
    if prior in shipped():
        return prior
    return f"{prior}#{hashlib.sha256(Path(prior).read_bytes()).hexdigest()[:8]}"


def posterior_of(row: dict) -> tuple[torch.Tensor, Observation, Posterior]:
    """The truth, its observation and the posterior behind a record of an instance, computed
    again."""
    task = Task(
        row["pde"], row["task"], *(row[k] for k in ("grid", "sensors", "noise", "seed", "variant"))
    )
    steps, settings = row["steps"] or None, row["settings"] and json.loads(row["settings"])
    prior = row["given_prior"] and row["given_prior"].split("#")[0]
    if prior and (told := _told(prior)) != row["given_prior"]:
        raise InputError(
            f"the prior {prior} has changed since {row['given_prior']} was recorded; restore it, "
            f"now {told}"
        )
    cell = Cell(task, row["method"], 1, steps, row["equireg"], prior, settings, row["samples"])
    truth, observation = task.instance(row["instance"])
    return (
        truth,
        observation,
        solve(cell.task, *cell.prepare(), observation, row["instance"], row["samples"]),
    )


def solve(
    task: Task, solver: Solver, prior, observation: Observation, i: int, samples: int
) -> Posterior:
    """What a solver finds on instance i, with the randomness that all records of this instance
    have."""
    return solver(
        task.physics, prior, observation, n_samples=samples, generator=solver_generator(i)
    )


def _score(task: Task, solver: Solver, prior, i: int, samples: int) -> list[dict]:
    truth, observation = task.instance(i)
    forget_peak()
    start = time.perf_counter()
    try:
        posterior = solve(task, solver, prior, observation, i, samples)
    except DivergedError:
        posterior = _nothing_known(task, observation, samples)
    seconds = time.perf_counter() - start
    shared = {
        "instance": i,
        "prior": posterior.record.get("prior") or _PRIORS.get(solver.name, "exact"),
        "instance_hash": fingerprint(truth, observation),
        "seconds_per_instance": rounded(seconds),
        "peak_megabytes": peak_megabytes(),
        **{k: posterior.record.get(k, 0) for k in COUNTED},
    }
    return [
        shared | row
        for channel in task.scored
        for row in _metrics(task, posterior, truth, channel, i)
    ]


def _nothing_known(task: Task, observation: Observation, samples: int) -> Posterior:
    """What a method that diverged leaves: no number."""
    nothing = torch.full((samples, 2, task.grid, task.grid), torch.nan, dtype=torch.float64)
    return Posterior(
        task.physics.fields,
        observation.grid,
        nothing[0],
        nothing[0],
        nothing,
        dict.fromkeys(COUNTED),
    )


def solver_generator(i: int) -> torch.Generator:
    """The randomness of a solver on instance i, independent of the instance's own."""
    return torch.Generator().manual_seed(_SOLVER_SEED + i)


def _metrics(
    task: Task, posterior: Posterior, truth: torch.Tensor, channel: int, i: int
) -> list[dict]:
    mean, std, true = (
        v[None, channel : channel + 1] for v in (posterior.mean, posterior.std, truth)
    )
    samples = posterior.samples[:, None, channel : channel + 1]
    covered, histogram = _covered(samples[:, 0, 0], true[0, 0], torch.Generator().manual_seed(i))
    shared = {
        "field": posterior.fields[channel].name,
        "crps": rounded(float(crps_ensemble(samples, true).mean())),
        "coverage90": rounded(covered),
        "spread": rounded(float(std.square().mean().sqrt())),
        "ranks": [rounded(float(share)) for share in histogram],
        "error_spectrum": [rounded(v) for v in error_spectrum(mean[0, 0], true[0, 0]).tolist()],
    }
    # The error of the mean, that which the posterior expects of it, and that of a single sample,
    # which papers report.
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
    if not bool(samples.isfinite().all()):  # an error rate would count nan as a value
        scores = dict.fromkeys(scores, (float("nan"),) * 3)
    names = ("error", "predicted_error", "sample_error")
    return [
        shared
        | {"metric": metric}
        | {name: rounded(value) for name, value in zip(names, values, strict=True)}
        for metric, values in scores.items()
    ]


def _covered(samples, truth, generator) -> tuple[float, torch.Tensor]:
    """Share of the nodes where the samples' 90 % interval holds the truth (n, n), and frequencies
    of its rank among them."""
    size = len(samples)
    if not bool(samples.isfinite().all()):
        return float("nan"), torch.full((size + 1,), torch.nan)
    rank = ranks(samples, truth, generator)
    histogram = rank.flatten().bincount(minlength=size + 1) / rank.numel()
    if (size + 1) % 20 == 0:
        edge = (size + 1) // 20
        return float(histogram[edge:-edge].sum()), histogram
    # Too few for quantiles of their own: Student's interval for one more draw of a Gaussian. The
    # posterior's own spread may rest on more draws than these, or on none.
    wide = student_t.ppf(0.95, size - 1) * (1 + 1 / size) ** 0.5
    return float(
        ((truth - samples.mean(0)).abs() <= wide * samples.std(0)).double().mean()
    ), histogram


@lru_cache(maxsize=1)
def _ensemble(pde: PDE, n: int, members: int) -> Ensemble:
    generator = torch.Generator().manual_seed(_ENSEMBLE_SEED)
    return Ensemble(draw_ensemble(pde, members, pde.grid(n), generator, False))


def _drop_cut_instances(log: Path) -> None:
    """Drop what a killed run wrote last, unless every row of that instance is there."""
    drop_cut_line(log)
    rows = read_records(log)
    last = [
        r
        for r in rows
        if (cell_key(r), r["instance"]) == (cell_key(rows[-1]), rows[-1]["instance"])
    ]
    if last and len(last) < last[0]["rows"]:
        with atomic_write(log) as temporary:
            temporary.write_text("".join(json.dumps(r) + "\n" for r in rows[: -len(last)]))


def drop_cut_line(log: Path) -> None:
    """Drop the end of a file of lines that a killed run was writing."""
    text = log.read_text()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with atomic_write(log) as temporary:
            temporary.write_text(whole)
