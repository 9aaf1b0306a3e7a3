"""The memory that is available, checked before an array of a declared size is made."""

from __future__ import annotations

import os
from pathlib import Path

from pdeinv.errors import InputError

__all__ = ["available_memory", "check_fits"]

_FALLBACK = 8 << 30  # where the system does not say


def available_memory() -> int:
    """Return the bytes that new arrays may take without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except (OSError, ValueError, IndexError):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _FALLBACK


def check_fits(size: float, what: str, remedy: str) -> None:
    """Refuse an array that the memory cannot hold.

    Arguments:
        size: bytes.
        what: what takes them, a plural.
        remedy: what to do instead.

    Raises:
        InputError: the array does not fit into the available memory.
    """
    free = available_memory()
    if size > free:
        raise InputError(
            f"{what} must fit into the {free / 2**30:.1f} GiB of memory available, got "
            f"{size / 2**30:.1f} GiB; {remedy}"
        )
