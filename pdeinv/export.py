"""Write the fields of a result for other programs: VTK for ParaView, GeoTIFF for QGIS.

The accessor has both: `result.pdeinv.to_vtk("r.vtu")` and `result.pdeinv.to_geotiff("r.tif")`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.checks import Bounds, number
from pdeinv.coordinates import grid_from
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, check_writable
from pdeinv.quantities import maps
from pdeinv.quantities.draws import field_names

__all__ = ["QUANTILES", "write_geotiff", "write_vtk"]

QUANTILES = (0.05, 0.95)
"""Quantiles that a file has next to the mean and the standard deviation."""

_MAPS = ("mean", "std", "probability")
_VTK = {".vtu": "vtu", ".vtk": "vtk"}
_TIFF = (".tif", ".tiff")


def write_vtk(
    result: xr.Dataset, path: str | os.PathLike, quantiles: Sequence[float] = QUANTILES
) -> None:
    """Write the fields of a result as a VTK file: see `ResultAccessor.to_vtk`.

    Arguments:
        result, path, quantiles: as of that method.
    """
    path = _path_of(path, tuple(_VTK))
    meshio = _library("meshio")
    bands, grid = _bands(result, quantiles), grid_from(result, "the result")
    values = {name: band.values.astype(float) for name, band in bands.items()}
    cells = grid.kind == "cell"
    x0, x1, y0, y1 = grid.extent
    xs = np.linspace(x0, x1, grid.nx + 1) if cells else result["x"].values
    ys = np.linspace(y0, y1, grid.ny + 1) if cells else result["y"].values
    places = np.stack([*np.meshgrid(xs, ys), np.zeros((len(ys), len(xs)))], axis=-1)
    first = (np.arange(len(ys) - 1)[:, None] * len(xs) + np.arange(len(xs) - 1)).ravel()
    corners = np.stack([first, first + 1, first + len(xs) + 1, first + len(xs)], axis=-1)
    flat = {name: one.ravel() for name, one in values.items()}
    held = {"cell_data": {k: [v] for k, v in flat.items()}} if cells else {"point_data": flat}
    mesh = meshio.Mesh(places.reshape(-1, 3).astype(float), [("quad", corners)], **held)
    with atomic_write(path) as temporary:
        meshio.write(temporary, mesh, file_format=_VTK[path.suffix.lower()])


def write_geotiff(
    result: xr.Dataset,
    path: str | os.PathLike,
    quantiles: Sequence[float] = QUANTILES,
    crs: Any = None,
) -> None:
    """Write the fields of a result as a GeoTIFF: see `ResultAccessor.to_geotiff`.

    Arguments:
        result, path, quantiles, crs: as of that method.
    """
    path = _path_of(path, _TIFF)
    rasterio = _library("rasterio")
    try:
        system = None if crs is None else rasterio.crs.CRS.from_user_input(crs)
    except rasterio.errors.CRSError as error:
        raise InputError(
            f"crs must be a reference system of coordinates, got {crs!r} ({error}); write it as "
            f"'EPSG:25832'"
        ) from None
    bands, grid = _bands(result, quantiles), grid_from(result, "the result")
    x, y = (result[name].values.astype(float) for name in ("x", "y"))
    dx, dy = ((one[-1] - one[0]) / (len(one) - 1) for one in (x, y))
    shape = {"driver": "GTiff", "height": len(y), "width": len(x), "count": len(bands)}
    # The first row is the one in the north, and a node is the centre of its pixel
    transform = rasterio.transform.from_origin(x[0] - dx / 2, y[-1] + dy / 2, dx, dy)
    kind = {"dtype": "float64", "nodata": np.nan, "compress": "deflate"}
    with (
        atomic_write(path) as temporary,
        rasterio.open(temporary, "w", **shape, **kind, transform=transform, crs=system) as file,
    ):
        file.update_tags(AREA_OR_POINT="Area" if grid.kind == "cell" else "Point")
        for i, (name, band) in enumerate(bands.items(), 1):
            file.write(band.values[::-1].astype(float), i)
            file.set_band_description(i, name)
            file.set_band_unit(i, str(band.attrs.get("units", "1")))


def _bands(result: xr.Dataset, quantiles: Sequence[float]) -> dict[str, xr.DataArray]:
    """Return the maps of each field, (y, x), by their names in a file."""
    if isinstance(quantiles, str) or not isinstance(quantiles, Sequence):
        raise InputError(
            f"quantiles must be numbers between 0 and 1, got {quantiles!r}; write them as "
            f"{QUANTILES}"
        )
    wanted = [number("a quantile", q, Bounds(above=0, below=1)) for q in quantiles]
    found = {}
    for field in field_names(result):
        for name in (f"{field}_{one}" for one in _MAPS):
            if name in result:
                found[name] = result[name]
        for q in wanted:
            found[f"{field}_q{q:g}"] = maps.quantile(result, field, q)
    further = {str(dim) for one in found.values() for dim in one.dims} - {"y", "x"}
    if further:
        raise InputError(
            f"the fields of a file must have one time and one replicate, got the dimensions "
            f"{', '.join(sorted(further))}; select one with .isel, such as "
            f"result.isel({min(further)}=-1).pdeinv"
        )
    return {name: one.transpose("y", "x") for name, one in found.items()}


def _path_of(path: str | os.PathLike, endings: Sequence[str]) -> Path:
    checked = check_writable(path)
    if checked.suffix.lower() not in endings:
        raise InputError(f"{checked} must end in {' or '.join(endings)}; correct the name")
    return checked


def _library(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InputError(
            f"{name} must be installed to write such a file, got none; pip install 'pdeinv[export]'"
        ) from None
