"""What an HDF5 file holds, found without a value of it: a program of its own.

The HDF5 library may crash or loop on damaged metadata, and only the end of its process stops it.
`pdeinv.datasets.hdf5` therefore runs this file as a program before it opens a file itself. It
imports nothing of the package, so that it starts quickly.
"""

from __future__ import annotations

import json
import math
import sys
from collections import deque
from typing import Any

import h5py
import numpy as np

__all__ = ["MOST_OBJECTS", "examine", "normalise_attribute", "survey"]

MOST_OBJECTS = 1000
"""Groups and variables that a survey visits."""
_INTERNAL = {  # attributes that HDF5 and NetCDF 4 keep for themselves
    "CLASS",
    "NAME",
    "DIMENSION_LIST",
    "DIMENSION_LABELS",
    "REFERENCE_LIST",
    "_Netcdf4Coordinates",
    "_Netcdf4Dimid",
    "_NCProperties",
    "_nc3_strict",
}
_CPU_SECONDS = 10
_MEMORY = 8 << 30


def normalise_attribute(value: object) -> Any:
    """Return an attribute as text, a number or a list of them, whoever wrote it.

    Writers of HDF5 differ: xarray stores a number as an array of one, Fortran, Julia and MATLAB
    store text as bytes of a fixed length, padded with blanks or zeros.

    Raises:
        TypeError: the attribute is neither text nor real numbers.
    """
    if isinstance(value, h5py.Empty):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode().rstrip("\0 ")
        except UnicodeDecodeError:
            return value.decode("latin-1").rstrip("\0 ")
    if isinstance(value, str):  # h5py keeps bytes that are not UTF-8 as lone surrogates
        return value.encode(errors="replace").decode().rstrip("\0 ")
    if isinstance(value, (np.ndarray, list, tuple)):
        items = [normalise_attribute(item) for item in np.asarray(value).ravel()]
        return items[0] if len(items) == 1 else items
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (bool, int, float)):
        return value
    raise TypeError(f"an attribute must be text or numbers, got {type(value).__name__}")


def survey(path: str) -> dict[str, Any]:
    """Return the attributes of an HDF5 file and its variables, as JSON can hold them.

    Only objects of the file itself are visited, each once, so that loops of links end.

    Arguments:
        path: the file.

    Returns:
        `attributes` of the root, and `variables`: for each its name, shape, dtype, dims, attributes
        and `problem`, a phrase, or None where its values can be read.
    """
    with h5py.File(path, "r") as file:
        variables: list[dict[str, Any]] = []
        groups, seen, visited = deque([("", file["/"])]), set(), 0
        while groups:
            prefix, group = groups.popleft()
            for name in group:
                visited += 1
                if visited > MOST_OBJECTS:
                    groups.clear()
                    break
                full = f"{prefix}{name}"
                shown = full.encode(errors="replace").decode()
                if shown != full:
                    variables.append({"name": shown, "problem": "has a name that is not UTF-8"})
                    continue
                try:
                    item = _own(file, group, name)
                    address = item is not None and h5py.h5o.get_info(item.id).addr
                    if address and address in seen:
                        continue
                    seen.add(address)
                    if isinstance(item, h5py.Group):
                        groups.append((f"{full}/", item))
                    elif item is None or isinstance(item, h5py.Dataset):
                        variables.append(_variable(full, item))
                except Exception as error:  # damaged metadata raise almost anything
                    variables.append({"name": full, "problem": f"cannot be read ({error})"})
        return {"attributes": _attributes(file), "variables": variables}


def examine(path: str) -> dict[str, Any]:
    """Return the survey of a file, or `error` and its `errno` where there is none."""
    try:
        return survey(path)
    except Exception as error:  # damaged metadata raise almost anything
        return {"error": str(error), "errno": getattr(error, "errno", None)}


def _own(file: h5py.File, group: h5py.Group, name: str) -> h5py.HLObject | None:
    """Return an object of the file; None for a link to another file or to nothing."""
    if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
        return None
    item = group.get(name)
    return item if item is not None and item.file.filename == file.filename else None


def _variable(name: str, item: h5py.Dataset | None) -> dict[str, Any]:
    if item is None:
        return {"name": name, "problem": "is a link that leads out of the file or to nothing"}
    return {
        "name": name,
        "shape": list(item.shape or ()),
        "dtype": item.dtype.str if item.dtype.kind in "fiu" else "",
        "dims": _dimensions(item),
        "attributes": _attributes(item),
        "chunk": math.prod(item.chunks) * item.dtype.itemsize if item.chunks else 0,
        "problem": _problem(item),
    }


def _dimensions(item: h5py.Dataset) -> list[str | None]:
    """Return the names of the axes, None where the file does not name one."""
    if item.is_scale and item.ndim == 1:
        return [str(item.name).rpartition("/")[2]]
    if "DIMENSION_LIST" not in item.attrs:
        return [dimension.label or None for dimension in item.dims]
    return [
        str(dimension[0].name).rpartition("/")[2] if len(dimension) else dimension.label or None
        for dimension in item.dims
    ]


def _attributes(item: h5py.HLObject) -> dict[str, Any]:
    """Return the attributes that are text or numbers, and None for others."""
    found: dict[str, Any] = {}
    for name in item.attrs:
        if name in _INTERNAL:
            continue
        try:
            found[normalise_attribute(name)] = normalise_attribute(item.attrs[name])
        except Exception:  # damaged metadata raise almost anything
            found[normalise_attribute(str(name))] = None
    return found


def _problem(item: h5py.Dataset) -> str | None:
    """Return why the values cannot be used as real numbers; None if they can."""
    names: tuple[str, ...] = item.dtype.names or ()
    if item.shape is None:
        return "is empty"
    if item.dtype.kind == "c" or (len(names) == 2 and names[0][:1] == "r" and names[1][:1] == "i"):
        return "holds complex numbers"
    if item.dtype.kind not in "fiu" or item.dtype.metadata:
        return f"holds no numbers but {_kind(item.dtype)}"
    if item.external or item.is_virtual:
        return "keeps its values in other files"
    filters = item.id.get_create_plist()
    for i in range(filters.get_nfilters()):
        code, *_, label = filters.get_filter(i)
        if not h5py.h5z.filter_avail(code):
            return f"is compressed by the filter {code} ({label.decode(errors='replace')}), which "\
                "is not installed"  # fmt: skip
    if item.chunks:
        wanted = math.prod(-(-n // c) for n, c in zip(item.shape, item.chunks, strict=True))
        written = item.id.get_num_chunks()
    else:
        wanted, written = item.nbytes, item.id.get_storage_size()
    if written < wanted:
        unit = "chunks" if item.chunks else "bytes"
        return f"has {written} of its {wanted} {unit} written"
    return None


def _kind(dtype: np.dtype) -> str:
    if h5py.check_string_dtype(dtype):
        return "text"
    if h5py.check_ref_dtype(dtype):
        return "references"
    if h5py.check_vlen_dtype(dtype):
        return "arrays of variable length"
    if dtype.names:
        return "compound values"
    return f"values of type {dtype}"


def _limit() -> None:
    """Limit the time and the memory of this process, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def _main(path: str) -> None:
    _limit()
    print(json.dumps(examine(path)))


if __name__ == "__main__":
    _main(sys.argv[1])
