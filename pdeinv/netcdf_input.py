"""Results and plans in NetCDF files, which may be another person's: checked before they are read.

A file that leads to other files is refused, and so is one that states more numbers than the memory
holds. Few bytes can state any number of them: chunks that were never written, or of zeros.
"""

from __future__ import annotations

import math
from pathlib import Path

import h5py
import xarray as xr

from pdeinv.errors import InputError
from pdeinv.files import reading_failure
from pdeinv.memory import check_memory

__all__ = ["check_netcdf", "load_netcdf"]


def load_netcdf(path: Path, otherwise: str) -> xr.Dataset:
    """Return a dataset in memory.

    Arguments:
        path: the file.
        otherwise: what to state of a file that cannot be read, as of `reading_failure`.

    Raises:
        InputError: it cannot be read, or as `check_netcdf`.
    """
    import h5netcdf  # type: ignore[import-untyped]
    from xarray.backends import H5NetCDFStore

    try:
        check_netcdf(path)
        # Xarray, given a path, leaves a file open that it cannot read
        with h5netcdf.File(path, "r") as file:
            return xr.open_dataset(H5NetCDFStore(file), decode_times=False).load()
    except InputError:
        raise
    except Exception as error:  # whatever the engine raises
        raise reading_failure(path, error, otherwise) from None


def check_netcdf(path: Path) -> None:
    """Refuse a file that leads to other files, or does not fit into memory.

    Arguments:
        path: the file.

    Raises:
        InputError: it does.
        OSError: it is no HDF5 file.
    """
    total = 0
    with h5py.File(path, "r") as file:
        groups: list[h5py.Group] = [file]
        seen = set()
        while groups:
            group = groups.pop()
            for name in group:
                link = group.get(name, getlink=True)
                item = None if isinstance(link, h5py.ExternalLink) else group.get(name)
                if isinstance(item, h5py.Group):
                    address = h5py.h5o.get_info(item.id).addr
                    groups += [] if address in seen else [item]
                    seen.add(address)
                elif isinstance(item, h5py.Dataset) and not (item.external or item.is_virtual):
                    total += math.prod(item.shape or ()) * item.dtype.itemsize
                elif not isinstance(item, h5py.Datatype):
                    raise InputError(
                        f"{path} must hold its values itself, and {name!r} leads to another file "
                        f"or to nothing; ask for the whole file"
                    )
    check_memory(total, f"the values in {path}", "ask for a smaller file")
