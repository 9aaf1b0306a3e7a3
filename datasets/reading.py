"""Open datasets as lazy xarray Datasets, whoever wrote them.

A file says what it holds by names, and nothing is inferred from the shape of an array:

- a file of `generate`, or one that xarray, MATLAB, Julia or Fortran wrote from it, by its
  attributes;
- a NetCDF 4 or HDF5 file, by the names of a PDE's two fields and of the axes `sample`, `y`, `x`;
- a MATLAB file of DiffusionPDE's, by the names of its variables (see `pdeinv.datasets.matlab`);
- a Zarr store, as a NetCDF 4 file;
- any other HDF5 or MATLAB file, an `.npz` file or a folder of `.npy` files, by the names that the
  caller gives.

The examples shipped with the package are held out: eight instances of a PDE at 64 x 64, from a seed
that no shipped prior was trained on. `pdeinv generate NAME --n 8 --grid 64 --seed 20000 --out
pdeinv/data/NAME.h5` made them, before datasets had a range of seeds of their own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import xarray as xr

from pdeinv.datasets.assembly import Reader
from pdeinv.datasets.base import PDE
from pdeinv.datasets.hdf5 import Contents, survey_hdf5
from pdeinv.datasets.joined import join, shards_of
from pdeinv.datasets.matlab import survey_matlab73
from pdeinv.datasets.matlab5 import survey_matlab5
from pdeinv.datasets.numpy_files import holds_arrays, survey_numpy
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.datasets.zarr_metadata import is_zarr, survey_zarr
from pdeinv.errors import InputError
from pdeinv.files import reading_failure

__all__ = ["example", "examples", "open_dataset"]

_DATA = resources.files("pdeinv") / "data"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OTHERS = {
    b"CDF": "a NetCDF 3 file",
    b"\x93NUMPY": "a single NumPy array",
    b"PK\x03\x04": "a zip archive, as zipped Zarr stores and PyTorch files are",
    b"\x1f\x8b": "a gzip archive",
    b"version https://git-lfs": "a pointer of Git LFS to a file",
    b"<": "a web page or XML",
}
_SUPPORTED = (
    "give an HDF5, NetCDF 4 or MATLAB file, such as `pdeinv generate` or xarray's "
    '`to_netcdf(path, engine="h5netcdf")` writes, an .npz file, a folder of .npy files, or that of '
    "a Zarr store"
)


def open_dataset(
    path: str | os.PathLike,
    *,
    pde: PDE | str | None = None,
    names: Sequence[str] | None = None,
    dims: Sequence[str] | None = None,
) -> xr.Dataset:
    """Open a dataset file as a lazy Dataset, which reads values when they are used.

    Each access opens the file and closes it again.

    Arguments:
        path: the file; or the folder of `.npy` files, of a Zarr store of version 2 or 3, or of a
            dataset's shards; or a pattern such as `fields-*.h5` for some of these.
        pde: the PDE or its name, where the file does not state it.
        names: the variables of the coefficient and the solution, where the file does not state
            them; `group/variable` for one in a group. One text with commas between will do.
        dims: names of their axes in order, `sample`, `y`, `x` and, if there are times of which the
            last is wanted, `time`; where the file does not state them. Those of a MATLAB file are
            in MATLAB's order.

    Returns:
        The coefficient and the solution under their physical names, (sample, y, x), with
        coordinates; without them in the file, those of the PDE's grid. Its attributes are those of
        the file, with `pde` and `source_format`.

    Raises:
        InputError: the file is missing, in use, damaged, of another kind, or does not state what it
            holds.
    """
    known = pde_by_name(pde) if isinstance(pde, str) else pde
    if known is not None and not isinstance(known, PDE):
        raise InputError(f"pde must be a PDE or its name, got {pde!r}; call its class")
    names, dims = _texts("names", names), _texts("dims", dims)
    try:
        path = Path(path)
        if shards := shards_of(path):

            def one(file: Path) -> xr.Dataset:
                return open_dataset(file, pde=known, names=names, dims=dims)

            return join(path, shards, one)
        if arrays := _arrays(path):
            return Reader(path, *arrays, known, names, dims).open()
        _check_kind(path)
        with path.open("rb") as stream:
            head = stream.read(520)
    except InputError:
        raise
    except (OSError, TypeError, ValueError) as error:
        raise reading_failure(path, error, "must be the name of a file; correct it") from None
    if head.startswith(b"MATLAB 5.0"):
        return Reader(path, survey_matlab5(path), "MATLAB 5", known, names, dims).open()
    if _HDF5 not in (head[:8], head[512:]):
        raise InputError(f"{path} is neither an HDF5 nor a MATLAB file but {_kind(head)}; "
                         f"{_SUPPORTED}")  # fmt: skip
    # MATLAB's HDF5 files begin with 512 bytes of its own
    if not head.startswith(_HDF5):
        return Reader(path, survey_matlab73(path), "MATLAB 7.3", known, names, dims).open()
    return Reader(path, survey_hdf5(path), "HDF5", known, names, dims).open()


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


def _texts(what: str, given: Sequence[str] | None) -> list[str] | None:
    """Return the names in an argument, which may have commas between."""
    items = given.split(",") if isinstance(given, str) else given
    if items is None:
        return None
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise InputError(f"{what} must be a list of names, got {given!r}; write it as ('a', 'b')")
    return [item.strip() for item in items]


def _arrays(path: Path) -> tuple[Contents, str] | None:
    """Return what a Zarr store, a folder of arrays or an archive of them holds, and which it is."""
    if is_zarr(path):
        return survey_zarr(path), "Zarr"
    return (survey_numpy(path), "NumPy") if path.exists() and holds_arrays(path) else None


def _check_kind(path: Path) -> None:
    """Refuse a folder."""
    if not path.is_dir():
        return
    if path.suffix == ".parts":
        what = "an unfinished dataset; repeat its `pdeinv generate` command"
    else:
        what = "not a dataset file; give the name of a file in it"
    raise InputError(f"{path} is a folder, {what}")


def _kind(head: bytes) -> str:
    """Return what a file is, from its first bytes."""
    if not head:
        return "empty"
    for start, kind in _OTHERS.items():
        if head.lstrip().startswith(start):
            return kind
    try:
        head[:-4].decode()
    except UnicodeDecodeError:
        return "of an unknown kind"
    return "text"
