"""What a caller of the package may rely on in its own process, and how large the process is."""

from __future__ import annotations

import gc
import os
import pickle
import random
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from threadpoolctl import threadpool_info

__all__ = ["changes", "open_files", "resident_bytes", "snapshot"]

_STATM, _FILES = Path("/proc/self/statm"), Path("/proc/self/fd")


def snapshot() -> dict[str, object]:
    """Return the global state of this process, by name."""
    blas = {i["filepath"]: i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}
    return {
        "random numbers of torch": torch.random.get_rng_state().numpy().tobytes(),
        "random numbers of numpy": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "random numbers of Python": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "threads of torch": torch.get_num_threads(),
        "threads of BLAS": blas,
        "gradient mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "errors of numpy": np.geterr(),
        "warning filters": _filters(),
        "showwarning": warnings.showwarning,
        "working directory": Path.cwd(),
        "environment": dict(os.environ),
        "recursion limit": sys.getrecursionlimit(),
    }


def _filters() -> list[object]:
    """The filters, but for those that libraries install when they load: of a class or a message."""
    return [f for f in warnings.filters if f[2].__module__ == "builtins" and f[1] is None]


def changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return the names of what differs.

    Arguments:
        before, after: of `snapshot`. A library that was loaded in between is no change.
    """
    found = [name for name in before if name != "threads of BLAS" and before[name] != after[name]]
    first, then = before["threads of BLAS"], after["threads of BLAS"]
    assert isinstance(first, dict) and isinstance(then, dict)
    if any(then.get(path) != number for path, number in first.items()):
        found.append("threads of BLAS")
    return found


def open_files() -> int:
    """Return the number of open files of this process; 0 where the system does not state it."""
    gc.collect()
    return len(list(_FILES.iterdir())) if _FILES.is_dir() else 0


def resident_bytes() -> float:
    """Return the resident size of this process; 1 where the system does not state it."""
    if not _STATM.exists():
        return 1.0
    return float(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
