"""Run a function over a list of items, here or in other processes, each with one torch thread."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from types import ModuleType
from typing import TypeVar

import torch

__all__ = ["for_each"]

Item = TypeVar("Item")
Result = TypeVar("Result")

# Seconds for a worker without work to give back what it holds, such as a semaphore
_FAREWELL = 10.0


def for_each(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    report: Callable[[Item, Result], object],
) -> None:
    """Call `function(item)` for every item, and `report(item, result)` here as each is done.

    One worker is this process; more are started with `spawn` and take the items in turn, so that
    their order of completion is open. torch uses one thread for each, for speed and because the
    number of threads may change the last bit of a sum. An exception, Ctrl-C included, ends all
    workers at once and is raised here.
    """
    if min(workers, len(items)) > 1:
        return _in_processes(function, items, workers, report)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for item in items:
            report(item, function(item))
    finally:
        torch.set_num_threads(threads)


def _in_processes(function, items, workers, report):
    # a fork of a process that runs torch threads may hang
    context = multiprocessing.get_context("spawn")
    queue = iter(items)
    processes, busy = [], []
    try:
        with _main_kept_from(function):
            for _ in range(min(workers, len(items))):
                # A pipe for each worker: when either side dies the other one sees it close.
                ours, theirs = context.Pipe()
                processes.append(
                    context.Process(target=_work, args=(function, theirs), daemon=True)
                )
                processes[-1].start()
                theirs.close()
                busy.append(ours)
                ours.send(next(queue))
        while busy:
            for connection in wait(busy):
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
        raise RuntimeError(
            "a worker process died; its message is above, unless the system killed it for want of "
            "memory; use fewer workers"
        ) from None
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _work(function, connection: Connection) -> None:
    """Take items until the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the parent ends its workers
    torch.set_num_threads(1)
    try:
        while True:
            item = connection.recv()
            connection.send((item, function(item)))
    except (EOFError, ConnectionError):
        pass
    except Exception as error:
        connection.send(error)


@contextmanager
def _main_kept_from(function) -> Iterator[None]:
    """Let the processes started meanwhile not run the caller's script, unless the function is
    defined in it.

    Otherwise a script without `if __name__ == "__main__":` would start workers without end, and one
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
