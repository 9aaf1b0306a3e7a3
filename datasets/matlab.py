"""Read the MATLAB files in which DiffusionPDE published its data, version 5 and version 7.3, as our
own datasets.

=============  ========================================  =========================================
PDE            variables (coefficient, solution)         size in MATLAB
=============  ========================================  =========================================
Darcy          `thresh_a_data`, `thresh_p_data`          samples x X x Y
Poisson        `f_data`, `phi_data`                      samples x X x Y
Helmholtz      `f_data`, `psi_data`                      samples x X x Y
Navier–Stokes  `a`, `u`, times `t`                       samples x X x Y, and for u x times
=============  ========================================  =========================================

The first index of a field is x there and y here. The values are taken as they stand, on the PDE's
own grid. For Darcy this is an approximation: its generator puts both fields at cell centres, (i +
1/2)/n, so that the pressure does not quite vanish at the outermost nodes.
"""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import xarray as xr
from xarray.backends import BackendArray
from xarray.core import indexing

from pdeinv.datasets.base import pde_by_name
from pdeinv.errors import InputError

__all__ = ["open_matlab5", "open_matlab73"]

_LAYOUTS = {
    "darcy": ("thresh_a_data", "thresh_p_data"),
    "poisson": ("f_data", "phi_data"),
    "helmholtz": ("f_data", "psi_data"),
    "navier-stokes": ("a", "u"),
}


def open_matlab5(path: Path) -> xr.Dataset:
    """A version-5 file; such a file cannot be read in part, so the first access reads the whole
    variable."""
    from scipy import io  # takes half a second

    try:
        contents = io.whosmat(path)
    except Exception as error:  # a damaged file makes scipy raise almost anything
        raise _damaged(path, error) from None
    return _dataset(
        path, {name: _Whole(path, name, shape, kind) for name, shape, kind in contents}, "MATLAB 5"
    )


def open_matlab73(path: Path) -> xr.Dataset:
    """A version-7.3 file, which is HDF5 with the dimensions in reverse; read in part."""
    try:
        with h5py.File(path, "r") as file:
            found = {
                name: _Sliced(path, item)
                for name, item in file.items()
                if isinstance(item, h5py.Dataset)
            }
    except (OSError, RuntimeError, KeyError) as error:
        raise _damaged(path, error) from None
    return _dataset(path, found, "MATLAB 7.3")


class _Field(BackendArray):
    """A variable of MATLAB size samples x X x Y (x times), seen as (samples, y, x) at the last
    time."""

    def __init__(self, path: Path, name: str, extent: tuple[int, ...], dtype: np.dtype):
        self.path = os.path.abspath(path)
        self.name = name
        self.extent = tuple(extent)
        self.dtype = np.dtype(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.extent[0], self.extent[2], self.extent[1])

    def __getitem__(self, key):
        return indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.OUTER_1VECTOR, self._read
        )

    def _read(self, key):
        """Values of the view at a key of integers, slices and at most one increasing array of
        integers."""
        raise NotImplementedError

    def values(self) -> np.ndarray:
        """The whole variable in MATLAB's own order."""
        raise NotImplementedError


class _Whole(_Field):
    def __init__(self, path, name, extent, kind):
        super().__init__(path, name, extent, np.float32 if kind == "single" else np.float64)
        self._view = None

    def values(self):
        from scipy import io

        try:
            return io.loadmat(self.path, variable_names=[self.name])[self.name]
        except Exception as error:
            raise _damaged(self.path, error) from None

    def _read(self, key):
        if self._view is None:
            values = self.values()
            last = values[..., -1] if values.ndim == 4 else values
            # a copy, to let the other times go
            self._view = np.array(last.transpose(0, 2, 1), self.dtype, order="C")
        return self._view[key]


class _Sliced(_Field):
    def __init__(self, path, item):
        super().__init__(path, item.name.lstrip("/"), item.shape[::-1], item.dtype)

    def values(self):
        with h5py.File(self.path, "r") as file:
            return file[self.name][()].T

    def _read(self, key):
        sample, y, x = key
        time = (-1,) if len(self.extent) == 4 else ()
        with h5py.File(self.path, "r") as file:
            block = file[self.name][(*time, y, x, sample)]
        return (
            block
            if np.ndim(sample) == 0 and not isinstance(sample, slice)
            else np.moveaxis(block, -1, 0)
        )


def _dataset(path: Path, found: dict[str, _Field], source_format: str) -> xr.Dataset:
    layout = next((item for item in _LAYOUTS.items() if set(item[1]) <= set(found)), None)
    if layout is None:
        raise InputError(
            f"{path} holds {', '.join(sorted(found)) or 'no arrays'}, which is no dataset of "
            f"pdeinv nor of DiffusionPDE; "
            f"its variables must be "
            f"{', or '.join(' and '.join(names) for names in _LAYOUTS.values())}"
        )
    pde, arrays = pde_by_name(layout[0]), [found[name] for name in layout[1]]
    for array in arrays:
        n = array.extent[1] if len(array.extent) in (3, 4) else 0
        if n < 4 or array.shape != (arrays[0].extent[0], n, n) or array.shape != arrays[0].shape:
            raise InputError(
                f"{path}: variable {array.name!r} has the size "
                f"{' x '.join(map(str, array.extent))}; a field must be "
                "samples x n x n with n >= 4, the same for both fields"
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
    if pde.name == "navier-stokes" and "t" in found:
        dataset.attrs["final_time"] = float(found["t"].values().ravel()[-1])
    return dataset


def _damaged(path, error: Exception) -> InputError:
    return InputError(f"{path} is damaged or was cut short ({error}); fetch it again")
