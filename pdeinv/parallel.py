"""Call a function for each item of a list, in this process or in several."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import TypeVar

from pdeinv.errors import NumericalError
from pdeinv.torch_state import one_thread

__all__ = ["for_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds for a worker without work to release its resources, such as a semaphore
_FAREWELL = 10.0


def for_each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    report: Callable[[Item, Result], object],
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

    Raises:
        NumericalError: a worker process died.
    """
    if min(workers, len(items)) > 1:
        return _in_processes(function, items, workers, report)
    with one_thread():
        for item in items:
            report(item, function(item))


def _in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    report: Callable[[Item, Result], object],
) -> None:
    # A fork of a process that runs torch threads may hang
    context = multiprocessing.get_context("spawn")
    queue = iter(items)
    processes: list[BaseProcess] = []
    busy: list[Connection] = []
    try:
        with _without_main(function), _interrupts_held():
            for _ in range(min(workers, len(items))):
                # One pipe for each worker: it closes when either side dies
                ours, theirs = context.Pipe()
                processes.append(
                    context.Process(target=_work, args=(function, theirs), daemon=True)
                )
                processes[-1].start()
                theirs.close()
                busy.append(ours)
                ours.send(next(queue))
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
                    connection.close()
        for process in processes:
            process.join(_FAREWELL)
    except (EOFError, ConnectionError):
        raise NumericalError(
            "a worker process died: its message is above, or the system ran out of memory; use "
            "fewer workers"
        ) from None
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(function: Callable[[Item], object], connection: Connection) -> None:
    """Work on items from the pipe until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends its workers
    try:
        with one_thread():
            while True:
                item = connection.recv()
                connection.send((item, function(item)))
    except (EOFError, ConnectionError):
        pass
    except Exception as error:
        connection.send(error)


@contextmanager
def _interrupts_held() -> Iterator[None]:
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
def _without_main(function: Callable[[Item], object]) -> Iterator[None]:
    """Start processes that do not run the caller's script, unless it defines the function.

    Otherwise a script without `if __name__ == "__main__":` would start workers without end. One
    read from standard input could start none.
    """
    if b"__main__" in bytes(ForkingPickler.dumps(function)):
        yield
        return
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
