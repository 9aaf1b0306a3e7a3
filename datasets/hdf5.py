"""Read HDF5 files that others wrote, or that are damaged, without harm to this process."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from xarray.backends import BackendArray
from xarray.core import indexing

from pdeinv.datasets import survey
from pdeinv.errors import InputError
from pdeinv.files import reading_failure
from pdeinv.memory import check_memory

__all__ = [
    "DAMAGED",
    "Contents",
    "Stored",
    "StoredHDF5",
    "StoredMatlab73",
    "Variable",
    "outer_part",
    "survey_hdf5",
]

DAMAGED = "is damaged or was cut short; generate or download it again"
"""What a message states of a file that cannot be read."""


@dataclass(frozen=True)
class Variable:
    """An array in a file.

    Arguments:
        name: its name, with the groups above it.
        shape: sizes along the axes of `dims`.
        dtype: type of its values; empty where they are no real numbers.
        dims: names of the axes, None where the file does not name one.
        attributes: text and numbers.
        chunk: bytes that are read at once at least.
        problem: why its values cannot be read; None if they can.
    """

    name: str
    shape: tuple[int, ...] = ()
    dtype: str = ""
    dims: tuple[str | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    chunk: int = 0
    problem: str | None = None

    def __str__(self) -> str:
        """Return the name and the size."""
        size = " x ".join(map(str, self.shape))
        return f"{self.name} ({self.problem or size or 'one value'})"


@dataclass(frozen=True)
class Contents:
    """The attributes of a file and its variables by name."""

    attributes: dict[str, Any]
    variables: dict[str, Variable]


def survey_hdf5(path: Path) -> Contents:
    """Return what an HDF5 file holds; a process of its own looks, which damage may crash.

    Raises:
        InputError: the file is damaged, in use or protected.
    """
    status = path.stat()
    return _surveyed(
        os.path.abspath(path), status.st_ino, status.st_size, status.st_mtime_ns, str(path)
    )


@lru_cache(maxsize=16)
def _surveyed(path: str, inode: int, size: int, time: int, shown: str) -> Contents:
    found = _examine(path, shown)
    if "error" in found:
        cause = OSError(found["error"])
        cause.errno = found["errno"]
        raise reading_failure(shown, cause, DAMAGED)
    variables = {}
    for one in found["variables"]:
        for key in ("shape", "dims"):
            one[key] = tuple(one.get(key, ()))
        known = {k: v for k, v in one.pop("attributes", {}).items() if v is not None}
        variables[one["name"]] = Variable(**one, attributes=known)
    return Contents(found["attributes"], variables)


def _examine(path: str, shown: str) -> dict[str, Any]:
    """Return the survey of a file by a process of its own."""
    environment = {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(
            [sys.executable, survey.__file__, path],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=os.environ | environment,
        )
        reason = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
    except OSError as error:
        done, reason = None, str(error)
    if done is None or done.returncode > 0:
        raise InputError(
            f"{shown} cannot be examined, as a further process failed ({reason}); end other "
            f"programs, or check that Python can be started"
        )
    if done.returncode < 0:
        raise InputError(
            f"{shown} {DAMAGED} (the program that examined it ended by signal {-done.returncode})"
        )
    return json.loads(done.stdout)


class Stored(BackendArray, ABC):
    """A variable of a file, viewed as (sample, y, x) or (y, x); the view is read when it is used.

    Arguments:
        path: the file.
        variable: the variable.
        dims: names of its axes, as many: `y`, `x` and optionally `sample`, and `time`, whose last
            one is read.
    """

    def __init__(self, path: Path, variable: Variable, dims: Sequence[str]):
        self.path, self.shown = os.path.abspath(path), str(path)
        self.variable = variable
        self.order = tuple(dims.index(name) for name in ("sample", "y", "x") if name in dims)
        self.dtype = np.dtype(variable.dtype).newbyteorder("=")

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the view."""
        return tuple(self.variable.shape[axis] for axis in self.order)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.typing.ArrayLike:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read
        )

    def _read(self, key: tuple) -> np.ndarray:
        """Return values of the view.

        Arguments:
            key: integers, slices and at most one increasing array of integers.
        """
        whole: list[Any] = [size - 1 for size in self.variable.shape]  # the last time
        for axis, one in zip(self.order, key, strict=True):
            whole[axis] = one
        lengths = [
            len(range(*one.indices(size))) if isinstance(one, slice) else np.size(one)
            for one, size in zip(whole, self.variable.shape, strict=True)
        ]
        self.check(lengths)
        block = self._block(tuple(whole))
        kept = [
            axis
            for axis, one in zip(self.order, key, strict=True)
            if isinstance(one, slice) or np.ndim(one)
        ]
        return block.transpose([sorted(kept).index(axis) for axis in kept]).astype(
            self.dtype, copy=False
        )

    def values(self) -> np.ndarray:
        """Return the whole view."""
        return self._read((slice(None),) * len(self.order))

    def check(self, lengths: Sequence[int]) -> None:
        """Refuse a part that does not fit into memory.

        Arguments:
            lengths: of the part along each axis.

        Raises:
            InputError: it does not fit into the available memory.
        """
        check_memory(
            max(math.prod(lengths) * self.dtype.itemsize, self.variable.chunk),
            f"the values of {self.variable.name!r} in {self.shown}",
            "read fewer samples at once",
        )

    @abstractmethod
    def _block(self, key: tuple) -> np.ndarray:
        """Return a part of the variable in the file's own order of axes."""


def outer_part(values: np.ndarray, key: tuple) -> np.ndarray:
    """Return a part of an array with its axes in their order.

    Arguments:
        values: the array.
        key: integers, slices and at most one array of integers. numpy would move the axis of that
            array next to an integer.
    """
    ranges, dropped = list(key), []
    for axis, (one, size) in enumerate(zip(key, values.shape, strict=True)):
        if not isinstance(one, slice) and np.ndim(one) == 0:
            ranges[axis] = slice(int(one) % size, int(one) % size + 1)
            dropped.append(axis)
    return values[tuple(ranges)].squeeze(tuple(dropped))


class StoredHDF5(Stored):
    """A variable of an HDF5 file; each access opens the file and reads just the part it needs."""

    reverse = False

    def _block(self, key: tuple) -> np.ndarray:
        try:
            with h5py.File(self.path, "r") as file:
                found = file[self.variable.name]
                return found[key[::-1]].T if self.reverse else found[key]
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            raise reading_failure(self.shown, error, DAMAGED) from None


class StoredMatlab73(StoredHDF5):
    """A variable of a MATLAB file of version 7.3, with the axes of the HDF5 file in reverse."""

    reverse = True
