"""Read DiffusionPDE's MATLAB files, version 5 and version 7.3, as datasets of this package.

A file holds two variables of MATLAB size samples x X x Y. Their names, which each PDE declares as
`matlab_names`, identify the PDE. A variable may have one more dimension, times; its last time is
read. A variable `t` holds the times, the last of which becomes the parameter `time` of a PDE that
has one.

The first index of a field is x there and y here. The values stay as they are, on the PDE's own
grid. For Darcy flow that is an approximation: its generator puts both fields at cell centres, (i +
1/2)/n. The pressure therefore does not quite vanish at the outermost nodes.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from pdeinv.datasets.base import PDE, PDES, pde_by_name
from pdeinv.errors import InputError

__all__ = ["open_matlab5", "open_matlab73"]


def open_matlab5(path: Path) -> xr.Dataset:
    """Open a version-5 file; the first access reads the whole variable.

    Such a file cannot be read in part.

    Raises:
        InputError: the file is damaged, or holds no dataset of a registered PDE.
    """
    from scipy import io  # slow to import

    try:
        contents = io.whosmat(path)
    except Exception as error:  # a damaged file makes scipy raise almost anything
        raise _damaged(path, error) from None
    return _dataset(
        path,
        {
            name: _Whole(path, name, shape, np.dtype("f4" if kind == "single" else "f8"))
            for name, shape, kind in contents
        },
        "MATLAB 5",
    )


def open_matlab73(path: Path) -> xr.Dataset:
    """Open a version-7.3 file, which is HDF5 with the dimensions in reverse.

    Each access reads just the part that it needs.

    Raises:
        InputError: the file is damaged, or holds no dataset of a registered PDE.
    """
    try:
        with h5py.File(path, "r") as file:
            found = {
                name: _Sliced(path, name, item.shape[::-1], item.dtype)
                for name, item in file.items()
                if isinstance(item, h5py.Dataset)
            }
    except (OSError, RuntimeError, KeyError) as error:
        raise _damaged(path, error) from None
    return _dataset(path, found, "MATLAB 7.3")


class _Field(BackendArray, ABC):
    """A variable of MATLAB size samples x X x Y (x times), viewed as (samples, y, x).

    The view is that of the last time.

    Arguments:
        path: the file.
        name: name of the variable.
        extent: its size in MATLAB.
        dtype: type of its values.
    """

    def __init__(self, path: Path, name: str, extent: tuple[int, ...], dtype: np.dtype):
        self.path = os.path.abspath(path)
        self.name = name
        self.extent = tuple(extent)
        self.dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.extent[0], self.extent[2], self.extent[1])

    def __getitem__(self, key: indexing.ExplicitIndexer) -> np.typing.ArrayLike:
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read
        )

    @abstractmethod
    def _read(self, key: tuple) -> np.ndarray:
        """Return values of the view.

        Arguments:
            key: integers, slices and at most one increasing array of integers.
        """

    @abstractmethod
    def values(self) -> np.ndarray:
        """Return the whole variable in MATLAB's own order."""


class _Whole(_Field):
    """A variable of a version-5 file; the view is read once and kept."""

    _view: np.ndarray | None = None

    def values(self) -> np.ndarray:
        from scipy import io

        try:
            return io.loadmat(self.path, variable_names=[self.name])[self.name]
        except Exception as error:
            raise _damaged(self.path, error) from None

    def _read(self, key: tuple) -> np.ndarray:
        if self._view is None:
            values = self.values()
            last = values[..., -1] if values.ndim == 4 else values
            # A copy, which frees the other times
            self._view = np.array(last.transpose(0, 2, 1), self.dtype, order="C")
        return self._view[key]


class _Sliced(_Field):
    """A variable of a version-7.3 file."""

    def values(self) -> np.ndarray:
        with h5py.File(self.path, "r") as file:
            return file[self.name][()].T

    def _read(self, key: tuple) -> np.ndarray:
        sample, y, x = key
        time = (-1,) if len(self.extent) == 4 else ()
        with h5py.File(self.path, "r") as file:
            block = file[self.name][(*time, y, x, sample)]
        return (
            block
            if np.ndim(sample) == 0 and not isinstance(sample, slice)
            else np.moveaxis(block, -1, 0)
        )


def _dataset(path: Path, found: Mapping[str, _Field], source_format: str) -> xr.Dataset:
    pde, arrays = _pair(path, found)
    for array in arrays:
        n = array.extent[1] if len(array.extent) in (3, 4) else 0
        if n < 4 or array.shape != (arrays[0].extent[0], n, n) or array.shape != arrays[0].shape:
            raise InputError(
                f"variable {array.name!r} of {path} must have the size samples x n x n with n >= "
                f"4, the same for both fields, got {' x '.join(map(str, array.extent))}; mend the "
                f"file"
            )
    nodes = pde.grid(arrays[0].shape[-1]).coordinates().numpy()
    dataset = xr.Dataset(
        {
            field.name: (
                ("sample", "y", "x"),
                indexing.LazilyIndexedArray(array),
                field.attributes,
            )
            for field, array in zip(pde.fields, arrays, strict=True)
        },
        coords={
            name: (name, nodes, {"units": "1", "long_name": f"{name} coordinate"})
            for name in ("y", "x")
        },
        attrs={
            "pde": pde.name,
            "equation": pde.equation,
            "coefficient": pde.coefficient_field.name,
            "solution": pde.solution_field.name,
            "grid_kind": pde.grid_kind,
            "grid_size": len(nodes),
            "source_format": source_format,
        },
    )
    if "time" in pde.parameters and "t" in found:
        dataset.attrs["final_time"] = float(found["t"].values().ravel()[-1])
    return dataset


def _pair(path: Path, found: Mapping[str, _Field]) -> tuple[PDE, tuple[_Field, _Field]]:
    """Return the PDE whose `matlab_names` are in the file, and its two variables."""
    layouts = {name: kind.matlab_names for name, kind in PDES.items() if kind.matlab_names}
    for name, (coefficient, solution) in layouts.items():
        if coefficient in found and solution in found:
            return pde_by_name(name), (found[coefficient], found[solution])
    raise InputError(
        f"{path} must hold the variables {', or '.join(map(' and '.join, layouts.values()))}, got "
        f"{', '.join(sorted(found)) or 'no arrays'}; give a dataset of pdeinv or of DiffusionPDE"
    )


def _damaged(path: str | os.PathLike, error: Exception) -> InputError:
    return InputError(f"{path} is damaged or was cut short ({error}); fetch it again")
