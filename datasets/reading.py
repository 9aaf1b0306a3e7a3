"""Open datasets as lazy xarray Datasets, whoever wrote them, and turn them into PDEs and tensors.

The examples shipped with the package are held out: eight instances of a PDE at 64 x 64, from a seed
that no shipped prior was trained on. `pdeinv generate NAME --n 8 --grid 64 --seed 20000 --out
pdeinv/data/NAME.h5` made them, before datasets had a range of seeds of their own.
"""

from __future__ import annotations

import json
import os
from importlib import resources
from pathlib import Path

import h5py
import numpy as np
import torch
import xarray as xr

from pdeinv.datasets.base import PDE, PDES, pde_by_name
from pdeinv.datasets.generation import FORMAT, FORMAT_VERSION
from pdeinv.datasets.matlab import open_matlab5, open_matlab73
from pdeinv.errors import InputError
from pdeinv.files import check_path

__all__ = ["example", "examples", "find_pde", "open_dataset", "pde_of", "states"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_DIMENSIONS = ("sample", "y", "x")
_DATA = resources.files("pdeinv") / "data"
# What reading a damaged file may raise
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


def open_dataset(path: str | os.PathLike) -> xr.Dataset:
    """Open a dataset file as a lazy Dataset, which reads values when they are used.

    The file is one of `generate`, or one of DiffusionPDE's MATLAB files (see
    `pdeinv.datasets.matlab`).

    Arguments:
        path: the file.

    Returns:
        The coefficient and the solution under their physical names, (sample, y, x), with
        coordinates. Its attributes are those of the file, with `pde` and `source_format`. Close it,
        or use it in a `with` statement.

    Raises:
        InputError: the file is missing, damaged, cut short or of another kind.
    """
    path = check_path(path)
    if path.is_dir():
        what = (
            "an unfinished dataset; repeat its `pdeinv generate` command"
            if path.suffix == ".parts"
            else "not a dataset file; give the name of a file in it"
        )
        raise InputError(f"{path} is a folder, {what}")
    try:
        with path.open("rb") as stream:
            head = stream.read(520)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); check the name of the dataset file"
        ) from None
    if head.startswith(b"MATLAB 5.0"):
        return open_matlab5(path)
    if _HDF5 in (head[:8], head[512:]):  # MATLAB's HDF5 files begin with 512 bytes of its own
        return _open_hdf5(path)
    raise InputError(
        f"{path} is neither an HDF5 nor a MATLAB file; make a dataset with `pdeinv generate`"
    )


def example(name: str) -> xr.Dataset:
    """Return the shipped example of a PDE: eight held-out instances, 64 x 64, in memory.

    Arguments:
        name: a name in `examples()`.

    Raises:
        InputError: there is no such PDE, or no example of it.
    """
    resource = _DATA / f"{pde_by_name(name).name}.h5"
    if not resource.is_file():
        raise InputError(
            f"an example is shipped for {', '.join(examples())} alone, got {name!r}; make one with "
            f"`pdeinv generate`"
        )
    with resources.as_file(resource) as path, open_dataset(path) as dataset:
        return dataset.load()


def examples() -> tuple[str, ...]:
    """Return the names of the PDEs of which an example is shipped, in alphabetical order."""
    return tuple(sorted(name for name in PDES if (_DATA / f"{name}.h5").is_file()))


def states(dataset: xr.Dataset, pde: PDE) -> torch.Tensor:
    """Return the states of a dataset, (samples, 2, ny, nx), float64.

    Arguments:
        dataset: the PDE's two fields, with the dimensions sample (optional), y and x.
        pde: the PDE.

    Raises:
        InputError: the dataset does not hold the PDE's fields, or not on the PDE's grid.
    """
    names = [field.name for field in pde.fields]
    missing = [name for name in names if name not in dataset.data_vars]
    if missing:
        raise InputError(
            f"a dataset of {pde.name} must hold {' and '.join(names)}, got "
            f"{', '.join(map(str, dataset.data_vars)) or 'no variables'}; use the PDE that it was "
            f"made for"
        )
    pair = dataset[names]
    if "sample" not in pair.dims:  # one instance, selected
        pair = pair.expand_dims("sample")
    for name in names:
        if set(pair[name].dims) != set(_DIMENSIONS):
            raise InputError(
                f"the dimensions of {name!r} must be {_DIMENSIONS}, got {pair[name].dims}; rename "
                f"or select them"
            )
    size = pair.sizes["x"]
    nodes = pde.grid(size).coordinates().numpy()
    for axis in ("y", "x"):
        if pair.sizes[axis] != size or not np.allclose(pair[axis], nodes, rtol=0, atol=1e-6):
            raise InputError(
                f"the {axis} coordinates of a dataset of {pde.name} must be those of a "
                f"{pde.grid_kind} grid on the unit square, got others for {size} nodes; use whole "
                f"fields on the grid that they were made on"
            )
    try:
        arrays = [
            pair[name].transpose(*_DIMENSIONS).to_numpy().astype(np.float64) for name in names
        ]
    except (OSError, RuntimeError) as error:
        raise InputError(
            f"the dataset's file is damaged ({error}); generate or download it again"
        ) from None
    return torch.from_numpy(np.stack(arrays, axis=1))


def pde_of(dataset: xr.Dataset) -> PDE:
    """Return the PDE that a dataset was made with, with its recorded parameters.

    Arguments:
        dataset: its attribute `pde` is the name; `pde_parameters` (JSON) and `final_time` are
            optional.

    Raises:
        InputError: the dataset names no registered PDE, or its parameters are wrong.
    """
    name = dataset.attrs.get("pde")
    if name is None:
        raise InputError(
            "a dataset must have the attribute 'pde', got none; open it with "
            "pdeinv.datasets.open_dataset or set the attribute"
        )
    text = dataset.attrs.get("pde_parameters", "{}")
    try:
        parameters = dict(json.loads(text))
        if "final_time" in dataset.attrs:  # the last time of a MATLAB file
            parameters.setdefault("time", float(dataset.attrs["final_time"]))
    except (ValueError, TypeError):
        raise InputError(
            f"the dataset's attribute pde_parameters must be a JSON object, got {text!r}; mend or "
            f"delete it"
        ) from None
    return pde_by_name(str(name), **parameters)


def find_pde(dataset: xr.Dataset) -> PDE | None:
    """Return the PDE of a dataset as `pde_of`, or None where it names no registered PDE.

    Raises:
        InputError: the dataset's parameters are wrong.
    """
    return pde_of(dataset) if str(dataset.attrs.get("pde")) in PDES else None


def _open_hdf5(path: Path) -> xr.Dataset:
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
        ours = attributes.get("format") == FORMAT
        version = int(attributes["format_version"]) if ours else 0
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    if not ours:
        return open_matlab73(path)
    if version > FORMAT_VERSION:
        raise InputError(
            f"the format version of {path} must be at most {FORMAT_VERSION}, got {version}; "
            f"upgrade pdeinv"
        )
    try:
        return _open_own(path, attributes)
    except _DAMAGE as error:
        raise _damaged(path, error) from None


def _open_own(path: Path, attributes: dict) -> xr.Dataset:
    size, samples = int(attributes["grid_size"]), int(attributes["samples"])
    with h5py.File(path, "r") as file:
        # A user's file may have one of the two fields
        roles = [role for role in ("coefficient", "solution") if role in attributes]
        shapes = {file[attributes[role]].shape for role in roles}
    dataset = xr.open_dataset(path, engine="h5netcdf")
    if shapes != {(samples, size, size)} or dataset.sizes["sample"] != samples:
        dataset.close()
        raise KeyError(f"fields of shape {shapes}")
    dataset.attrs["source_format"] = FORMAT
    return dataset


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is damaged or was cut short ({error}); delete it and generate or download it again"
    )
