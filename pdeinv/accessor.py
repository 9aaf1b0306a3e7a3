"""The accessor `.pdeinv` of results: `import pdeinv.accessor`, or the first result, registers it.

It gives any Dataset that holds a result, such as one that xarray read from a file, the figures and
tables of a result.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.export import QUANTILES, write_geotiff, write_vtk
from pdeinv.quantities import maps
from pdeinv.quantities.base import check_known
from pdeinv.quantities.draws import field_names

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.animation import FuncAnimation
    from matplotlib.figure import Figure

__all__ = ["ResultAccessor"]

_PAUSE = 200  # milliseconds of a frame


@xr.register_dataset_accessor("pdeinv")
class ResultAccessor:
    """What a result shows of itself: `result.pdeinv.plot()`.

    Arguments:
        dataset: the result.

    Raises:
        InputError: the Dataset is no result of `pdeinv.reconstruct`.

    Example:
        >>> import xarray as xr
        >>> import pdeinv.accessor
        >>> result = xr.load_dataset("aquifer.nc")  # doctest: +SKIP
        >>> result.pdeinv.plot().savefig("aquifer.png")  # doctest: +SKIP
    """

    def __init__(self, dataset: xr.Dataset) -> None:
        if "sensor_value" not in dataset:
            raise InputError(
                f"a Dataset with the accessor .pdeinv must be a result of pdeinv.reconstruct, got "
                f"one of {described(sorted(map(str, dataset.data_vars)))}; open a result"
            )
        self._result = dataset

    def plot(self, truth: xr.Dataset | None = None) -> Figure:
        """Return the figure of both fields: see `pdeinv.plot_reconstruction`."""
        from pdeinv.plot import plot_reconstruction

        return plot_reconstruction(self._result, truth)

    def predictions(self) -> Figure:
        """Return the figure of the readings against their predictions: see
        `pdeinv.plot_predictions`."""
        from pdeinv.figures.predictions import plot_predictions

        return plot_predictions(self._result)

    def parameters(self) -> Figure:
        """Return the figure of the unknown numbers: see `pdeinv.plot_parameters`."""
        from pdeinv.figures.evidence import plot_parameters

        return plot_parameters(self._result)

    def sensors(self) -> pd.DataFrame:
        """Return the readings with their predictions, a row each, as a pandas table.

        The columns are those of a table of sensors, then what the result adds to them, such as
        `predicted` and `p_value`.
        """
        names = [str(name) for name in self._result.data_vars if str(name).startswith("sensor_")]
        mine = self._result[[n for n in names if self._result[n].dims == ("sensor",)]]
        return mine.to_dataframe().rename(columns=lambda name: name.removeprefix("sensor_"))

    def quantile_map(self, field: str, q: float) -> xr.DataArray:
        """Return the posterior quantile of a field: see `pdeinv.quantities.quantile`."""
        return maps.quantile(self._result, field, q)

    def exceedance_map(self, field: str, threshold: float) -> xr.DataArray:
        """Return the probability that a field exceeds a threshold: see
        `pdeinv.quantities.exceedance`."""
        return maps.exceedance(self._result, field, threshold)

    def animate(self, field: str) -> FuncAnimation:
        """Return an animation of a field: of its mean over its times, or of its samples.

        Samples show what the readings leave open: what they fix stays, and the rest moves. In a
        notebook, `IPython.display.HTML(animation.to_jshtml())` shows it.

        Arguments:
            field: its name.

        Raises:
            InputError: the result lacks the field.
        """
        from pdeinv.figures.animation import animate_field

        check_known(field, field_names(self._result), "the field of an animation")
        mean = self._result[f"{field}_mean"]
        frames = mean if "time" in mean.dims else self._result[f"{field}_samples"]
        if extra := set(frames.dims) - {"time", "sample", "y", "x"}:
            raise InputError(
                f"the field of an animation must have one time, or one set of samples, got the "
                f"dimensions {', '.join(sorted(map(str, extra)))}; select one with .isel"
            )
        return animate_field(frames, np.asarray(mean.values), pause=_PAUSE)

    def to_vtk(self, path: str | os.PathLike, quantiles: Sequence[float] = QUANTILES) -> None:
        """Write the fields as a file of VTK, which ParaView opens.

        Nodes are points of a mesh of quadrilaterals at z = 0. On a grid of cells each value belongs
        to a quadrilateral. A periodic grid ends at its last node. The names are `head_mean`,
        `head_std` and so on, with q and the probability for a quantile. Outside an active domain
        the values are nan.

        Arguments:
            path: of the file, which ends in .vtu or .vtk.
            quantiles: between 0 and 1, any number of them; none of a result with one sample.

        Raises:
            InputError: the library meshio is missing, the file cannot be written, a quantile is out
                of its range, or the fields have several times or replicates.

        Example:
            >>> result.pdeinv.to_vtk("aquifer.vtu")  # doctest: +SKIP
        """
        write_vtk(self._result, path, quantiles)

    def to_geotiff(
        self, path: str | os.PathLike, quantiles: Sequence[float] = QUANTILES, crs: Any = None
    ) -> None:
        """Write the fields as a GeoTIFF, which QGIS opens: a band each, described by its name.

        The first row is that of the largest y. A node is the centre of a pixel. So the raster
        reaches half a spacing beyond the nodes, and those at the sides of the domain are in it. The
        coordinates are those of the result.

        Arguments:
            path: of the file, which ends in .tif or .tiff.
            quantiles: as of `to_vtk`.
            crs: the reference system of x and y, as rasterio takes it, such as "EPSG:25832"; not
                stated if None.

        Raises:
            InputError: the library rasterio is missing, or as `to_vtk`; or rasterio does not know
                the reference system.

        Example:
            >>> result.pdeinv.to_geotiff("aquifer.tif", crs="EPSG:25832")  # doctest: +SKIP
        """
        write_geotiff(self._result, path, quantiles, crs)
