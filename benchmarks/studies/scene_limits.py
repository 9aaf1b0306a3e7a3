"""Whether chains over the objects of scenes forget where they start: `pdeinv study scene-limits`.

Runs that start at scenes found from draws of the prior, and runs whose cold levels start at the
truth, sample the posterior of the same readings. Where their draws have the same error, that is the
limit of the task.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, variance

import torch

from pdeinv.benchmarks.cells import solver_generator
from pdeinv.benchmarks.family_kinds import SCENE_LIMITS
from pdeinv.benchmarks.records import JsonLines, Record
from pdeinv.benchmarks.reports.columns import render_table
from pdeinv.benchmarks.reports.queries import mean
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.tasks import Task
from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.errors import InputError
from pdeinv.metrics import error_rate, relative_l2
from pdeinv.solvers.object_chains import ObjectChains
from pdeinv.solvers.scene_likelihood import SceneLikelihood

__all__ = ["SENSORS", "run", "scene_limits_table"]

SENSORS = (125, 40, 20)
"""Numbers of readings of the tasks."""
_STARTS = ("prior", "truth")
_DRAWS = 400
_AGREE = 2.0  # standard errors of a difference


def run(
    out: Path,
    tasks: Iterable[Task],
    instances: Iterable[int],
    *,
    steps: int,
    runs: int = 4,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Sample posteriors of scenes from both starts; a repeated run keeps what the file has and goes
    on.

    Arguments:
        out: JSON-lines file of the records.
        tasks: of a family of objects.
        instances: numbers of the instances of each task.
        steps: of each chain.
        runs: independent runs from each start, at least 2.
        command: command to type for the same records.
        echo: prints one line for each record.

    Returns:
        All records of the file.

    Raises:
        InputError: a task has no objects or exact readings, or there is one run.
    """
    tasks = tuple(tasks)
    for task in tasks:
        _prior_of(task)
    if runs < 2:
        raise InputError(f"runs must be at least 2, to compare them, got {runs}; give more")
    solver = ObjectChains(steps=steps, runs=runs)
    units = (
        Unit(shared, partial(_records, shared, task, solver))
        for i in instances
        for task in tasks
        for start in _STARTS
        for shared in [_shared(task, i, start, solver)]
    )
    return append_missing(JsonLines(out, SCENE_LIMITS), units, _line, command=command, echo=echo)


def _shared(task: Task, i: int, start: str, solver: ObjectChains) -> Record:
    names = ("family", "pde", "grid", "sensors", "noise", "seed")
    return {
        **{name: getattr(task, name) for name in names},
        "task": task.kind,
        "method": solver.name,
        "instance": i,
        "start": start,
        "steps": solver.steps,
        "levels": solver.levels,
    }


def _prior_of(task: Task) -> ObjectPrior:
    prior = task.problem.prior
    if not isinstance(prior, ObjectPrior):
        raise InputError(
            f"family must be one of objects, such as channels, got {task.family!r}; choose another"
        )
    if not task.noise > 0:
        raise InputError(
            f"noise must be above 0, got {task.noise:g}; readings of this study have some"
        )
    return prior


def _records(shared: Record, task: Task, solver: ObjectChains) -> list[Record]:
    """Return the record of the runs of one start.

    Arguments:
        shared: what identifies it.
        task: of the instance.
        solver: the chains.
    """
    prior, i, physics = _prior_of(task), shared["instance"], task.physics
    begin = time.process_time()
    truth, observation = task.instance(i)
    at_truth = shared["start"] == "truth"
    chains = ObjectChains(
        steps=solver.steps, runs=solver.runs, start=_true_scene(task, i) if at_truth else None
    )
    generator = solver_generator(2 * i + at_truth)
    target = SceneLikelihood(physics, prior, observation, chains.nugget, chains.coarse, generator)
    found = chains.draw_scenes(target, _DRAWS, generator)
    states = target.states(found.scenes)
    measure, errors, error, expected = _errors(states[:, 0], truth[0], prior)
    return [
        shared
        | {
            "measure": measure,
            "draw_errors": [
                round(float(run.mean()), 6) for run in errors.unflatten(0, (-1, chains.runs)).T
            ],
            "error": round(error, 6),
            "expected_error": round(expected, 6),
            "log_evidence": round(found.record["log_evidence"], 3),
            "reduced_chi_squared": round(target.reduced_chi_squared(states), 4),
            **found.convergence(states[:, 0]),
            "solver_calls": target.forward.solver_calls,
            "seconds": round(time.process_time() - begin, 1),
        }
    ]


def _true_scene(task: Task, i: int) -> Scenes:
    """Return the scene of an instance, which its seed draws first."""
    return _prior_of(task).draw_scenes(1, task.generator(i))


def _errors(
    draws: torch.Tensor, truth: torch.Tensor, prior: ObjectPrior
) -> tuple[str, torch.Tensor, float, float]:
    """Return the name of the measure; the errors of draws (batch, ny, nx), (batch,); that of what
    is more probable at each node, or of the mean; and that which the draws themselves expect of
    it."""
    every, true = draws[:, None], truth[None, None]
    if prior.phases is None:
        centre = draws.mean(dim=0)[None, None]
        spread = float((every - centre).square().sum(dim=(-2, -1)).mean().sqrt())
        expected = spread / float(torch.linalg.vector_norm(centre))
        return (
            "relative_l2",
            relative_l2(every, true.expand_as(every))[:, 0],
            float(relative_l2(centre, true)),
            expected,
        )
    middle = sum(prior.phases) / 2
    high = (draws > middle).double().mean(dim=0)
    return (
        "error_rate",
        error_rate(every, true.expand_as(every), middle)[:, 0],
        float(error_rate(high[None, None], (true > middle).double(), 0.5)),
        float(torch.minimum(high, 1 - high).mean()),
    )


def _line(record: Record) -> str:
    shown = ("family", "sensors", "noise", "instance", "start", "draw_errors", "r_hat", "seconds")
    return ", ".join(f"{name} {record[name]}" for name in shown)


def scene_limits_table(records: list[Record]) -> str:
    """Return the errors from both starts in per cent, and how often these agree.

    Arguments:
        records: of `SCENE_LIMITS`.
    """
    groups: dict[tuple, dict[int, dict[str, Record]]] = {}
    for r in records:
        place = (r["family"], r["pde"], r["sensors"], f"{100 * r['noise']:g} %", r["steps"])
        groups.setdefault(place, {}).setdefault(r["instance"], {})[r["start"]] = r
    rows = []
    for place, instances in groups.items():
        both = {i: pair for i, pair in instances.items() if len(pair) == len(_STARTS)}
        apart = [i for i, pair in both.items() if abs(_difference(pair)) > _AGREE]
        cells = [
            _mean([100 * value(pair[start]) for pair in both.values()])
            for value in (_draw_error, lambda r: r["error"], lambda r: r["expected_error"])
            for start in _STARTS
        ]
        rows.append(
            [
                *map(str, place),
                *cells,
                f"{len(both) - len(apart)} of {len(both)}",
                ", ".join(map(str, apart)) or "-",
                f"{_mean([r['seconds'] for pair in both.values() for r in pair.values()])}",
            ]
        )
    words = ["family", "PDE", "readings", "noise", "steps"]
    numbers = [
        f"{what}, from the {start}"
        for what in ("error of draws, %", "error, %", "expected error, %")
        for start in _STARTS
    ]
    return render_table(words, [*numbers, "agree", "apart", "processor seconds"], rows)


def _draw_error(record: Record) -> float:
    return fmean(record["draw_errors"])


def _difference(pair: dict[str, Record]) -> float:
    """Return the difference of the draws' errors from both starts, in its standard errors, by the
    spread between runs."""
    ours, other = (pair[start]["draw_errors"] for start in _STARTS)
    error = math.sqrt(variance(ours) / len(ours) + variance(other) / len(other))
    gap = fmean(ours) - fmean(other)
    return gap / error if error else math.copysign(math.inf, gap) if gap else 0.0


def _mean(values: Sequence[float]) -> str:
    if not values:
        return ""
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{mean(dict(enumerate(values))):.2f}"
