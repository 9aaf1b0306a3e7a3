"""The time of a particle from a point along the flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.checks import Bounds, number
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.quantities.base import Quantity
from pdeinv.quantities.draws import grid_of
from pdeinv.quantities.flux import SIDES, Point, point_of
from pdeinv.quantities.nodes import active_at
from pdeinv.quantities.particles import Ended, track
from pdeinv.region import Region
from pdeinv.site import Site
from pdeinv.units import inverse, product

__all__ = ["TravelTime"]


@dataclass(frozen=True)
class TravelTime(Quantity):
    """The time that a particle takes from a point along the flow of its own draw.

    The velocity is flux / (porosity thickness). The particle ends where it leaves the active domain
    or comes within a cell of a well that extracts; or, if `to` is given, only there. It has no
    dispersion: the spread of the times is that of the unknown flow.

    The time is infinite of a particle that stands still, never arrives, or ends elsewhere than at
    `to`.

    Arguments:
        point: (x, y), where it starts.
        to: a side, "left", "right", "bottom" or "top", or a region as `Region.of` takes it, where
            it is to arrive; None for wherever it ends.
        porosity: of the medium, between 0 and 1; 1 for the time at the velocity of the flux itself.
        thickness: of the medium, where the flux is per width, as with a transmissivity; 1 where it
            is per area, as with a conductivity, whatever the thickness of the physics.
        fields: the components of the flux.

    Raises:
        InputError: a point, a side or a number is wrong.

    Example:
        >>> TravelTime((500, 200), to="right", porosity=0.25).porosity
        0.25
    """

    point: Point
    to: Any = None
    porosity: float = 1.0
    thickness: float = 1.0
    fields: tuple[str, str] = ("flux_x", "flux_y")

    def __post_init__(self) -> None:
        object.__setattr__(self, "point", point_of("the start of a particle", self.point))
        number("porosity", self.porosity, Bounds(above=0, most=1))
        number("thickness of a travel time", self.thickness, Bounds(above=0))
        if self.to is not None and not (isinstance(self.to, str) and self.to in SIDES):
            object.__setattr__(self, "to", Region.of(self.to, "the end of a particle"))

    def __call__(self, draws: xr.Dataset) -> xr.DataArray:
        for field in self.fields:
            if "time" in draws[field].dims:
                raise InputError(
                    f"a travel time must be of a steady flow, got {field} at "
                    f"{draws.sizes['time']} times; use a function of a draw"
                )
        grid = grid_of(draws)
        self._check_start(grid)
        if "experiment" in draws[self.fields[0]].dims:
            parts = [draws.sel(experiment=name) for name in draws["experiment"].values]
            found = xr.concat([self._of_one(part, grid) for part in parts], "experiment")
        else:
            found = self._of_one(draws, grid)
        given = draws[self.fields[0]].attrs.get("units", "1")
        length = product(grid.unit, grid.unit if self.thickness != 1 else "1")
        label = "travel time from ({:g}, {:g})".format(*self.point)
        return found.assign_attrs(long_name=label, units=product(length, inverse(given)))

    def _check_start(self, grid: Grid) -> None:
        if grid.kind == "cell" and grid.active_cells is not None:
            raise InputError(
                "a travel time must be on a vertex grid where a part of the domain is inactive, "
                "got a cell grid; use grid_kind 'vertex'"
            )
        if not active_at(grid, np.array([self.point])).all():
            raise InputError(
                f"the start of a particle must be in the active domain {grid.domain}, got "
                f"({self.point[0]:g}, {self.point[1]:g}); use its coordinates"
            )

    def _of_one(self, draws: xr.Dataset, grid: Grid) -> xr.DataArray:
        """Return the times of the draws of one experiment."""
        like = draws[self.fields[0]].isel(y=0, x=0, drop=True)
        parts = [draws[field].transpose(..., "y", "x").values for field in self.fields]
        flux = np.stack([part.reshape(-1, *grid.shape) for part in parts], axis=1)
        start = np.tile(np.array(self.point), (len(flux), 1))
        velocity = flux / (self.porosity * self.thickness)
        paths = track(grid, velocity, start, self._ended(draws, grid))
        time = paths.time
        if isinstance(self.to, Region):
            time = np.where(_near(self.to, paths.end), time, np.inf)
        elif self.to is not None:
            time = np.where(paths.on_side(grid, self.to), time, np.inf)
        time = np.where(np.isfinite(flux).any(axis=(1, 2, 3)), time, np.nan)
        return like.copy(data=time.reshape(like.shape))

    def _ended(self, draws: xr.Dataset, grid: Grid) -> Ended:
        """Return which positions end a path: those at a well that extracts, and at the target."""
        wells = Site.of(draws).wells
        places, within = wells.points[wells.rates < 0], max(grid.spacing)

        def ended(points: np.ndarray) -> np.ndarray:
            apart = points[:, None] - places
            found = (np.hypot(apart[..., 0], apart[..., 1]) < within).any(axis=1)
            return found | self.to.contains(points) if isinstance(self.to, Region) else found

        return ended


def _near(region: Region, points: np.ndarray) -> np.ndarray:
    """Return which points are in a region, or as near as a path is cut."""
    ax, ay, bx, by = region.bounds
    shift = 1e-9 * max(bx - ax, by - ay)
    shifts = [(0, 0), (shift, 0), (-shift, 0), (0, shift), (0, -shift)]
    return np.any([region.contains(points + np.array(one)) for one in shifts], axis=0)
