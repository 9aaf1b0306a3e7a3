"""Warnings of a block, recorded or left out, while other threads do the same.

`warnings.catch_warnings` replaces the filters of the process and puts back those that it found. Two
threads whose blocks overlap leave those of one block behind.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pdeinv.locks import SharedLock

__all__ = ["ignored_warnings", "recorded_warnings"]

_lock = SharedLock()


@contextmanager
def recorded_warnings(*, always: bool = False) -> Iterator[list[warnings.WarningMessage]]:
    """Record the warnings of a block instead of giving them; one thread at a time.

    Arguments:
        always: also those that the caller's filters leave out.

    Example:
        >>> with recorded_warnings(always=True) as caught:
        ...     warnings.warn("few members")
        >>> [str(one.message) for one in caught]
        ['few members']
    """
    with _lock, warnings.catch_warnings(record=True) as caught:
        if always:
            warnings.simplefilter("always")
        yield caught


@contextmanager
def ignored_warnings(category: type[Warning] = Warning) -> Iterator[None]:
    """Leave out the warnings of a kind within a block; one thread at a time.

    Arguments:
        category: of the warnings.
    """
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", category)
        yield
