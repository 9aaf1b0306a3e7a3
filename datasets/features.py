"""What lies within a domain: lakes and rivers that hold a value or leak, and walls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from pdeinv.annotations import Convertible, check_fields
from pdeinv.checks import Positive, described
from pdeinv.datasets.distributed import Distributed
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Extent, Grid
from pdeinv.region import Region

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Barrier", "Feature", "FixedValue", "Leakage", "Path"]

_SAME = 1e-6  # relative difference of distances that are equal
_ASIDE = (1e-6, np.sqrt(2) * 1e-6)  # of a cell, by which a wall is moved off the nodes


@dataclass(frozen=True)
class Path(Convertible):
    """A broken line.

    Arguments:
        corners: (k, 2), two or more points (x, y) in the domain's coordinates.
    """

    corners: tuple[tuple[float, float], ...]

    @classmethod
    def of(cls, value: Any, what: str = "a line") -> Path:
        if isinstance(value, cls):
            return value
        try:
            corners = np.asarray(value, dtype=float)
        except (TypeError, ValueError):
            corners = np.zeros(0)
        if corners.ndim != 2 or corners.shape[1:] != (2,) or len(corners) < 2:
            raise InputError(
                f"{what} must be two or more points [x, y], got {described(value)}; give them"
            )
        if not np.isfinite(corners).all() or not np.ptp(corners, axis=0).any():
            raise InputError(
                f"{what} must have finite points and a length, got {described(value)}; correct it"
            )
        return cls(tuple((float(x), float(y)) for x, y in corners))

    def to_json(self, what: str = "a line") -> Any:
        return [list(corner) for corner in self.corners]

    def geometry(self) -> Any:
        """Return the line as shapely has it."""
        from shapely.geometry import LineString

        return LineString(self.corners)

    def within(self, extent: Extent) -> list[Any]:
        """Return the parts of the line in a rectangle, as shapely has them."""
        from shapely import get_parts
        from shapely.geometry import box

        left, right, bottom, top = extent
        inside = self.geometry().intersection(box(left, bottom, right, top))
        return [part for part in get_parts(inside) if part.length > 0]


@dataclass(frozen=True)
class Feature(Convertible):
    """A part of a domain in which something else holds than the equation alone.

    Arguments:
        place: a region or a line; values that `Region.of` or `Path.of` takes stand for them.
    """

    place: Region | Path

    stored: ClassVar[str]
    """Its key in files."""

    @classmethod
    def of(cls, value: Any, what: str = "a feature") -> Feature:
        if isinstance(value, Feature):
            return value
        kinds = {kind.stored: kind for kind in Feature.__subclasses__()}
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in kinds:
            ((name, given),) = value.items()
            return kinds[name].read(given, what)
        raise InputError(
            f"{what} must be a FixedValue, a Leakage or a Barrier, got {described(value)}; give one"
        )

    @classmethod
    def read(cls, given: Any, what: str) -> Self:
        """Return the feature of a table: its place under `polygon`, `line` or `file`, and its
        numbers."""
        if not isinstance(given, dict):
            raise InputError(f"{what} must be a table, got {described(given)}; give its keys")
        numbers = {k: v for k, v in given.items() if k not in ("polygon", "holes", "line", "file")}
        places = [k for k in ("polygon", "line", "file") if k in given]
        names = [f.name for f in fields(cls) if f.name != "place"]
        if len(places) != 1 or numbers.keys() - set(names) or set(names) - numbers.keys():
            kinds = "line" if cls is Barrier else "one of polygon, line and file"
            raise InputError(
                f"{what} must have the keys {', '.join([kinds, *names])}, got "
                f"{', '.join(given) or 'none'}; correct them"
            )
        place: Region | Path
        if "line" in given:
            place = Path.of(given["line"], f"line of {what}")
        elif "polygon" in given:
            shape = {k: given[k] for k in ("polygon", "holes") if k in given}
            place = Region.of(shape if isinstance(given["polygon"], list) else given["polygon"])
        else:
            place = Region.of(given["file"], f"file of {what}")
        return cls(place=place, **numbers)

    def __post_init__(self) -> None:
        of = Path.of if isinstance(self, Barrier) else _region_or_path
        place = of(self.place, f"the place of a {type(self).__name__}")
        object.__setattr__(self, "place", place)
        check_fields(self, f"{{}} of a {type(self).__name__}")

    def to_json(self, what: str = "a feature") -> Any:
        key = "line" if isinstance(self.place, Path) else "polygon"
        stated = {key: self.place.to_json(what)}
        for name, value in self._numbers():
            stated[name] = value.to_json(what) if isinstance(value, Convertible) else value
        return {self.stored: stated}

    def describe(self) -> dict[str, Any]:
        """Return JSON values for figures: the `kind`, the `rings` or `lines` of its place, each a
        list of points, and the `numbers` as texts."""
        place = self.place
        lines = [list(place.corners)] if isinstance(place, Path) else place.rings
        numbers = {
            name: value.phrase if isinstance(value, Distributed) else f"{value:g}"
            for name, value in self._numbers()
        }
        key = "lines" if isinstance(place, Path) else "rings"
        return {"kind": self.stored, key: lines, "numbers": numbers}

    def _numbers(self) -> list[tuple[str, Any]]:
        return [(f.name, getattr(self, f.name)) for f in fields(self) if f.name != "place"]


@dataclass(frozen=True)
class FixedValue(Feature):
    """The solution has a given value in a place, such as the level of a lake.

    Arguments:
        place: a region, of whose nodes at least the nearest holds the value; or a line.
        value: a number, or a function f(x, y).
    """

    value: Distributed

    stored = "fixed"


@dataclass(frozen=True)
class Leakage(Feature):
    """What enters is in proportion to the difference from a level, such as through a river's bed: a
    general-head condition, conductance · (level - u).

    Arguments:
        place: a region or a line.
        level: a number, or a function f(x, y).
        conductance: per area of a region, or per length of a line, positive.
    """

    level: Distributed
    conductance: Positive

    stored = "leakage"


@dataclass(frozen=True)
class Barrier(Feature):
    """A line that nothing crosses, such as a wall: the faces between nodes that it cuts are
    closed.

    Arguments:
        place: the line.
    """

    stored = "barrier"


def nodes_of(place: Region | Path, grid: Grid) -> np.ndarray:
    """Return how much of a place each node owns, (ny, nx): an area, or a length of a line.

    A region within a cell counts at the nearest node. A line counts at the nodes nearest to its
    points, and so does an array whose positions are closer to one another than the nodes.
    """
    points = grid.points().numpy()
    if isinstance(place, Path):
        lengths = np.zeros(grid.nodes)
        for line in place.within(grid.extent):
            pieces = max(2, int(np.ceil(4 * line.length / min(grid.spacing))))
            steps = (np.arange(pieces) + 0.5) / pieces
            at = np.array([line.interpolate(step, normalized=True).coords[0] for step in steps])
            owned = np.full(pieces, line.length / pieces)
            lengths += np.bincount(_nearest(points, at), owned, minlength=grid.nodes)
        return lengths.reshape(grid.shape)
    place = place.within(grid.extent)
    if isinstance(place.shape, np.ndarray):
        at, (dx, dy) = place.marked
        if dx < (1 - _SAME) * grid.hx or dy < (1 - _SAME) * grid.hy:
            counts = np.bincount(_nearest(points, at), minlength=grid.nodes)
            return (counts * (dx * dy)).reshape(grid.shape)
    inside = place.contains(points)
    if not inside.any():
        inside[_nearest(points, np.array(place.centre)[None])] = True
        area = place.area / inside.sum()
    else:
        area = grid.hx * grid.hy
    return (inside * area).reshape(grid.shape)


def closed_faces(barriers: Sequence[Barrier], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Return the faces across x (ny, nx-1) and across y (ny-1, nx) that barriers cut."""
    import shapely

    points = grid.points().numpy().reshape(*grid.shape, 2)
    found = []
    for first, second in ((points[:, :-1], points[:, 1:]), (points[:-1], points[1:])):
        faces = shapely.linestrings(np.stack([first, second], axis=-2).reshape(-1, 2, 2))
        cut = np.zeros(len(faces), dtype=bool)
        for barrier in barriers:
            aside = np.array(_ASIDE) * np.array(grid.spacing[::-1])
            assert isinstance(barrier.place, Path)  # as `Path.of` made it
            line = shapely.linestrings(np.asarray(barrier.place.corners) + aside)
            cut |= shapely.intersects(faces, line)
        found.append(cut.reshape(first.shape[:2]))
    return found[0], found[1]


def check_features(features: Sequence[Feature], domain: Domain) -> None:
    """Refuse features outside of the rectangle.

    Raises:
        InputError: one is.
    """
    x0, x1, y0, y1 = domain.extent
    for i, feature in enumerate(features):
        place = feature.place
        if isinstance(place, Path):
            ax, ay, bx, by = place.geometry().bounds
            outside = not place.within(domain.extent)
        else:
            ax, ay, bx, by = place.within(domain.extent).bounds
            outside = bx < x0 or ax > x1 or by < y0 or ay > y1
        if outside:
            raise InputError(
                f"feature {i} must be within the domain {domain}, got one in [{ax:g}, {bx:g}] x "
                f"[{ay:g}, {by:g}]; use the domain's coordinates"
            )


def _nearest(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    from scipy.spatial import cKDTree

    return np.asarray(cKDTree(points).query(at)[1])


def _region_or_path(value: Any, what: str) -> Region | Path:
    """A line if it is given as such, or as two points; else a region."""
    if isinstance(value, Region | Path):
        return value
    if isinstance(value, list | tuple | np.ndarray) and len(value) == 2:
        return Path.of(value, what)
    return Region.of(value, what)
