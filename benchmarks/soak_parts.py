"""The parts of the study of many reconstructions: one by one, in threads, forked, spawned."""

from __future__ import annotations

import multiprocessing
import queue
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr

from pdeinv.benchmarks.drawn_readings import drawn_readings
from pdeinv.benchmarks.soak_process import changes, resident_bytes, snapshot
from pdeinv.datasets import PDES, pde_by_name
from pdeinv.errors import InputWarning
from pdeinv.progress import progress_bar
from pdeinv.solvers import MisfitWarning, reconstruct

__all__ = ["PARTS", "Made"]

_OFTEN = {"gaussian": 24, "gauss-newton": 1, "level-set": 1}  # turns in a round, by the solver
_TABLES = 2  # of each PDE
_NODES = 16  # per side
_SENSORS = 9
_PATIENCE = 120.0  # seconds without any answer, after which those that work are counted as hung
_SAMPLES = 4
_TWO = 7  # of so many reconstructions one is with two threads


class Case(NamedTuple):
    """A table of readings, and the seed of its reconstruction."""

    pde: str
    number: int


@dataclass
class Made:
    """What a part has made.

    Attributes:
        failures: the sentences of errors.
        hung: reconstructions without an end.
        differences: largest difference of each answer from the first, in standard deviations.
        sizes: bytes of each process, after each of its reconstructions.
        changed: what of a worker's process was not as before.
        processor_seconds: of all processes.
    """

    failures: list[str] = field(default_factory=list)
    hung: int = 0
    differences: list[float] = field(default_factory=list)
    sizes: list[list[float]] = field(default_factory=list)
    changed: set[str] = field(default_factory=set)
    processor_seconds: float = 0.0


Answer = dict[str, np.ndarray]
First = Mapping[Case, Answer]


def _cases() -> list[Case]:
    """Return a round of cases; those of quick solvers are in it several times."""
    found = []
    for turn in range(max(_OFTEN.values())):
        for name in PDES:
            if turn < _OFTEN.get(_default(name), 1):
                found.append(Case(name, turn % _TABLES))
    return found


def _default(name: str) -> str:
    from pdeinv.solvers.selection import solver_for

    return solver_for("auto", pde_by_name(name)).name


def _answer(case: Case, seed: int) -> Answer:
    pde = pde_by_name(case.pde)
    grid = pde.grid(_NODES)
    table = drawn_readings(pde, grid, _SENSORS, seed + case.number)
    found: xr.Dataset = reconstruct(
        table, case.pde, grid=grid, n_samples=_SAMPLES, seed=seed + case.number
    )
    kinds = ("_mean", "_std", "_samples")
    return {str(name): found[name].values for name in found if str(name).endswith(kinds)}


def _difference(found: Answer, first: Answer) -> float:
    """Return the largest difference, in root mean square standard deviations of its field."""
    if found.keys() != first.keys():
        return float("inf")
    largest = 0.0
    for name, values in found.items():
        std = first[name.rpartition("_")[0] + "_std"]
        known = np.isfinite(first[name])
        if values.shape != first[name].shape or not (known == np.isfinite(values)).all():
            return float("inf")
        unit = float(np.sqrt(np.square(std[np.isfinite(std)]).mean())) if known.any() else 1.0
        largest = max(largest, float(np.abs(values - first[name])[known].max(initial=0.0)) / unit)
    return largest


def _one(made: Made, case: Case, first: First, seed: int) -> None:
    """Add a reconstruction to what was made."""
    try:
        made.differences.append(_difference(_answer(case, seed), first[case]))
    except Exception as error:  # whatever it is, it is what the study counts
        made.failures.append(f"{case.pde}: {type(error).__name__}: {error}")


def _first(seed: int) -> dict[Case, Answer]:
    """Return the answers of all cases, one by one with one thread."""
    from pdeinv.torch_state import one_thread

    cases = list(dict.fromkeys(_cases()))
    with one_thread():
        return {case: _answer(case, seed) for case in progress_bar(cases, "first answers", True)}


def _turns(count: int) -> Iterator[Case]:
    cases = _cases()
    return (cases[i % len(cases)] for i in range(count))


def _quiet(part: Callable[[int, int, int], Made]) -> Callable[[int, int, int], Made]:
    """Return a part that shows no warnings of its sparse readings."""

    def run(count: int, workers: int, seed: int) -> Made:
        with warnings.catch_warnings():
            for kind in (MisfitWarning, InputWarning, UserWarning):
                warnings.simplefilter("ignore", kind)
            before = snapshot()
            made = part(count, workers, seed)
            made.changed.update(changes(before, snapshot()))
        return made

    return run


def _single(count: int, workers: int, seed: int) -> Made:
    """Make all in this thread, some with two threads of torch and most with one."""
    threads = torch.get_num_threads()
    made, first = Made(sizes=[[]]), _first(seed)
    start = time.process_time()
    try:
        for i, case in enumerate(progress_bar(list(_turns(count)), "reconstructions", True)):
            torch.set_num_threads(2 if i % _TWO == 0 else 1)
            _one(made, case, first, seed)
            made.sizes[0].append(resident_bytes())
    finally:
        torch.set_num_threads(threads)
    made.processor_seconds = time.process_time() - start
    return made


def _threads(count: int, workers: int, seed: int) -> Made:
    """Make them in threads that start at once and take the next case in turn."""
    made, first = Made(sizes=[[]]), _first(seed)
    left: queue.SimpleQueue[Case] = queue.SimpleQueue()
    for case in _turns(count):
        left.put(case)
    done: queue.SimpleQueue[float] = queue.SimpleQueue()

    def work() -> None:
        while True:
            try:
                case = left.get_nowait()
            except queue.Empty:
                return
            _one(made, case, first, seed)
            done.put(resident_bytes())

    start = time.process_time()
    team = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in team:
        thread.start()
    for i in progress_bar(range(count), "reconstructions in threads", True):
        try:
            made.sizes[0].append(done.get(timeout=_PATIENCE))
        except queue.Empty:
            made.hung = count - i
            break
    for thread in team:
        thread.join(0 if made.hung else _PATIENCE)
    made.processor_seconds = time.process_time() - start
    return made


def _processes(method: str, count: int, workers: int, seed: int) -> Made:
    """Make them in processes of a start method, each an equal part."""
    first = _first(seed)
    context = multiprocessing.get_context(method)
    shares = [list(_turns(len(range(i, count, workers)))) for i in range(workers)]
    team = {}
    for share in filter(None, shares):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(  # type: ignore[attr-defined]
            target=_work, args=(theirs, share, first, seed), daemon=True
        )
        process.start()
        theirs.close()
        team[ours] = (process, len(share))
    made = Made()
    reports: dict[Connection, int] = dict.fromkeys(team, 0)
    for _ in progress_bar(range(count), f"reconstructions, {method}", True):
        ready = wait(list(reports), timeout=_PATIENCE)
        for connection in ready[:1]:
            assert isinstance(connection, Connection)
            _receive(made, connection, reports, team[connection][1])
        if not ready or not reports:
            break
    for connection in list(reports):
        while connection in reports and connection.poll(_PATIENCE):
            _receive(made, connection, reports, team[connection][1])
    made.hung = sum(team[connection][1] - done for connection, done in reports.items())
    for process, _ in team.values():
        process.join(0 if made.hung else _PATIENCE)
        process.terminate()
    return made


def _receive(
    made: Made, connection: Connection, reports: dict[Connection, int], share: int
) -> None:
    """Take one message of a worker: that a reconstruction is done, or all that it made."""
    try:
        found = connection.recv()
    except (EOFError, OSError):
        made.failures += ["a worker died"] * (share - reports.pop(connection))
        return
    if found is None:
        reports[connection] += 1
        return
    del reports[connection]
    made.failures += found.failures
    made.differences += found.differences
    made.sizes += found.sizes
    made.changed |= found.changed
    made.processor_seconds += found.processor_seconds


def _work(connection: Connection, cases: list[Case], first: First, seed: int) -> None:
    """Make reconstructions in a worker, and send what was made."""
    made = Made(sizes=[[]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)  # more processes than cores would wait for one another
        before, start = snapshot(), time.process_time()
        for case in cases:
            _one(made, case, first, seed)
            made.sizes[0].append(resident_bytes())
            connection.send(None)
        made.processor_seconds = time.process_time() - start
        made.changed.update(changes(before, snapshot()))
    connection.send(made)


PARTS: dict[str, Callable[[int, int, int], Made]] = {
    "single": _quiet(_single),
    "threads": _quiet(_threads),
    "forked": _quiet(partial(_processes, "fork")),
    "spawned": _quiet(partial(_processes, "spawn")),
}
"""(reconstructions, workers, seed) -> what was made, by the name of the part."""
