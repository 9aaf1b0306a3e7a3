"""Open datasets as lazy xarray Datasets, whoever wrote them, and turn them into PDEs and tensors.

The examples shipped with the package are held out: eight instances of each PDE at 64 x 64, from a
seed that nothing is trained on. They were made by `pdeinv generate darcy --n 8 --grid 64 --seed
20000 --out pdeinv/data/darcy.h5`, and likewise for `poisson`, `helmholtz` and `navier-stokes`.
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

from pdeinv.datasets.base import PDE, pde_by_name
from pdeinv.datasets.generation import FORMAT, FORMAT_VERSION
from pdeinv.datasets.matlab import open_matlab5, open_matlab73
from pdeinv.errors import InputError

__all__ = ["example", "open", "pde_of", "states"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_DIMENSIONS = ("sample", "y", "x")


def open(path: str | os.PathLike) -> xr.Dataset:
    """A dataset file as a lazy Dataset: values are read when they are used, samples by slices.

    Takes the files of `generate` and DiffusionPDE's MATLAB files (see `pdeinv.datasets.matlab`).

    Returns:
        The coefficient and the solution under their physical names, (sample, y, x), with
        coordinates; attributes `pde`, `source_format` and what else the file tells. Close it, or
        use it in a `with` statement.

    Raises:
        InputError: the file is missing, damaged, cut short or something else.
    """
    path = Path(path)
    if path.is_dir():
        what = (
            "an unfinished dataset; run the same `generate` again"
            if path.suffix == ".parts"
            else "not a dataset file"
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
    """The eight held-out instances, 64 x 64, of a PDE (`poisson`, `helmholtz`, `darcy`,
    `navier-stokes`), in memory."""
    resource = resources.files("pdeinv") / "data" / f"{pde_by_name(name).name}.h5"
    if not resource.is_file():
        raise InputError(
            f"no example of {name!r} is shipped with pdeinv; make one with `pdeinv generate`"
        )
    with resources.as_file(resource) as path, open(path) as dataset:
        return dataset.load()


def states(dataset: xr.Dataset, pde: PDE) -> torch.Tensor:
    """Coefficient and solution of every sample as one tensor, (samples, 2, ny, nx), float64.

    Raises:
        InputError: the dataset does not hold the PDE's fields, or not on the PDE's grid.
    """
    names = [field.name for field in pde.fields]
    missing = [name for name in names if name not in dataset.data_vars]
    if missing:
        raise InputError(
            f"the dataset holds {', '.join(map(str, dataset.data_vars)) or 'no variables'}, but "
            f"{pde.name} needs "
            f"{' and '.join(names)}; use the PDE that it was made for"
        )
    pair = dataset[names]
    if "sample" not in pair.dims:  # one instance, selected
        pair = pair.expand_dims("sample")
    for name in names:
        if set(pair[name].dims) != set(_DIMENSIONS):
            raise InputError(
                f"{name!r} has the dimensions {pair[name].dims} in the dataset; they must be "
                f"{_DIMENSIONS}"
            )
    size = pair.sizes["x"]
    nodes = pde.grid(size).coordinates().numpy()
    for axis in ("y", "x"):
        if pair.sizes[axis] != size or not np.allclose(pair[axis], nodes, rtol=0, atol=1e-6):
            raise InputError(
                f"the dataset's {axis} coordinates are not those of a {pde.grid_kind} grid of "
                f"{size} x {size} nodes on the "
                f"unit square, which {pde.name} needs; use the whole fields, on the grid that "
                f"they were made on"
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
    """The PDE that a dataset was made with: its name and, where the dataset tells, its
    parameters."""
    name = dataset.attrs.get("pde")
    if name is None:
        raise InputError(
            "the dataset has no attribute 'pde'; open it with pdeinv.datasets.open or set the "
            "attribute"
        )
    text = dataset.attrs.get("pde_parameters", "{}")
    try:
        parameters = dict(json.loads(text))
        if "final_time" in dataset.attrs:  # a MATLAB file tells when its last snapshot was taken
            parameters.setdefault("time", float(dataset.attrs["final_time"]))
    except (ValueError, TypeError):
        raise InputError(
            f"the dataset's attribute pde_parameters = {text!r} is not a JSON object; mend or "
            f"delete it"
        ) from None
    return pde_by_name(str(name), **parameters)


def _open_hdf5(path: Path) -> xr.Dataset:
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            ours = attributes.get("format") == FORMAT
            if ours and attributes["format_version"] > FORMAT_VERSION:
                raise InputError(
                    f"{path} has the format version {attributes['format_version']}, newer than "
                    f"{FORMAT_VERSION}, the last "
                    "that this pdeinv reads; upgrade pdeinv"
                )
            roles = [
                role for role in ("coefficient", "solution") if role in attributes
            ]  # a file of one's own may have one
            shapes = {file[attributes[role]].shape for role in roles} if ours else set()
        if ours:
            dataset = xr.open_dataset(path, engine="h5netcdf")
            size = int(attributes["grid_size"])
            if (
                shapes != {(int(attributes["samples"]), size, size)}
                or dataset.sizes["sample"] != attributes["samples"]
            ):
                dataset.close()
                raise KeyError(f"fields of shape {shapes}")
            dataset.attrs["source_format"] = FORMAT
            return dataset
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is damaged or was cut short ({error}); delete it and generate or download it "
            f"again"
        ) from None
    return open_matlab73(path)
