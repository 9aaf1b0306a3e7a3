"""Read Zarr stores: folders of version 2 or 3, whose arrays are read where they are used.

The library `zarr` decodes one chunk after the other. What it takes on trust is checked before: it
reads an absent chunk as a constant, so that a store whose copying was interrupted would seem whole,
and the codec Blosc reads beyond the end of a file that was cut short.
"""

from __future__ import annotations

import itertools
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from pdeinv.datasets.hdf5 import DAMAGED, Stored
from pdeinv.datasets.zarr_metadata import ZarrArray
from pdeinv.errors import InputError
from pdeinv.files import reading_failure

__all__ = ["StoredZarr"]

_BLOSC_HEAD = struct.Struct("<4xIII")  # sizes: decoded, of a block, encoded
_CHECKSUM = 4  # bytes behind the table of a shard


class StoredZarr(Stored):
    """An array of a Zarr store; each access opens it and reads the chunks that it needs."""

    def _block(self, key: tuple) -> np.ndarray:
        zarr, variable = self._library(), self.variable
        assert isinstance(variable, ZarrArray)
        places = [
            np.arange(*one.indices(size)) if isinstance(one, slice) else np.atleast_1d(one) % size
            for one, size in zip(key, variable.shape, strict=True)
        ]
        single = [not isinstance(one, slice) and not np.ndim(one) for one in key]
        try:
            array = zarr.open_array(str(variable.folder), mode="r", zarr_format=variable.version)
            if array.shape != variable.shape or array.dtype.kind not in "fiu":
                raise ValueError("its metadata changed since it was opened")
            values = self._read_chunks(array, variable, places)
        except InputError:
            raise
        except Exception as error:  # those of the library and of its codecs are of many kinds
            raise reading_failure(self.shown, error, DAMAGED) from None
        return values.squeeze(tuple(np.flatnonzero(single).tolist()))

    def _read_chunks(self, array: Any, variable: ZarrArray, places: list[np.ndarray]) -> np.ndarray:
        """Return the values at places along each axis."""
        values = np.empty([len(one) for one in places], self.dtype)
        homes = [one // size for one, size in zip(places, variable.decoded, strict=True)]
        checked = set()
        for home in itertools.product(*(np.unique(one).tolist() for one in homes)):
            starts = [at * size for at, size in zip(home, variable.decoded, strict=True)]
            file = tuple(a // size for a, size in zip(starts, variable.chunks, strict=True))
            if file not in checked:
                self._check_file(variable, file)
                checked.add(file)
            inside = [np.flatnonzero(one == at) for one, at in zip(homes, home, strict=True)]
            chunk = array[
                tuple(slice(a, a + size) for a, size in zip(starts, variable.decoded, strict=True))
            ]
            local = [one[at] - a for one, at, a in zip(places, inside, starts, strict=True)]
            values[np.ix_(*inside)] = np.asarray(chunk)[np.ix_(*local)]
        return values

    def _check_file(self, variable: ZarrArray, place: tuple[int, ...]) -> None:
        """Refuse a file of chunks that is absent, or shorter than it states."""
        name = variable.prefix + variable.separator.join(map(str, place))
        file = variable.folder / name
        size = file.stat().st_size if file.is_file() else 0
        if not size:
            raise self._absent(name)
        if variable.shard:
            self._check_shard(variable, place, file, size)
        elif variable.blosc:
            with file.open("rb") as stream:
                head = stream.read(_BLOSC_HEAD.size)
            decoded, _, encoded = _BLOSC_HEAD.unpack(head)
            if encoded != size or decoded != variable.chunk:
                raise ValueError(f"{name} holds {size} bytes, where it states {encoded}")

    def _check_shard(
        self, variable: ZarrArray, place: tuple[int, ...], file: Path, size: int
    ) -> None:
        """Refuse a shard whose table, two numbers of each chunk, leads beyond it or to nothing."""
        parts = zip(place, variable.chunks, variable.decoded, variable.shape, strict=True)
        counts, within = [], []
        for at, whole, part, end in parts:  # chunks beyond the array's end are not written
            counts.append(whole // part)
            within.append(slice(-(-min(whole, end - at * whole) // part)))
        length = 16 * math.prod(counts)
        with file.open("rb") as stream:
            if size < length + _CHECKSUM:
                raise ValueError(f"{file.name} is shorter than its table")
            stream.seek(size - length - _CHECKSUM)
            table = np.frombuffer(stream.read(length), "<u8").reshape(*counts, 2)[tuple(within)]
        if (table == 2**64 - 1).any():
            raise self._absent(f"a place in the shard {file.name}")
        if (table > size).any() or (table.sum(axis=-1) > size).any():
            raise ValueError(f"the table of {file.name} leads beyond it")

    def _absent(self, where: str) -> InputError:
        return InputError(
            f"the variable {self.variable.name!r} of {self.shown} must have all its chunks, got "
            f"none at {where}; copy the store again, or write it with write_empty_chunks=True"
        )

    def _library(self) -> Any:
        try:
            import zarr
        except ImportError:
            raise InputError(
                f"zarr must be installed to read {self.shown}, got none; pip install "
                f"'pdeinv[zarr]', or save the fields as HDF5"
            ) from None
        if int(zarr.__version__.partition(".")[0]) < 3:
            raise InputError(
                f"zarr must be of version 3 to read {self.shown}, got {zarr.__version__}; pip "
                f"install 'pdeinv[zarr]'"
            )
        return zarr
