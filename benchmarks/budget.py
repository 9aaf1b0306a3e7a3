"""Every method at equal seconds: how many steps each can afford."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from pdeinv.benchmarks.runner import Cell, solver_generator
from pdeinv.errors import InputError
from pdeinv.output import written_whole

__all__ = ["affordable", "afforded", "within"]

_TRIALS = (3, 9)  # steps


def afforded(cells: Iterable[Cell], budgets: Iterable[float], out: Path, processes: int = 1) -> list[Cell]:
    """The cells once for each budget of seconds (see `within`), or as they are without one; what has no steps comes once.

    The steps are measured with the threads that each of several processes has, and kept beside the records `out`.
    """
    cells, budgets = list(cells), list(budgets)
    if not budgets:
        return cells
    if processes > 1:
        torch.set_num_threads(1)
    memory = out.with_name(f"{out.stem}.budget.json")
    found = [cell for seconds in budgets for cell in within(cells, seconds, memory, progress=True)]
    return list({json.dumps(cell.key()): cell for cell in found}.values())


def within(cells: Iterable[Cell], seconds: float, memory: Path, *, progress: bool = False) -> list[Cell]:
    """The cells with as many steps as fit into this many seconds an instance, at most the method's own number.

    Steps are measured on the first instance, once: `memory`, a JSON file, keeps them, so that a repeated run goes on with the
    same cells. A method without steps is left as it is.
    """
    if not 0 < seconds < float("inf"):
        raise InputError(f"budget = {seconds} must be a positive number of seconds")
    known = json.loads(memory.read_text()) if memory.exists() else {}
    found = []
    for cell in tqdm(list(cells), desc=f"steps for {seconds:g} s", unit="cell", disable=not progress, leave=False):
        most = getattr(cell.solver(), "steps", 0)
        if not most:
            found.append(cell)
            continue
        name = json.dumps([seconds, {k: v for k, v in cell.key().items() if k != "steps"}], sort_keys=True)
        if name not in known:
            costs = [_seconds(replace(cell, steps=steps)) for steps in (_TRIALS[0], *_TRIALS)]  # the first one warms up
            known[name] = affordable(seconds, costs[1:], most)
            with written_whole(memory) as temporary:
                temporary.write_text(json.dumps(known, indent=1))
        found.append(replace(cell, steps=known[name]))
    return found


def affordable(seconds: float, costs: list[float], most: int) -> int:
    """Steps that take this long, when those of the two trials took `costs`; at least 2 and at most `most`."""
    each = max((costs[1] - costs[0]) / (_TRIALS[1] - _TRIALS[0]), 1e-6)
    return max(2, min(most, _TRIALS[0] + int((seconds - costs[0]) / each)))


def _seconds(cell: Cell) -> float:
    _, observation = cell.task.instance(0)
    solver, prior = cell.ready()
    start = time.perf_counter()
    solver(cell.task.physics, prior, observation, n_samples=cell.samples, generator=solver_generator(0))
    return time.perf_counter() - start
