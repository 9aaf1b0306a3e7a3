"""Find a PDE's two fields among the variables of a file, by names, and assemble the dataset."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr
from xarray.core import indexing

from pdeinv.coordinates import coordinates_of
from pdeinv.datasets.base import PDE
from pdeinv.datasets.contents import DIMENSIONS, check_fields, find_pde
from pdeinv.datasets.hdf5 import Contents, Stored, StoredHDF5, StoredMatlab73, Variable
from pdeinv.datasets.header import FORMAT, FORMAT_VERSION, Header
from pdeinv.datasets.matlab import diffusionpde_layout
from pdeinv.datasets.matlab5 import StoredMatlab5
from pdeinv.datasets.numpy_files import StoredNumpy
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.datasets.zarr_files import StoredZarr
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Reader"]

_SHOWN = 12  # variables in a message
_NUMBERS = {2: "two", 3: "three", 4: "four"}
_KINDS: dict[str, Callable[..., Stored]] = {
    "HDF5": StoredHDF5,
    "MATLAB 7.3": StoredMatlab73,
    "MATLAB 5": StoredMatlab5,
    "NumPy": StoredNumpy,
    "Zarr": StoredZarr,
}
_LABELLED = ("HDF5", "Zarr")  # with coordinates; their names are not those of MATLAB's files
_AXES = (*DIMENSIONS, "time")
_MATLAB_AXES = ("sample", "x", "y", "time")  # of DiffusionPDE's files
_DECODED = {"scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned"}


class _Found(NamedTuple):
    """The PDE of a file and its variables.

    Arguments:
        pde: the PDE.
        names: the variables.
        axes: theirs, as far as they are certain.
        published: whether the file is one of DiffusionPDE's.
    """

    pde: PDE
    names: Sequence[str]
    axes: tuple[str, ...] = ()
    published: bool = False


@dataclass(frozen=True)
class Reader:
    """The way from a file's contents to a dataset.

    Arguments:
        path: the file.
        contents: its attributes and variables.
        source_format: a key of `_KINDS`.
        pde, names, dims: what the caller states; see `pdeinv.datasets.open_dataset`.
    """

    path: Path
    contents: Contents
    source_format: str
    pde: PDE | None
    names: Sequence[str] | None
    dims: Sequence[str] | None

    def open(self) -> xr.Dataset:
        """Return the dataset.

        Raises:
            InputError: the file does not state what it holds, or holds no fields on a grid.
        """
        header = Header.read(self.contents.attributes, self.path)
        attributes = {k: v for k, v in self.contents.attributes.items() if v is not None}
        if header.format == FORMAT and header.format_version > FORMAT_VERSION:
            raise InputError(
                f"the format version of {self.path} must be at most {FORMAT_VERSION}, got "
                f"{header.format_version}; upgrade pdeinv"
            )
        if header.format == FORMAT and not self.names:
            return self._own(attributes, header)
        pde, names, order, published = self._named() if self.names else self._recognised(attributes)
        stored = [self._stored(self._variable(name), order) for name in names]
        dataset = self._dataset([field.name for field in pde.fields], stored)
        dataset.attrs = attributes
        if published and pde.name in PDES:
            prior = pde_by_name(pde.name).default_prior
            dataset.attrs["prior"] = json.dumps(prior.to_json(), sort_keys=True)
        return self._described(dataset, pde)

    def _own(self, attributes: dict[str, Any], header: Header) -> xr.Dataset:
        """Return the dataset of a file of `generate`; a user's may have one of the two fields."""
        names = [name for name in (header.coefficient, header.solution) if name]
        names += header.outputs if names else ()
        if self.pde and set(names) - {field.name for field in self.pde.fields}:
            check_fields(self.pde, names)
        stored = [self._stored(self._variable(name), DIMENSIONS) for name in names]
        if not names:
            raise InputError(
                f"{self.path} must name its fields in the attributes 'coefficient' and 'solution', "
                f"got neither; set one of them to the name of a variable"
            )
        dataset = self._dataset(names, stored)
        grid = header.grid(dataset.sizes["y"], dataset.sizes["x"])
        size = {"samples": dataset.sizes.get("sample", 1)}
        dataset.attrs = attributes | size | _stated(grid) | {"source_format": FORMAT}
        dataset.attrs.pop("grid_size", None)  # of version 1
        return _with_nodes(dataset, grid)

    def _named(self) -> _Found:
        """Return the PDE, and the variables that the caller names."""
        if self.pde is None:
            raise InputError(
                f"the PDE of {self.path} must be given with the names of its variables, got none; "
                f"add pde=, one of {', '.join(PDES)}"
            )
        names, fields = list(self.names or ()), [field.name for field in self.pde.fields]
        if len(names) != len(fields) or len(set(names)) != len(names):
            raise InputError(
                f"names must be {_NUMBERS.get(len(fields), len(fields))} variables of {self.path}, "
                f"those of {' and '.join(fields)}, got {', '.join(names)}; it holds "
                f"{self._found()}"
            )
        return _Found(self.pde, names)

    def _recognised(self, attributes: dict[str, Any]) -> _Found:
        """Return the PDE whose names the file has, and its variables."""
        held = self.contents.variables
        known = self.pde or find_pde(xr.Dataset(attrs=attributes))
        pdes = [known] if known else [pde_by_name(name) for name in PDES]
        for pde in pdes:
            names = [field.name for field in pde.fields]
            if all(name in held for name in names):
                return _Found(pde, names)
        for pde in pdes:
            layout = diffusionpde_layout(pde, held)
            if layout and (layout[1] or self.pde):
                matlab = layout[1] and self.source_format not in _LABELLED
                return _Found(pde, layout[0], _MATLAB_AXES if matlab else (), matlab)
        wanted = [" and ".join(f.name for f in pde.fields) for pde in pdes]
        raise InputError(
            f"{self.path} must hold {', or '.join(wanted)}, or the variables of DiffusionPDE's "
            f"files, got {self._found()}; give the PDE, the variables of its coefficient and its "
            f'solution, and their axes in order: open_dataset(path, pde="...", names=("...", '
            f'"..."), dims=("sample", "y", "x")), or --pde, --names and --dims'
        )

    def _variable(self, name: str) -> Variable:
        variable = self.contents.variables.get(name.strip("/"))
        if variable is None:
            raise InputError(
                f"{self.path} must hold the variable {name!r}, got {self._found()}; name one of "
                f"them"
            )
        if variable.problem:
            raise InputError(
                f"the variable {name!r} of {self.path} {variable.problem}; give a file that holds "
                f"all its values as real numbers"
            )
        return variable

    def _stored(self, variable: Variable, order: tuple[str, ...]) -> Stored:
        """Return a variable with its axes in the right order.

        Arguments:
            variable: the variable.
            order: names of its axes where neither the caller nor the file states them; none if
                they are unknown.
        """
        given = self.dims
        named = tuple(name for name in variable.dims if name in _AXES)
        count = len(variable.shape)
        if given and (set(given) - set(_AXES) or not {"y", "x"} <= set(given)):
            raise InputError(
                f"dims must be sample, y and x, and time where there are times, got "
                f"{', '.join(given)}; correct them"
            )
        dims = tuple(given) if given else named if len(named) == count else order[:count]
        if len(dims) == count + 1:  # one of the two fields may have no times
            dims = tuple(name for name in dims if name != "time")
        if len(dims) != count or not {"y", "x"} <= set(dims) or len(set(dims)) < count:
            raise InputError(
                f"the axes of {variable.name!r} in {self.path} must be named, got the size "
                f"{' x '.join(map(str, variable.shape)) or 'of one value'} and "
                f"{', '.join(dims) or 'no names'}; give them in order, such as "
                f'dims=("sample", "y", "x"), or --dims sample,y,x'
            )
        stored = _KINDS[self.source_format](self.path, variable, dims)
        ny, nx = stored.shape[-2:]
        if min(ny, nx) < 4 or 0 in variable.shape:
            raise InputError(
                f"variable {variable.name!r} of {self.path} must have a grid of at least 4 nodes "
                f"per side, got {ny} x {nx} nodes (the size "
                f"{' x '.join(map(str, variable.shape))} has the axes {', '.join(dims)}); use "
                f"finer fields, or correct dims"
            )
        return stored

    def _dataset(self, names: Sequence[str], stored: Sequence[Stored]) -> xr.Dataset:
        """Return the fields with the coordinates that the file has."""
        if len({one.shape for one in stored}) > 1:
            raise InputError(
                f"the fields of {self.path} must have one size, got "
                f"{' and '.join(str(one.variable) for one in stored)}; select the same samples of "
                f"both"
            )
        variables = {
            name: self._decoded(
                xr.Variable(
                    DIMENSIONS[-len(one.shape) :],
                    indexing.LazilyIndexedArray(one),
                    one.variable.attributes,
                )
            )
            for name, one in zip(names, stored, strict=True)
        }
        return xr.Dataset(variables, self._coordinates(stored[0]))

    def _coordinates(self, stored: Stored) -> dict[str, xr.Variable]:
        dims = DIMENSIONS[-len(stored.shape) :]
        found = {}
        for name, size in zip(dims, stored.shape, strict=True):
            variable = self.contents.variables.get(name)
            whole = variable and variable.shape == (size,) and not variable.problem
            if variable and whole and self.source_format in _LABELLED:
                one = _KINDS[self.source_format](self.path, variable, (name,))
                found[name] = xr.Variable((name,), one.values(), variable.attributes)
        return found

    def _decoded(self, variable: xr.Variable) -> xr.Variable:
        """Return a variable with the conventions for packed and missing values applied."""
        if not _DECODED & set(variable.attrs):
            return variable
        try:
            return xr.conventions.decode_cf_variable(
                "field", variable, decode_times=False, decode_timedelta=False
            )
        except Exception as error:  # attributes of a wrong type
            raise InputError(
                f"the attributes of packed and missing values in {self.path} must be numbers "
                f"({error}); correct {', '.join(sorted(_DECODED & set(variable.attrs)))}"
            ) from None

    def _described(self, dataset: xr.Dataset, pde: PDE) -> xr.Dataset:
        """Return the dataset with the PDE's coordinates and attributes."""
        grid = pde.grid(dataset.sizes["y"], dataset.sizes["x"])
        dataset = _with_nodes(dataset, grid)
        for field in pde.fields:
            dataset[field.name].attrs = field.attributes | dataset[field.name].attrs
        parameters = {"pde_parameters": json.dumps(pde.json_parameters())} if self.pde else {}
        dataset.attrs |= parameters | {
            "pde": pde.name,
            "equation": pde.equation,
            "coefficient": pde.coefficient_field.name,
            "solution": pde.solution_field.name,
            "source_format": self.source_format,
            **_stated(grid),
        }
        times = self.contents.variables.get("t")
        if "time" in pde.parameters and times and self.source_format not in _LABELLED:
            last = _KINDS[self.source_format](self.path, self._variable("t"), ())
            dataset.attrs["final_time"] = float(last.values())
        return dataset

    def _found(self) -> str:
        """Return the variables of the file, for a message."""
        held = [str(one) for one in self.contents.variables.values()]
        rest = [f"{len(held) - _SHOWN} more"] if len(held) > _SHOWN else []
        return ", ".join(sorted(held)[:_SHOWN] + rest) or "no arrays"


def _stated(grid: Grid) -> dict[str, Any]:
    """Return the attributes of a file that state its grid."""
    return {
        "ny": grid.ny,
        "nx": grid.nx,
        "extent": list(grid.extent),
        "unit": grid.unit,
        "grid_kind": grid.kind,
    }


def _with_nodes(dataset: xr.Dataset, grid: Grid) -> xr.Dataset:
    """Return the dataset with the grid's nodes as coordinates where it has none."""
    missing = [name for name in ("y", "x") if name not in dataset.coords]
    known = coordinates_of(grid)
    return dataset.assign_coords({name: known[name] for name in missing})
