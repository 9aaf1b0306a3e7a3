"""Read NumPy arrays: the arrays of an `.npz` file, or the `.npy` files of a folder.

A folder's arrays are read where they are used. An array of an `.npz` file is read as a whole, for
it may be compressed. No file is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from pdeinv.datasets.hdf5 import DAMAGED, Contents, Stored, Variable, outer_part
from pdeinv.files import reading_failure

__all__ = ["StoredNumpy", "holds_arrays", "survey_numpy"]

_ENDING = ".npy"
_ERRORS = (OSError, ValueError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error)
_REAL = "fiu"  # kinds of numbers


@dataclass(frozen=True)
class _Array(Variable):
    """A variable, and the file of a folder that holds it; None in an `.npz` file."""

    file: Path | None = None


def holds_arrays(path: Path) -> bool:
    """Return whether a path is a folder of `.npy` files, or a zip archive with some."""
    if path.is_dir():
        return any(path.glob(f"*{_ENDING}"))
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(_ENDING) for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def survey_numpy(path: Path) -> Contents:
    """Return what a folder or an `.npz` file holds: the arrays by the names of their files.

    Arguments:
        path: of the folder or the file.

    Raises:
        InputError: an array is damaged or protected.
    """
    found: dict[str, Variable] = {}
    try:
        for name, size, stream, file in _streams(path):
            with closing(stream):
                found[name] = _variable(name, size, stream, file)
    except _ERRORS as error:
        raise reading_failure(path, error, DAMAGED) from None
    return Contents({}, found)


class StoredNumpy(Stored):
    """A NumPy array; one of an `.npz` file is kept once it is read."""

    _kept: np.ndarray | None = None

    def _block(self, key: tuple) -> np.ndarray:
        values = self._values()
        try:
            return np.array(outer_part(values, key))
        except _ERRORS as error:
            raise reading_failure(self.shown, error, DAMAGED) from None

    def _values(self) -> np.ndarray:
        variable = self.variable
        assert isinstance(variable, _Array)
        if self._kept is not None:
            return self._kept
        try:
            if variable.file is not None:
                return np.load(variable.file, mmap_mode="r", allow_pickle=False)
            self.check(variable.shape)
            with np.load(self.path, allow_pickle=False) as archive:
                self._kept = archive[variable.name]
        except _ERRORS as error:
            raise reading_failure(self.shown, error, DAMAGED) from None
        return self._kept


def _streams(path: Path) -> Iterator[tuple[str, int, IO[bytes], Path | None]]:
    """Yield the name, the size in bytes and the open file of each array, and its path."""
    if path.is_dir():
        for file in sorted(path.glob(f"*{_ENDING}")):
            yield file.stem, file.stat().st_size, file.open("rb"), file
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith(_ENDING):
                name = member.filename.removesuffix(_ENDING)
                yield name, member.file_size, archive.open(member), None


def _variable(name: str, size: int, stream: IO[bytes], file: Path | None) -> _Array:
    """Return the array of an open file, from its header."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"{name} has the version {version} of the format")
    one = version == (1, 0)
    read = np.lib.format.read_array_header_1_0 if one else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.kind not in _REAL:
        return _Array(name, shape, problem=f"holds no real numbers but values of {dtype}")
    count = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if stream.tell() + count > size:
        raise ValueError(f"{name} ends before its last value")
    chunk = 0 if file is not None else count
    return _Array(name, shape, dtype.str, (None,) * len(shape), chunk=chunk, file=file)
