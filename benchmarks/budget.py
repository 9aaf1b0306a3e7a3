"""Every method at equal seconds: how many steps fit into a budget."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, TypeAdapter, ValidationError

from pdeinv.benchmarks.cells import Cell, solve, steps_of
from pdeinv.errors import DivergedError, InputError
from pdeinv.files import atomic_write, reading_failure
from pdeinv.progress import progress_bar
from pdeinv.schema import Amount, problem_of
from pdeinv.torch_state import one_thread

__all__ = ["fit_to_budget", "fitting_steps"]

_TRIALS = (3, 9)  # steps
_THREADS = 1  # of the runs, and so of the trials
_REPEATS = 2  # of which the faster counts: other work on the machine only slows


def _check_trials(costs: list[float]) -> list[float]:
    if len(costs) not in (0, len(_TRIALS)):
        raise ValueError(f"must have {len(_TRIALS)} numbers or none, got {costs}")
    return costs


_COSTS = TypeAdapter(dict[str, Annotated[list[Amount], AfterValidator(_check_trials)]])


def fit_to_budget(cells: Iterable[Cell], budgets: Iterable[float], out: Path) -> list[Cell]:
    """Return the cells once for each budget, with as many steps as fit into it.

    Steps are at most the method's published number. A method is returned once, as it is, if it has
    no steps, if its network evaluations do not depend on them, or if it diverges in the trials. The
    cost of a step is measured on the first instance and stored next to the records: a repeated run
    has the same cells.

    Arguments:
        cells: what to run.
        budgets: seconds for an instance; the cells are returned as they are if there are none.
        out: the file of summaries.

    Raises:
        InputError: a budget is not a positive number, or a cell cannot run.
    """
    cells, budgets = list(cells), list(budgets)
    for seconds in budgets:
        if not 0 < seconds < float("inf"):
            raise InputError(
                f"budget must be a positive number of seconds, got {seconds}; give such as 10"
            )
    if not budgets:
        return cells
    for cell in cells:
        cell.check()  # before minutes of trials
    memory = out.with_name(f"{out.stem}.budget.json")
    known = _measured(memory) if memory.exists() else {}
    found: dict[str, Cell] = {}
    for cell in progress_bar(cells, "the cost of a step", unit="cell"):
        published = replace(cell, steps=None)
        name = json.dumps([_THREADS, published.key()], sort_keys=True)
        if name not in known:
            known[name] = _costs(published)
            with atomic_write(memory) as temporary:
                temporary.write_text(json.dumps(known, indent=1))
        for seconds in budgets:
            one = cell
            if known[name]:
                most = steps_of(published.solver())
                one = replace(cell, steps=fitting_steps(seconds, known[name], most))
            found[json.dumps(one.key())] = one
    return list(found.values())


def fitting_steps(seconds: float, costs: list[float], most: int) -> int:
    """Return how many steps fit into a budget, at least 2 and at most `most`.

    Arguments:
        seconds: the budget.
        costs: seconds of the two trials.
        most: largest number of steps.
    """
    each = (costs[1] - costs[0]) / (_TRIALS[1] - _TRIALS[0])
    if each <= 0:  # too small to measure
        return most
    return max(2, min(most, _TRIALS[0] + int((seconds - costs[0]) / each)))


def _measured(memory: Path) -> dict[str, list[float]]:
    """Return the costs that an earlier run has stored.

    Raises:
        InputError: the file holds something else.
    """
    try:
        return _COSTS.validate_json(memory.read_bytes(), strict=True)
    except OSError as error:
        raise reading_failure(memory, error, "cannot be read; give another") from None
    except ValidationError as error:
        raise InputError(
            f"{problem_of(error, 'the text')}, in {memory}, which must hold the seconds of trials "
            f"by cell; move it away, so that they are measured again"
        ) from None


def _costs(cell: Cell) -> list[float]:
    """Return the seconds of each trial, none if the network's evaluations are the same in both."""
    if not steps_of(cell.solver()):
        return []
    try:
        with one_thread():
            trials = [
                [_trial(replace(cell, steps=steps)) for _ in range(_REPEATS)] for steps in _TRIALS
            ]
    except DivergedError:
        return []
    if trials[0][0][1] == trials[1][0][1]:
        return []
    return [min(seconds for seconds, _ in trial) for trial in trials]


def _trial(cell: Cell) -> tuple[float, int]:
    """Return seconds and network evaluations of the first instance."""
    _, observation = cell.task.instance(0)
    solver, prior = cell.prepare()
    start = time.perf_counter()
    found = solve(cell.task, solver, prior, observation, 0, cell.samples)
    return time.perf_counter() - start, int(found.record["network_evaluations"])
