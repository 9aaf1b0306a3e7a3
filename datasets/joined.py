"""The shards of a dataset as one dataset, which reads values when they are used."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.memory import check_memory

__all__ = ["join", "shards_of"]

_OWN = ("shard", "samples")
"""Attributes in which shards differ."""


def shards_of(path: Path) -> list[Path] | None:
    """Return the shards that a folder holds or that a pattern names; None for a file.

    Arguments:
        path: a folder, or a name with `*`, `?` or `[` such as `fields-*.h5`.

    Raises:
        InputError: a pattern names no file.
    """
    if path.is_dir():
        found = sorted(path.glob("*-[0-9][0-9][0-9][0-9]*.h5"))
        return found or None
    if path.exists() or not glob.has_magic(path.name):
        return None
    if not (found := sorted(path.parent.glob(path.name))):
        raise InputError(f"{path} must be a pattern of files that exist, got none; correct it")
    return found


def join(path: Path, files: Sequence[Path], read: Callable[[Path], xr.Dataset]) -> xr.Dataset:
    """Return the samples of all shards in the order of their numbers.

    Arguments:
        path: the folder, which must hold all shards, or the pattern.
        files: the shards.
        read: opens one of them.

    Raises:
        InputError: a file is no shard, is one of another dataset, or one is missing in a folder.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # each survey is a process of its own
        parts = list(pool.map(read, files))
    number: dict[Path, int] = {}
    for file, part in zip(files, parts, strict=True):
        if not isinstance(found := part.attrs.get("shard"), int | np.integer):
            raise InputError(
                f"{file} must be a shard of `pdeinv generate --shards`, got a file without the "
                f"attribute 'shard'; give a pattern without it"
            )
        number[file] = int(found)
        _check_same(file, part, files[0], parts[0])
    stated = int(parts[0].attrs["shards"])
    if path.is_dir() and len(parts) != stated:
        raise InputError(
            f"{path} must hold all {stated} shards of the dataset, got {len(parts)}; repeat its "
            f"`pdeinv generate` command, or give a pattern for some of them, such as "
            f"{path / files[0].name.replace(files[0].stem, files[0].stem[:-1] + '*')}"
        )
    order = sorted(range(len(files)), key=lambda i: number[files[i]])
    return _joined([parts[i] for i in order])


def _check_same(file: Path, part: xr.Dataset, first: Path, other: xr.Dataset) -> None:
    for name in {**part.attrs, **other.attrs}:
        one, two = part.attrs.get(name), other.attrs.get(name)
        if name not in _OWN and not np.array_equal(np.asarray(one), np.asarray(two)):
            raise InputError(
                f"{file} must be a shard of the dataset of {first}, got {name} = {described(one)}, "
                f"not {described(two)}; give the shards of one dataset"
            )


def _joined(parts: Sequence[xr.Dataset]) -> xr.Dataset:
    first = parts[0]
    fields = {
        name: xr.Variable(
            variable.dims,
            indexing.LazilyIndexedArray(_Rows(str(name), [part.variables[name] for part in parts])),
            variable.attrs,
        )
        for name, variable in first.data_vars.items()
    }
    coordinates: dict[Any, Any] = dict(first.coords)
    if "sample" in coordinates:
        indices = np.concatenate([part["sample"].values for part in parts])
        coordinates["sample"] = ("sample", indices, first["sample"].attrs)
    whole = xr.Dataset(fields, coordinates)
    whole.attrs = first.attrs | {"samples": whole.sizes["sample"]}
    del whole.attrs["shard"]
    return whole


class _Rows(BackendArray):
    """A field of several files, (sample, y, x).

    Arguments:
        name: of the field.
        parts: the field in each file, lazy.
    """

    def __init__(self, name: str, parts: Sequence[xr.Variable]):
        self.name, self.parts, self.dtype = name, parts, parts[0].dtype
        self.starts = np.cumsum([0, *(len(part) for part in parts)])
        self.shape = (int(self.starts[-1]), *parts[0].shape[1:])

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.typing.ArrayLike:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read
        )

    def _read(self, key: tuple) -> np.ndarray:
        rows, rest = np.arange(self.shape[0])[key[0]], key[1:]
        if rows.ndim == 0:
            i = int(np.searchsorted(self.starts, rows, "right")) - 1
            return self._of(i, int(rows - self.starts[i]), rest)
        size = len(rows) * math.prod(self.shape[1:]) * self.dtype.itemsize
        check_memory(size, f"the values of {self.name!r}", "read fewer samples at once")
        owner = np.searchsorted(self.starts, rows, "right") - 1
        found = [
            self._of(int(i), _as_slice(rows[owner == i] - self.starts[i]), rest)
            for i in np.unique(owner)
        ]
        return np.concatenate(found) if found else self._of(0, slice(0, 0), rest)

    def _of(self, i: int, rows: int | slice | np.ndarray, rest: tuple) -> np.ndarray:
        return np.asarray(self.parts[i][(rows, *rest)].values)


def _as_slice(rows: np.ndarray) -> slice | np.ndarray:
    """Return increasing indices as a slice where they follow each other."""
    if len(rows) == int(rows[-1]) - int(rows[0]) + 1:
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows
