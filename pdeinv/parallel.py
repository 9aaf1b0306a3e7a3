"""Call a function for each item of a list, in this process or in several."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import NamedTuple, TypeVar

from pdeinv.errors import NumericalError
from pdeinv.torch_state import one_thread

__all__ = ["for_each", "interrupts_held", "without_main"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds for a worker without work to release its resources, such as a semaphore
_FAREWELL = 10.0
_TEAMS = 2  # of kept workers


def for_each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    report: Callable[[Item, Result], object],
    *,
    keep: str = "",
    scheduler: str | None = None,
) -> None:
    """Call `function(item)` for each item, and `report(item, result)` in this process.

    With one worker all calls are in this process, in order. More workers are processes started with
    `spawn`; the order of completion is then open. Each process uses one thread (`one_thread`). An
    exception, Ctrl-C included, ends all workers at once.

    Arguments:
        function: can be pickled, as can its items and results.
        items: arguments of the calls.
        workers: number of processes.
        report: called as each item is done.
        keep: what the workers are kept for: the next call with the same text finds them, and what
            its function keeps in them. They end with this process. If empty, or if the function is
            of the main program, they end with the call.
        scheduler: the items are worked on by the workers of this dask scheduler instead; see
            `pdeinv.cluster.on_cluster`.

    Raises:
        InputError: the scheduler cannot be used.
        NumericalError: a worker process died.
    """
    if scheduler is not None:
        from pdeinv.cluster import on_cluster

        return on_cluster(function, items, scheduler, workers, report)
    if min(workers, len(items)) > 1:
        return _in_processes(function, items, workers, report, keep)
    with one_thread():
        for item in items:
            report(item, function(item))


class _Worker(NamedTuple):
    process: BaseProcess
    connection: Connection
    """One pipe for each worker: it closes when either side dies."""


class _Sent(NamedTuple):
    """A pickled function, for the items that follow."""

    pickled: bytes


_idle: dict[tuple[int, str], list[_Worker]] = {}
"""Workers without work, by the process that started them and by what they are kept for."""


def _in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    report: Callable[[Item, Result], object],
    keep: str,
) -> None:
    pickled = bytes(ForkingPickler.dumps(function))
    of_main = b"__main__" in pickled
    keep = "" if of_main else keep
    number, queue = min(workers, len(items)), iter(items)
    team = _taken(keep, number)
    done = False
    try:
        with nullcontext() if of_main else without_main(), interrupts_held():
            while len(team) < number:
                team.append(_started(None if keep else function))
        for worker in team:
            if keep:
                worker.connection.send(_Sent(pickled))
            worker.connection.send(next(queue))
        busy = [worker.connection for worker in team]
        while busy:
            ready = wait(busy)
            for connection in [c for c in busy if c in ready]:
                outcome = connection.recv()
                if isinstance(outcome, Exception):
                    raise outcome
                report(*outcome)
                try:
                    connection.send(next(queue))
                except StopIteration:
                    busy.remove(connection)
        done = True
    except (EOFError, ConnectionError):
        raise NumericalError(
            "a worker process died: its message is above, or the system ran out of memory; use "
            "fewer workers"
        ) from None
    finally:
        if done and keep:
            _idle.setdefault((os.getpid(), keep), []).extend(team)
        else:
            _end(team, _FAREWELL if done else 0.0)


def _started(function: Callable[[Item], object] | None) -> _Worker:
    # A fork of a process that runs torch threads may hang
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(function, theirs), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _taken(keep: str, number: int) -> list[_Worker]:
    """Return up to a number of the workers that were kept, and end those kept for long."""
    team = _idle.pop((os.getpid(), keep), [])
    alive = [worker for worker in team if worker.process.is_alive()]
    if keep:
        _idle[os.getpid(), keep] = alive[number:]
        _end_idle(_TEAMS)
    return alive[:number]


def _end_idle(most: int = 0) -> None:
    """End kept workers, but for those that were used last; a fork has none of its own."""
    own = [key for key in _idle if key[0] == os.getpid()]
    for key in own[: max(0, len(own) - most)]:
        _end(_idle.pop(key, []), _FAREWELL)


atexit.register(_end_idle)


def _end(team: Sequence[_Worker], patience: float) -> None:
    """End workers; they have some seconds to do so by themselves."""
    for worker in team:
        worker.connection.close()
    for worker in team if patience else ():
        worker.process.join(patience)
    for worker in team:
        worker.process.terminate()
        worker.process.join()


def _work(function: Callable[[Item], object] | None, connection: Connection) -> None:
    """Work on items from the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends its workers
    known: dict[bytes, Callable[[Item], object]] = {}
    try:
        with one_thread():
            while True:
                item = connection.recv()
                if isinstance(item, _Sent):
                    if item.pickled not in known:  # which keeps what a function keeps
                        known[item.pickled] = ForkingPickler.loads(item.pickled)
                    function = known[item.pickled]
                else:
                    assert function is not None
                    connection.send((item, function(item)))
    except (EOFError, ConnectionError):
        pass
    except Exception as error:
        connection.send(error)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back while processes start, and from them: a start that it meets prints where."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def without_main() -> Iterator[None]:
    """Start processes that do not run the caller's script.

    Otherwise a script without `if __name__ == "__main__":` would start workers without end. One
    read from standard input could start none.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
