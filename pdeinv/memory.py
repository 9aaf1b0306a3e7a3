"""How much memory a computation may take on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pdeinv.errors import InputError

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE
    from pdeinv.grid import Grid

__all__ = ["NUMBER", "available_memory", "check_memory", "check_states", "fits", "result_memory"]

NUMBER = 8
"""Bytes of a number in double precision."""

_SHARE = 0.8  # of the available memory that a solver may take
_UNKNOWN = 12e9  # bytes, where the system does not state what is available
_DRAW = 128**2  # numbers of a draw of a latent field, about
_BASE = 40e6  # bytes of libraries that are loaded on first use
_LEAST = 16  # states that every solver holds
_MEMINFO = Path("/proc/meminfo")
_CONTROL_GROUP = Path("/sys/fs/cgroup")


def check_memory(need: float, what: str, remedy: str) -> None:
    """Refuse work that would take more memory than is available.

    Arguments:
        need: bytes.
        what: the work, as a phrase behind "the memory for".
        remedy: what to change.

    Raises:
        InputError: it would.
    """
    most = _SHARE * available_memory()
    if not need <= most:
        raise InputError(
            f"the memory for {what} must be at most {_in_words(most)}, {_SHARE:.0%} of what is "
            f"available here, got an estimate of {_in_words(need)}; {remedy}"
        )


def fits(need: float) -> bool:
    """Return whether work takes no more memory than `check_memory` allows.

    Arguments:
        need: bytes.
    """
    return need <= _SHARE * available_memory()


def check_states(pde: PDE, grid: Grid, samples: int, replicates: int = 1) -> None:
    """Refuse states that would take more memory than is available.

    Arguments:
        pde, grid: as of `result_memory`.
        samples: states of each replicate.
        replicates: their number.

    Raises:
        InputError: they would.
    """
    several = replicates > 1
    check_memory(
        result_memory(pde, grid, samples * replicates),
        f"{samples} states of {pde.name} on {grid} nodes"
        + f" for each of {replicates} replicates" * several,
        "use fewer samples or a coarser grid" + ", or fewer replicates in a table" * several,
    )


def available_memory() -> float:
    """Return the bytes that this process may still take: the minimum of those of the system and of
    its control group."""
    return min(_of_system(), _of_control_group())


def result_memory(pde: PDE, grid: Grid, samples: int) -> float:
    """Return the bytes that drawing, solving and returning states takes.

    Arguments:
        pde: the physics.
        grid: of the states.
        samples: states.
    """
    state = _DRAW + 4 * len(pde.fields) * grid.nodes
    return _BASE + NUMBER * max(samples, _LEAST) * state


def _of_system() -> float:
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024.0 * int(line.split()[1])
        return float(os.sysconf("SC_PHYS_PAGES")) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):  # another system
        return _UNKNOWN


def _of_control_group() -> float:
    """Limit less use, without the files that the system keeps in memory as long as there is room;
    infinite without a limit."""
    try:
        limit = float((_CONTROL_GROUP / "memory.max").read_text())
        used = float((_CONTROL_GROUP / "memory.current").read_text())
        entries = (_CONTROL_GROUP / "memory.stat").read_text().split()
    except (OSError, ValueError):  # "max", or another version
        return float("inf")
    kept = dict(zip(entries[::2], entries[1::2], strict=False)).get("inactive_file", "0")
    return limit - used + float(kept)


def _in_words(size: float) -> str:
    return f"{size / 1e9:.3g} GB"
