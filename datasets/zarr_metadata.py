"""What a Zarr store holds, found in its JSON alone.

So nothing is decoded that is not wanted: an array of Python objects, whose codec would run what
they hold, or one with a codec of an unknown kind.
"""

from __future__ import annotations

import base64
import json
import math
import os
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pdeinv.datasets.hdf5 import DAMAGED, Contents, Variable
from pdeinv.datasets.survey import MOST_OBJECTS, normalise_attribute
from pdeinv.errors import InputError
from pdeinv.files import reading_failure

__all__ = ["ZarrArray", "is_zarr", "survey_zarr"]

_GROUPS = (".zgroup", "zarr.json")
_METADATA = (*_GROUPS, ".zarray", ".zmetadata")
_LONGEST = 1 << 24  # bytes of a file of metadata
_ERRORS = (
    *(OSError, ValueError, TypeError, KeyError, IndexError, AttributeError),
    *(RecursionError, MemoryError, OverflowError),
)
_NUMBERS = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)} | {
    f"float{bits}" for bits in (16, 32, 64)
}
_DIMENSIONS = "_ARRAY_DIMENSIONS"  # xarray's attribute, in version 2
_SHARDING = "sharding_indexed"
_TABLE = (["bytes", "crc32c"], "little")  # codecs of a shard's table, and the order of its bytes
_BLOSC = "blosc"
_CODECS = {_SHARDING}.union(  # of bytes and numbers; none of these runs what a store holds
    ["bytes", "transpose", "crc32c", "crc32", "adler32", "fletcher32", "jenkins_lookup3"],
    ["blosc", "zstd", "gzip", "zlib", "bz2", "lz4", "lzma", "shuffle"],
    ["delta", "fixedscaleoffset", "quantize", "bitround", "packbits", "astype"],
)


@dataclass(frozen=True)
class ZarrArray(Variable):
    """An array of a store, and where its chunks are.

    Arguments:
        folder: of the array.
        version: of the format, 2 or 3.
        chunks: nodes of a file along each axis.
        decoded: nodes that are decoded at once, as many where a file is no shard.
        shard: whether a file is a shard, of several chunks.
        blosc: whether a file is one chunk that Blosc encoded last.
        prefix, separator: of the names of the files.
    """

    folder: Path = Path()
    version: int = 3
    chunks: tuple[int, ...] = ()
    decoded: tuple[int, ...] = ()
    shard: bool = False
    blosc: bool = False
    prefix: str = ""
    separator: str = "."


def is_zarr(path: Path) -> bool:
    """Return whether a path is a folder with the metadata of a Zarr store."""
    return path.is_dir() and any((path / name).is_file() for name in _METADATA)


def survey_zarr(path: Path) -> Contents:
    """Return what a Zarr store holds: its arrays by their names, with the groups above them.

    Arguments:
        path: the folder of the store.

    Raises:
        InputError: its metadata are damaged or protected, or it is a single array.
    """
    try:
        found = _node(path)
        if found is None:
            raise ValueError(f"it has none of {', '.join(_GROUPS)}")
        if "shape" in found:
            raise InputError(
                f"{path} must be a group of Zarr arrays, got a single array; give the folder of "
                f"the group that holds the arrays of both fields"
            )
        variables = {one.name: one for one in _variables(path)}
    except InputError:
        raise
    except _ERRORS as error:
        raise reading_failure(path, error, DAMAGED) from None
    return Contents(_attributes(found), variables)


def _variables(path: Path) -> Iterator[Variable]:
    """Yield the arrays of a store."""
    folders, visited = deque([("", path)]), 0
    while folders:
        prefix, folder = folders.popleft()
        for item in sorted(folder.iterdir()):
            if not item.is_dir():
                continue
            visited += 1
            if visited > MOST_OBJECTS:
                return
            name = f"{prefix}{item.name}".encode(errors="replace").decode()
            try:
                found = _node(item)
                if found is None:
                    continue
                if "shape" in found:
                    yield _variable(name, item, found)
                else:
                    folders.append((f"{name}/", item))
            except _ERRORS as error:
                yield Variable(name, problem=f"cannot be read ({' '.join(str(error).split())})")


def _node(folder: Path) -> dict[str, Any] | None:
    """Return the metadata of an array or a group; None of a folder that is neither.

    Those of an array have a `shape`. Both have `attributes` and `zarr_format`.
    """
    if (folder / "zarr.json").is_file():
        found = _json(folder / "zarr.json")
        kind = found.get("node_type")
        if found.get("zarr_format") != 3 or kind not in ("array", "group"):
            raise ValueError(f"zarr.json states no array or group of version 3 but {kind!r}")
        if (kind == "array") != ("shape" in found):
            raise ValueError(f"zarr.json states a shape of one value of {kind!r} alone")
        return found
    for name in (".zarray", ".zgroup"):
        if (folder / name).is_file():
            found = _json(folder / name)
            if found.get("zarr_format") != 2 or (name == ".zarray") != ("shape" in found):
                raise ValueError(f"{name} states no array or group of version 2")
            attributes = folder / ".zattrs"
            return found | {"attributes": _json(attributes) if attributes.is_file() else {}}
    return None


def _json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > _LONGEST:
        raise ValueError(f"{file.name} is too long")
    found = json.loads(file.read_bytes())
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} holds no JSON object")
    return found


def _variable(name: str, folder: Path, found: dict[str, Any]) -> Variable:
    """Return the variable of an array's metadata."""
    shape, version = _sizes(found["shape"], 0), found["zarr_format"]
    read = _version_2 if version == 2 else _version_3
    dtype, problem, layout = read(found, len(shape))
    if problem:
        return Variable(name, shape, problem=problem)
    if len(layout["chunks"]) != len(shape):
        raise ValueError("its chunks have other axes")
    attributes = _attributes(found)
    fill = _fill(attributes.pop("_FillValue", None), found.get("fill_value"), version)
    return ZarrArray(
        name,
        shape,
        dtype,
        _dims(found, len(shape)),
        attributes | ({"_FillValue": fill} if fill is not None else {}),
        chunk=math.prod(layout["decoded"]) * np.dtype(dtype).itemsize,
        folder=Path(os.path.abspath(folder)),
        version=version,
        **layout,
    )


def _version_2(found: dict[str, Any], axes: int) -> tuple[str, str | None, dict[str, Any]]:
    """Return the type, what is wrong, and where the chunks are; of an array of version 2."""
    dtype = np.dtype(found["dtype"]) if isinstance(found["dtype"], str) else None
    if dtype is None or dtype.kind not in "fiu" or dtype.itemsize > 8:
        kind = "compound values" if dtype is None else f"values of {dtype}"
        complex_numbers = dtype is not None and dtype.kind == "c"
        return "", "holds complex numbers" if complex_numbers else _no_numbers(kind), {}
    codecs = [one for one in [*(found.get("filters") or ()), found.get("compressor")] if one]
    chunks = _sizes(found["chunks"], 1)
    separator = found.get("dimension_separator") or "."
    if separator not in ("/", "."):
        raise ValueError(f"its separator is {separator!r}")
    names = [one["id"] for one in codecs]
    layout = {"chunks": chunks, "decoded": chunks, "separator": separator}
    return dtype.str, _unknown_codec(names), layout | {"blosc": names[-1:] == [_BLOSC]}


def _version_3(found: dict[str, Any], axes: int) -> tuple[str, str | None, dict[str, Any]]:
    """Return what `_version_2` returns, of an array of version 3."""
    dtype = found["data_type"]
    if not isinstance(dtype, str) or dtype not in _NUMBERS:
        kind = dtype if isinstance(dtype, str) else found["data_type"].get("name")
        complex_numbers = str(kind).startswith("complex")
        return "", "holds complex numbers" if complex_numbers else _no_numbers(f"{kind}"), {}
    if found["chunk_grid"]["name"] != "regular" or found.get("storage_transformers"):
        return "", "has irregular or transformed chunks, which are not supported", {}
    codecs = found["codecs"]
    names = [one["name"] for one in codecs]
    chunks = _sizes(found["chunk_grid"]["configuration"]["chunk_shape"], 1)
    decoded, problem = chunks, _unknown_codec(names)
    if shard := _SHARDING in names:
        decoded, problem = _shard(codecs, chunks)
    encoding = found["chunk_key_encoding"]
    default = encoding["name"] == "default"
    separator = (encoding.get("configuration") or {}).get("separator", "/" if default else ".")
    if encoding["name"] not in ("default", "v2") or separator not in ("/", "."):
        return "", "has names of chunks that are not supported", {}
    prefix = f"c{separator if axes else ''}" if default else ""
    layout = {"chunks": chunks, "decoded": decoded, "separator": separator, "prefix": prefix}
    return dtype, problem, layout | {"shard": shard, "blosc": names[-1:] == [_BLOSC]}


def _shard(codecs: Sequence[Any], chunks: Sequence[int]) -> tuple[tuple[int, ...], str | None]:
    """Return the nodes of a chunk in a shard, and what is wrong with the shard."""
    stated = codecs[0]["configuration"]
    parts = _sizes(stated["chunk_shape"], 1)
    if len(parts) != len(chunks) or any(a % b for a, b in zip(chunks, parts, strict=True)):
        raise ValueError("its shards are no multiples of their chunks")
    inner = [one["name"] for one in stated["codecs"]]
    table = [one["name"] for one in stated["index_codecs"]]
    order = (stated["index_codecs"][0].get("configuration") or {}).get("endian")
    at_end = stated.get("index_location", "end") == "end"
    if len(codecs) > 1 or _SHARDING in inner or not at_end or (table, order) != _TABLE:
        return parts, "has shards of a layout that is not supported"
    if _BLOSC in inner:
        return parts, "has shards of chunks that Blosc encoded, which are not supported"
    return parts, _unknown_codec(inner)


def _no_numbers(kind: str) -> str:
    return f"holds no real numbers but {' '.join(kind.split())[:60]}"


def _unknown_codec(names: Sequence[str]) -> str | None:
    for name in map(str, names):
        if name.removeprefix("numcodecs.") not in _CODECS:
            return f"is encoded by {' '.join(name.split())[:60]!r}, which is not supported"
    return None


def _sizes(found: Any, least: int) -> tuple[int, ...]:
    """Return the sizes along axes."""
    if not isinstance(found, list) or not all(type(n) is int and n >= least for n in found):
        raise ValueError(f"its sizes are {str(found)[:60]}")
    return tuple(found)


def _dims(found: dict[str, Any], axes: int) -> tuple[str | None, ...]:
    """Return the names of the axes, None where the store does not name one; of version 2, as xarray
    writes them."""
    given = found.get("dimension_names") or found["attributes"].get(_DIMENSIONS)
    if not isinstance(given, list) or len(given) != axes:
        return (None,) * axes
    return tuple(one if isinstance(one, str) else None for one in given)


def _fill(stated: Any, stored: Any, version: int) -> Any:
    """Return the value of missing values, where a store states one other than nan.

    In version 3 xarray encodes that of real numbers. In version 2 it is the value of absent chunks,
    of which 0 is the library's usual one.
    """
    if isinstance(stated, str):
        with suppress(ValueError, struct.error):
            stated = struct.unpack("<d", base64.b64decode(stated, validate=True))[0]
    if stated is None and version == 2 and type(stored) in (int, float) and stored:
        stated = stored
    return None if stated != stated else stated


def _attributes(found: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes that are text or numbers."""
    given = found.get("attributes") or {}
    known = {}
    for name, value in given.items() if isinstance(given, dict) else ():
        with suppress(Exception):  # of any kind of JSON
            if name != _DIMENSIONS:
                known[normalise_attribute(name)] = normalise_attribute(value)
    return known
