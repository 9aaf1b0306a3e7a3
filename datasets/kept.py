"""What was made last, as much as fits into the memory for it, such as factorisations."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from pdeinv.locks import SharedLock

__all__ = ["Kept", "KeptByThread"]

T = TypeVar("T")


class Kept(Generic[T]):
    """Things by their keys, of which those that were used last are kept; the last one always is.

    Arguments:
        most: how many.
        limit: bytes of all.
    """

    def __init__(self, most: int, limit: float) -> None:
        self.most, self.limit = most, limit
        self.found: OrderedDict[Hashable, T] = OrderedDict()
        self._sizes: dict[Hashable, int] = {}
        self._lock = SharedLock()

    @property
    def bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(self._sizes.values())

    def get(self, key: Hashable) -> T | None:
        """Return what has a key, None if it is not kept."""
        with self._lock:
            if key in self.found:
                self.found.move_to_end(key)
            return self.found.get(key)

    def add(self, key: Hashable, made: T, size: int) -> None:
        """Keep something of a size in bytes, in the place of what was used before all else."""
        with self._lock:
            self.found[key], self._sizes[key] = made, size
            while len(self.found) > 1 and (len(self.found) > self.most or self.bytes > self.limit):
                del self._sizes[self.found.popitem(last=False)[0]]

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self.found.clear()
            self._sizes.clear()


class KeptByThread(threading.local, Generic[T]):
    """As `Kept`, for each thread by itself.

    Scipy frees the memory of a sparse factorisation only in the thread that made it. One that
    another thread drops stays in memory for good.

    Arguments:
        most, limit: as of `Kept`, of each thread.
    """

    def __init__(self, most: int, limit: float) -> None:
        self.kept: Kept[T] = Kept(most, limit)
