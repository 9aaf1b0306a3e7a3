"""Schedulers of dask: their names, connections to them, and clusters of this machine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.parallel import interrupts_held, without_main
from pdeinv.schema import parse_json

__all__ = ["LOCAL", "PATIENCE", "check_scheduler", "connected", "dask", "local_cluster"]

LOCAL = "local"
"""The scheduler of a cluster that is started on this machine for one call."""
PATIENCE = 8.0
"""Seconds until a scheduler answers, and until it has a worker."""


def check_scheduler(scheduler: object, workers: int | None) -> str | None:
    """Return the scheduler; call this before any work.

    Arguments:
        scheduler: `"local"`, an address such as `"tcp://host:8786"`, the name of a scheduler file
            that ends in `.json`, or None.
        workers: number of processes that the caller has stated; None for none.

    Raises:
        InputError: it is no text, or a number of workers is stated for a cluster that has its own.
    """
    if scheduler is None:
        return None
    if not isinstance(scheduler, str) or not scheduler.strip():
        raise InputError(
            f"scheduler must be 'local', an address or a scheduler file, got "
            f"{described(scheduler)}; write it as tcp://host:8786"
        )
    if scheduler != LOCAL and workers is not None:
        raise InputError(
            f"the number of workers must be left out with the scheduler {scheduler}, which has its "
            f"own, got {workers}; start as many as you want there"
        )
    return scheduler


@contextmanager
def local_cluster(workers: int) -> Iterator[str]:
    """Start a cluster on this machine for the block, and yield the address of its scheduler.

    Arguments:
        workers: number of processes, one thread each.
    """
    distributed = dask()
    # A worker that is started again would run the caller's script too
    with _quiet(), without_main():
        with interrupts_held():
            cluster = distributed.LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address=":0",  # any free port, without a warning
                silence_logs=logging.CRITICAL,
            )
        try:
            yield cluster.scheduler_address
        finally:
            cluster.close()


@contextmanager
def connected(scheduler: str, workers: int) -> Iterator[Any]:
    """Yield a client of a scheduler for the block.

    Arguments:
        scheduler: as of `check_scheduler`.
        workers: number of processes of a local cluster.

    Raises:
        InputError: the scheduler does not answer.
    """
    distributed = dask()
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        address = _address(scheduler)
        if scheduler == LOCAL:
            address = stack.enter_context(local_cluster(workers))
        try:
            _greet(address)
            client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
            raise InputError(
                f"no scheduler answers at {scheduler} ({reason}); start one with `dask scheduler`, "
                f"or correct the address, such as tcp://host:8786"
            ) from None
        stack.callback(client.close)
        yield client


def _address(scheduler: str) -> str:
    """Return the address of a scheduler, which a file may state."""
    if not scheduler.endswith(".json"):
        return scheduler
    try:
        found = parse_json(Path(scheduler).read_bytes())
        return str(found["address"])
    except (OSError, ValueError, TypeError, KeyError):
        raise InputError(
            f"the scheduler file {scheduler} must hold the address of a scheduler, got no such "
            f"file; start the scheduler with --scheduler-file, or correct the name"
        ) from None


def _greet(address: str) -> None:
    """Connect to a scheduler for a moment: a client that could not would leave its thread behind.

    Raises:
        OSError, ValueError: it does not answer, or the address is none.
    """
    from distributed.core import connect

    async def greet() -> None:
        await (await connect(address, timeout=PATIENCE)).close()

    if not address.startswith("inproc:"):  # of this process, which has its own loop
        with ThreadPoolExecutor(1) as apart:  # a notebook runs a loop in this thread
            apart.submit(asyncio.run, greet()).result()


def dask() -> ModuleType:
    """Return dask's package `distributed`, which an extra installs.

    Raises:
        InputError: it is missing.
    """
    try:
        import distributed
    except ImportError:
        raise InputError(
            "a scheduler needs the package distributed, which is not installed; install it with "
            "`pip install 'pdeinv[distributed]'`"
        ) from None
    return distributed


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the log of dask from standard error: what matters of it is an exception."""
    dask()
    names = [n for n in logging.root.manager.loggerDict if n.split(".")[0] == "distributed"]
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
