"""Every method at equal seconds: how many steps each can afford."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from pdeinv.benchmarks.runner import Cell, solve
from pdeinv.errors import DivergedError, InputError
from pdeinv.files import atomic_write

__all__ = ["affordable", "fit_to_budget"]

_TRIALS = (3, 9)  # steps
_REPEATS = 2  # of which the faster counts: other work on the machine only slows


def fit_to_budget(
    cells: Iterable[Cell], budgets: Iterable[float], out: Path, processes: int = 1
) -> list[Cell]:
    """The cells once for each budget, with as many steps as fit into so many seconds an instance.

    Steps are at most the method's published number. A method that has no steps, or makes no use of
    them, comes once, as it is; and so do one that diverges in as few steps as the trials have, and
    all cells without a budget. The cost of a step is measured on the first instance, with the
    threads that each of several processes will have, and kept beside the records `out`: a repeated
    run goes on with the same cells.
    """
    cells, budgets = list(cells), list(budgets)
    for seconds in budgets:
        if not 0 < seconds < float("inf"):
            raise InputError(f"budget = {seconds} must be a positive number of seconds")
    if not budgets:
        return cells
    for cell in cells:
        cell.check()  # before minutes of trials
    memory = out.with_name(f"{out.stem}.budget.json")
    known = json.loads(memory.read_text()) if memory.exists() else {}
    found: dict[str, Cell] = {}
    with _threads(1 if processes > 1 else torch.get_num_threads()) as threads:
        for cell in tqdm(cells, desc="the cost of a step", unit="cell", leave=False):
            published = replace(cell, steps=None)
            name = json.dumps([threads, published.key()], sort_keys=True)
            if name not in known:
                known[name] = _costs(published)
                with atomic_write(memory) as temporary:
                    temporary.write_text(json.dumps(known, indent=1))
            for seconds in budgets:
                one = cell
                if known[name]:
                    one = replace(
                        cell, steps=affordable(seconds, known[name], published.solver().steps)
                    )
                found[json.dumps(one.key())] = one
    return list(found.values())


def affordable(seconds: float, costs: list[float], most: int) -> int:
    """Steps that take this long, when those of the two trials took `costs`; at least 2 and at most
    `most`."""
    each = (costs[1] - costs[0]) / (_TRIALS[1] - _TRIALS[0])
    if each <= 0:  # too small to measure
        return most
    return max(2, min(most, _TRIALS[0] + int((seconds - costs[0]) / each)))


def _costs(cell: Cell) -> list[float]:
    """Seconds of each trial; none for a method that asks its network no more often with more
    steps."""
    if not getattr(cell.solver(), "steps", 0):
        return []
    try:
        trials = [
            [_trial(replace(cell, steps=steps)) for _ in range(_REPEATS)] for steps in _TRIALS
        ]
    except DivergedError:
        return []
    if trials[0][0][1] == trials[1][0][1]:
        return []
    return [min(seconds for seconds, _ in trial) for trial in trials]


def _trial(cell: Cell) -> tuple[float, int]:
    """Seconds and network evaluations on the first instance."""
    _, observation = cell.task.instance(0)
    solver, prior = cell.prepare()
    start = time.perf_counter()
    found = solve(cell.task, solver, prior, observation, 0, cell.samples)
    return time.perf_counter() - start, found.record["network_evaluations"]


@contextmanager
def _threads(wanted: int):
    """So many threads, for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted)
    try:
        yield wanted
    finally:
        torch.set_num_threads(before)
