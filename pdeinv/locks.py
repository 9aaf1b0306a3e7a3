"""Locks of what all threads of a process share; a forked process starts without an owner."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

__all__ = ["SharedLock"]


class SharedLock:
    """A lock that its own thread may take again, and that is free in a forked process.

    A fork copies the locks of all threads and none of the threads but one. What another thread had
    taken would stay taken.

    Example:
        >>> lock = SharedLock()
        >>> with lock, lock:
        ...     print("once more")
        once more
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lock.release()

    def _free(self) -> None:
        self._lock = threading.RLock()


_all: weakref.WeakSet[SharedLock] = weakref.WeakSet()


def _free_all() -> None:
    for lock in list(_all):
        lock._free()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_free_all)
