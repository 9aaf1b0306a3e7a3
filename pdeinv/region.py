"""The active part of a rectangle: polygons with holes, or a map of nodes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pdeinv.annotations import Convertible
from pdeinv.checks import EXTREME, described, path_of
from pdeinv.errors import InputError
from pdeinv.files import read_text

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from pdeinv.grid import Extent

__all__ = ["Region"]

_SAME = 1e-9  # of the domain's size, within which a point is on an edge
_AREAS = ("Polygon", "MultiPolygon")
_MOST = 100_000  # corners
_FORMS = (
    "a list of corners [x, y], a table with `polygon` and `holes`, GeoJSON of polygons or the name "
    "of its file, a shapely polygon, or a boolean array [y, x]"
)


@dataclass(frozen=True, eq=False, repr=False)
class Region(Convertible):
    """The part of a domain in which the equation holds; its edge belongs to it.

    Arguments:
        shape: polygons with holes in the domain's coordinates, as shapely has them; or a boolean
            array [y, x] of equally spaced positions with both ends, of which the nearest counts.
        extent: (x0, x1, y0, y1) of the array; that of the domain if None.

    Example:
        >>> from pdeinv import Grid
        >>> corner = Region.of([[0, 0], [1, 0], [1, 0.5], [0.5, 0.5], [0.5, 1], [0, 1]])
        >>> Grid(5, active=corner).active_nodes.int().sum(dim=1)
        tensor([5, 5, 5, 3, 3])
    """

    shape: BaseGeometry | np.ndarray
    extent: Extent | None = None

    @classmethod
    def of(cls, value: Any, what: str = "a region") -> Region:
        if isinstance(value, cls):
            return value
        if isinstance(value, str | os.PathLike):
            return cls.of(_from_file(what, value), what)
        if isinstance(value, Mapping) and value.keys() == {"nodes", "extent"}:
            rows = [[mark == "1" for mark in row] for row in value["nodes"]]
            return cls(_mask(what, np.array(rows)), tuple(value["extent"]))
        if isinstance(value, torch.Tensor):
            value = value.cpu().numpy()
        if isinstance(value, np.ndarray) and value.dtype == bool:
            return cls(_mask(what, value))
        return cls(_checked_polygons(what, _polygons(what, value)))

    def to_json(self, what: str = "a region") -> Any:
        if isinstance(self.shape, np.ndarray):
            rows = ["".join("01"[int(one)] for one in row) for row in self.shape]
            return {"nodes": rows, "extent": list(self.extent or ())}
        from shapely.geometry import mapping

        return json.loads(json.dumps(mapping(self.shape)))

    def within(self, extent: Extent) -> Region:
        """Return the region of a domain: an array without an extent takes that of the domain.

        Raises:
            InputError: the region has no part in the domain.
        """
        if isinstance(self.shape, np.ndarray):
            return self if self.extent else replace(self, extent=extent)
        from shapely.geometry import box

        x0, x1, y0, y1 = extent
        if self.shape.intersection(box(x0, y0, x1, y1)).area == 0:
            ax, ay, bx, by = self.shape.bounds
            raise InputError(
                f"active of a domain must have a part in [{x0:g}, {x1:g}] x [{y0:g}, {y1:g}], got "
                f"a region in [{ax:g}, {bx:g}] x [{ay:g}, {by:g}]; use the domain's coordinates"
            )
        return self

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(ax, ay, bx, by), the least rectangle that holds it."""
        if isinstance(self.shape, np.ndarray):
            x0, x1, y0, y1 = self.extent or (0.0, 1.0, 0.0, 1.0)
            return (x0, y0, x1, y1)
        return tuple(self.shape.bounds)

    @property
    def marked(self) -> tuple[np.ndarray, tuple[float, float]]:
        """The positions (k, 2) that an array marks, and the distances (dx, dy) of its positions."""
        assert isinstance(self.shape, np.ndarray)
        (x0, y0, x1, y1), (rows, columns) = self.bounds, self.shape.shape
        j, i = np.nonzero(self.shape)
        dx, dy = (x1 - x0) / (columns - 1), (y1 - y0) / (rows - 1)
        return np.stack([x0 + dx * i, y0 + dy * j], axis=1), (dx, dy)

    @property
    def outline(self) -> BaseGeometry:
        """Its polygons: of an array, the boxes around its positions."""
        if not isinstance(self.shape, np.ndarray):
            return self.shape
        import shapely

        at, (dx, dy) = self.marked
        half = np.array([dx, dy]) / 2
        low, high = at - half, at + half
        return shapely.union_all(shapely.box(*low.T, *high.T))

    @property
    def rings(self) -> list[list[tuple[float, float]]]:
        """The corners of its outlines and of its holes."""
        parts = getattr(self.outline, "geoms", [self.outline])
        lines = [line for part in parts for line in (part.exterior, *part.interiors)]
        return [[(float(x), float(y)) for x, y in line.coords] for line in lines]

    @property
    def centre(self) -> tuple[float, float]:
        """A point in its middle."""
        if isinstance(self.shape, np.ndarray):
            ax, ay, bx, by = self.bounds
            return ((ax + bx) / 2, (ay + by) / 2)
        return self.shape.centroid.coords[0]

    @property
    def area(self) -> float:
        """Its area, in the square of the domain's unit."""
        if isinstance(self.shape, np.ndarray):
            ax, ay, bx, by = self.bounds
            return float(self.shape.mean()) * (bx - ax) * (by - ay)
        return float(self.shape.area)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Return which points (m, 2) are in the region, its edge included, (m,)."""
        x, y = points.T
        if not isinstance(self.shape, np.ndarray):
            import shapely

            return shapely.intersects_xy(self._with_edge, x, y)
        assert self.extent is not None
        x0, x1, y0, y1 = self.extent
        (rows, columns), half = self.shape.shape, 0.5 - _SAME
        j = np.floor((y - y0) / (y1 - y0) * (rows - 1) + half).clip(0, rows - 1).astype(int)
        i = np.floor((x - x0) / (x1 - x0) * (columns - 1) + half).clip(0, columns - 1).astype(int)
        return self.shape[j, i]

    @cached_property
    def _with_edge(self) -> BaseGeometry:
        """The polygons, with a rim that makes up for the rounding of coordinates."""
        import shapely

        assert not isinstance(self.shape, np.ndarray)
        ax, ay, bx, by = self.shape.bounds
        rim = _SAME * max(bx - ax, by - ay, *(abs(v) for v in (ax, ay, bx, by)))
        wider = self.shape.buffer(rim, join_style="mitre")
        shapely.prepare(wider)
        return wider

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Region):
            return NotImplemented
        if isinstance(self.shape, np.ndarray) or isinstance(other.shape, np.ndarray):
            same = type(self.shape) is type(other.shape) and self.extent == other.extent
            return same and np.array_equal(self.shape, other.shape)
        return bool(self.shape.equals_exact(other.shape, 0.0))

    def __hash__(self) -> int:
        if isinstance(self.shape, np.ndarray):
            return hash((self.shape.shape, self.shape.tobytes(), self.extent))
        return hash(self.shape.wkb)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Region, (self.shape, self.extent))

    def __repr__(self) -> str:
        if isinstance(self.shape, np.ndarray):
            ny, nx = self.shape.shape
            return f"Region({self.shape.sum()} of {ny} x {nx} nodes)"
        parts = getattr(self.shape, "geoms", [self.shape])
        corners = sum(len(part.exterior.coords) - 1 for part in parts)
        holes = sum(len(part.interiors) for part in parts)
        return f"Region({corners} corners, {holes} hole{'s' * (holes != 1)})"


def _mask(what: str, given: np.ndarray) -> np.ndarray:
    if given.ndim != 2 or min(given.shape) < 2 or not given.any():
        raise InputError(
            f"{what} must be a boolean array [y, x] of two or more nodes a side, some of them "
            f"true, got one of shape {given.shape} with {int(given.sum())} true; correct it"
        )
    return np.frombuffer(given.tobytes(), dtype=bool).reshape(given.shape)


def _from_file(what: str, given: str | os.PathLike) -> Any:
    path = path_of(what, given)
    try:
        found = json.loads(read_text(path))
    except ValueError as error:
        raise InputError(f"{what} must be a GeoJSON file, got {path}: {error}; mend it") from None
    if not isinstance(found, dict) or "type" not in found:
        raise InputError(
            f"{what} must be a GeoJSON file, got {path} without a type; export it as GeoJSON"
        )
    return found


def _polygons(what: str, value: Any) -> Any:
    """Return the shapely geometry of a value."""
    from shapely.geometry import Polygon, shape
    from shapely.geometry.base import BaseGeometry
    from shapely.ops import unary_union

    if isinstance(value, BaseGeometry):
        return value
    try:
        if isinstance(value, Mapping):
            if value.get("type") == "FeatureCollection":
                return unary_union([_polygons(what, one) for one in value["features"]])
            if value.get("type") == "Feature":
                return _polygons(what, value["geometry"])
            if "type" in value:
                return shape(value)
            if "polygon" in value and value.keys() <= {"polygon", "holes"}:
                return Polygon(value["polygon"], value.get("holes", []))
        elif not isinstance(value, bool | int | float):
            return Polygon(value)
    except Exception as error:  # of a value of any kind, in any depth
        if isinstance(error, InputError):
            raise
    raise InputError(f"{what} must be {_FORMS}, got {described(value)}; give one of them")


def _checked_polygons(what: str, geometry: Any) -> Any:
    import shapely

    if not geometry.is_valid:
        raise InputError(
            f"{what} must have edges that do not cross, got: {shapely.is_valid_reason(geometry)}; "
            f"correct the order of its corners"
        )
    if geometry.geom_type not in _AREAS or not geometry.area > 0:
        raise InputError(
            f"{what} must be polygons with an area, got a {geometry.geom_type} of the area "
            f"{geometry.area:g}; give at least three corners"
        )
    corners = shapely.get_coordinates(geometry)
    if len(corners) > _MOST or not (np.abs(corners) < EXTREME).all():
        raise InputError(
            f"{what} must have at most {_MOST} corners, all finite, got {len(corners)}; simplify it"
        )
    return shapely.force_2d(geometry)
