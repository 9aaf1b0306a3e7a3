"""The mean of a field over a polygon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.grid import Grid
from pdeinv.quantities.base import Quantity
from pdeinv.quantities.draws import grid_of
from pdeinv.quantities.nodes import over_region
from pdeinv.region import Region

__all__ = ["Mean"]


@dataclass(frozen=True)
class Mean(Quantity):
    """The mean of a field over the active part of a polygon, by area.

    The field is linear between the nodes; the error is of second order in their distance.

    Arguments:
        field: its name.
        polygon: what `Region.of` takes: corners, GeoJSON or the name of its file, a shapely
            polygon, or a boolean array [y, x]; the whole domain if None.

    Example:
        >>> Mean("source", [[0, 0], [0.5, 0], [0.5, 0.5]]).fields
        ('source',)
    """

    field: str
    polygon: Any = None

    def __post_init__(self) -> None:
        if self.polygon is not None:
            object.__setattr__(self, "polygon", Region.of(self.polygon, "polygon of a mean"))

    @property
    def fields(self) -> tuple[str, ...]:  # type: ignore[override]
        """The field alone."""
        return (self.field,)

    def weights(self, grid: Grid) -> np.ndarray:
        """Return the weights (ny, nx) of the nodes of a grid, which add up to 1."""
        weights, area = over_region(grid, self.polygon, "polygon of a mean")
        return weights / area

    def __call__(self, draws: xr.Dataset) -> xr.DataArray:
        spread = xr.DataArray(self.weights(grid_of(draws)), dims=("y", "x"))
        field = draws[self.field]
        found = (field.where(spread != 0, 0.0) * spread).sum(("y", "x"), skipna=False)
        label = field.attrs.get("long_name", self.field)
        where = "the domain" if self.polygon is None else "a polygon"
        units = field.attrs.get("units", "1")
        return found.assign_attrs(long_name=f"mean of the {label} over {where}", units=units)
