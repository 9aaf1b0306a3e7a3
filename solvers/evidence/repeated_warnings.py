"""Warnings of many solves of one problem, each kind given once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pdeinv.caught import recorded_warnings

__all__ = ["each_kind_once"]

_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


@contextmanager
def each_kind_once(times: str) -> Iterator[None]:
    """Give the warnings of a block at its end: of those that differ in numbers alone, the first,
    with the count of the others.

    Arguments:
        times: what the block does many times, such as "of 12 points".

    Example:
        >>> with warnings.catch_warnings(record=True) as given:
        ...     with each_kind_once("of 3 points"):
        ...         for i in range(3):
        ...             warnings.warn(f"{i} members were left out")
        >>> [str(one.message) for one in given]
        ['0 members were left out; similar for 2 more of 3 points']
    """
    with recorded_warnings(always=True) as caught:
        yield
    kinds: dict[tuple[type[Warning], str], list[warnings.WarningMessage]] = {}
    for one in caught:
        kinds.setdefault((one.category, _NUMBER.sub("#", str(one.message))), []).append(one)
    for (category, _), found in kinds.items():
        first, message = found[0], str(found[0].message)
        if len(found) > 1:
            message = f"{message}; similar for {len(found) - 1} more {times}"
        warnings.warn_explicit(message, category, first.filename, first.lineno)
