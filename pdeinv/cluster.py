"""Call a function for each item of a list on the workers of a dask scheduler.

The items are independent. A worker that dies loses nothing: its items are run again by another one.
Workers may come and go meanwhile. Each must run the version of the package that this process runs,
so that results do not depend on who computes them.
"""

from __future__ import annotations

import hashlib
import pickle
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from pdeinv import schedulers
from pdeinv.checks import described
from pdeinv.errors import InputError, NumericalError
from pdeinv.torch_state import one_thread

__all__ = ["code_version", "on_cluster"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_ALONE = 120.0  # seconds without any worker, after which a run ends
_LOOK = 2.0  # seconds from one look at the workers to the next
_WAITING = 4  # items that a worker has at most, the one in work included
_PACKAGES = ("pdeinv", "pdeinv.datasets", "pdeinv.solvers", "pdeinv.benchmarks")


def on_cluster(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    scheduler: str,
    workers: int,
    report: Callable[[Item, Result], object],
) -> None:
    """Call `function(item)` for each item on a cluster, and `report(item, result)` in this process.

    Arguments:
        function: cloudpickle can pickle it, its items and its results. Each call has one thread.
        items: arguments of the calls.
        scheduler: as of `pdeinv.schedulers.check_scheduler`.
        workers: number of processes of a local cluster.
        report: called as each item is done, in any order.

    Raises:
        InputError: the scheduler does not answer, has no workers, or has workers of another
            version or of several threads.
        NumericalError: the scheduler or all of its workers were lost, or an item ended several
            workers.
    """
    if not items:
        return
    with schedulers.connected(scheduler, min(workers, len(items))) as client:
        _check_workers(client, scheduler)
        _Calls(client, scheduler, function, report).run(items)


@cache
def code_version() -> str:
    """Return the version of the package, of its source and of torch, which decide results."""
    digest = hashlib.sha256()
    for name in _PACKAGES:
        spec = find_spec(name)
        for folder in (spec.submodule_search_locations or ()) if spec else ():
            for file in sorted(Path(folder).rglob("*.py")):
                digest.update(file.relative_to(folder).as_posix().encode() + file.read_bytes())
    try:
        version = metadata.version("pdeinv")
    except metadata.PackageNotFoundError:  # a source tree that was never installed
        version = "unknown"
    return f"pdeinv {version} ({digest.hexdigest()[:8]}) with torch {metadata.version('torch')}"


class _Calls:
    """The calls of one run, a few for each worker at a time."""

    def __init__(
        self,
        client: Any,
        scheduler: str,
        function: Callable[[Item], Result],
        report: Callable[[Item, Result], object],
    ):
        self.client, self.scheduler, self.report = client, scheduler, report
        # Not scattered: what the scheduler can compute again outlives the worker that holds it
        self.function = client.submit(bytes, _pickled(function), pure=False)
        self.done: queue.SimpleQueue = queue.SimpleQueue()
        self.running: dict[str, tuple[Any, Any]] = {}
        self.threads, self.looked, self.seen = 1, -_LOOK, time.monotonic()

    def run(self, items: Sequence[Any]) -> None:
        """Work on all items; whatever ends this cancels those that are left."""
        waiting = iter(items)
        try:
            while True:
                self._look()
                for item in islice(waiting, max(0, _WAITING * self.threads - len(self.running))):
                    self._submit(item)
                if not self.running:
                    return
                try:
                    future = self.done.get(timeout=_LOOK)
                except queue.Empty:
                    continue
                _, item = self.running.pop(future.key)
                self.report(item, self._result(future))
        finally:
            left = [future for future, _ in self.running.values()]
            self.client.cancel([self.function, *left], force=True)

    def _submit(self, item: Any) -> None:
        future = self.client.submit(
            _call, self.function, _pickled(item), code_version(), pure=False
        )
        self.running[future.key] = future, item
        future.add_done_callback(self.done.put)

    def _look(self) -> None:
        """Count the threads of the workers from time to time."""
        now = time.monotonic()
        if now - self.looked < _LOOK or self.client.status != "running":
            return
        self.looked = now
        self.threads = sum(self.client.nthreads().values())
        if self.threads:
            self.seen = now
        elif now - self.seen > _ALONE:
            raise NumericalError(
                f"all workers of the scheduler {self.scheduler} are gone; start workers, and "
                f"repeat the command"
            )

    def _result(self, future: Any) -> Any:
        distributed = schedulers.dask()
        try:
            return pickle.loads(future.result())
        except distributed.KilledWorker:
            raise NumericalError(
                f"workers of the scheduler {self.scheduler} died one after the other at the same "
                f"item: the system may have run out of memory; use fewer workers on each machine"
            ) from None
        except ImportError as error:
            raise InputError(
                f"the workers of the scheduler {self.scheduler} must have all modules of this "
                f"process ({error}); install them there, and start the workers again"
            ) from None
        except (CancelledError, distributed.comm.CommClosedError):
            raise NumericalError(
                f"the scheduler {self.scheduler} was lost; start it and its workers, and repeat "
                f"the command"
            ) from None


_lock = threading.Lock()
_known: dict[bytes, Callable[[Any], Any]] = {}
"""In a worker: the function of the last call, with what it keeps."""


def _call(pickled: bytes, item: bytes, version: str) -> bytes:
    """Call a function in a worker."""
    import cloudpickle

    if version != code_version():  # of a worker that came later
        raise _other_version({"a worker": code_version()})
    with _lock, one_thread():  # workers of a test may share a process
        if pickled not in _known:
            _known.clear()
            _known[pickled] = cloudpickle.loads(pickled)
        return pickle.dumps(_known[pickled](cloudpickle.loads(item)))


def _pickled(what: object) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps(what)
    except Exception as error:  # whatever an object of a user raises
        raise InputError(
            f"what is sent to workers must be picklable, got {described(what)} ({error}); work "
            f"without a scheduler"
        ) from None


def _check_workers(client: Any, scheduler: str) -> None:
    """Refuse a scheduler without workers, and workers that might compute other results."""

    def theirs() -> str:  # is pickled by value: a worker may lack the package
        try:
            from pdeinv.cluster import code_version
        except ImportError:
            return "no pdeinv of this kind"
        return code_version()

    try:
        client.wait_for_workers(1, timeout=schedulers.PATIENCE)
    except TimeoutError:
        raise InputError(
            f"the scheduler {scheduler} must have workers, got none within "
            f"{schedulers.PATIENCE:g} s; start some with `dask worker {client.scheduler.address} "
            f"--nthreads 1`"
        ) from None
    several = {where: n for where, n in client.nthreads().items() if n > 1}
    if several:
        where, threads = next(iter(several.items()))
        raise InputError(
            f"each worker of the scheduler {scheduler} must have one thread, got {threads} at "
            f"{where}; start it with --nworkers {threads} --nthreads 1"
        )
    found = client.run(theirs, on_error="return")
    other = {where: str(one) for where, one in found.items() if one != code_version()}
    if other:
        raise _other_version(other)


def _other_version(other: dict[str, str]) -> InputError:
    where, version = next(iter(other.items()))
    return InputError(
        f"the workers must run {code_version()}, got {version} at {where}; install the same there, "
        f"and start the workers again"
    )
