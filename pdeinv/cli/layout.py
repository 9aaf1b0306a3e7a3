"""The places of sensors and what they read about them, from the words of a command line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pdeinv import layouts
from pdeinv.checks import Bounds, choice, integer
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid
from pdeinv.sensors.columns import checked_values, is_number, refuse_misnamed
from pdeinv.sensors.csv_files import read_csv
from pdeinv.sensors.kinds import KINDS
from pdeinv.sensors.rows import Rows

__all__ = ["LAYOUTS", "Layout", "Places"]

LAYOUTS = ("random", "grid", "line", "nodes", "boundary", "file")
"""Names of layouts."""
_COUNT = 40
_OWN = {"apart": ("random",), "lines": ("line",), "spacing": ("line",), "points": ("file",)}
"""The layouts that use an option."""
_NOT_OF_FILES = ("n", "kind", "radius", "offset")


class Places(NamedTuple):
    """Positions (m, 2), and `radius`, `ends` and `kind` as of `pdeinv.Sensors.observe`."""

    points: np.ndarray
    footprints: dict[str, Any]


@dataclass(frozen=True)
class Layout:
    """A layout of sensors, as the options of `pdeinv observe` state it.

    Arguments:
        name: one of `LAYOUTS`; None is that which `lines` or `points` imply, or "random".
        n: number of sensors, None is 40; on a grid roughly, and on each line.
        apart: least distance of random places.
        lines: corners "x,y x,y; x,y x,y", with a semicolon between two lines.
        spacing: distance along a line, in place of n.
        points: file with the columns x and y, and those of geometry.
        kind: what all sensors read; None is what radius and offset imply, or points.
        radius: of discs.
        offset: "dx,dy", from each place to the other end of a line or difference.

    Raises:
        InputError: an option contradicts another, or has a wrong form.
    """

    name: str | None
    n: int | None
    apart: float | None
    lines: str | None
    spacing: float | None
    points: Path | None
    kind: str | None
    radius: float | None
    offset: str | None

    def __post_init__(self) -> None:
        implied = "file" if self.points else "line" if self.lines else "random"
        name = implied if self.name is None else choice("--layout", self.name, LAYOUTS)
        object.__setattr__(self, "name", name)
        if self.kind is not None:
            choice("--kind", self.kind, KINDS)
        for option, owners in _OWN.items():
            given = getattr(self, option) is not None
            if given and name not in owners:
                raise InputError(
                    f"--{option} must be left out with --layout {name}, got "
                    f"{getattr(self, option)}; use --layout {owners[0]}"
                )
        for option, owner in (("lines", "line"), ("points", "file")):
            if name == owner and getattr(self, option) is None:
                raise InputError(f"--layout {name} must have --{option}, got none; give them")
        for option in _NOT_OF_FILES if name == "file" else ():
            if getattr(self, option) is not None:
                raise InputError(
                    f"--{option} must be left out with --points, got {getattr(self, option)}; drop "
                    f"it, since {self.points} states each place"
                )
        if self.radius is not None and self.offset is not None:
            raise InputError(
                f"--offset must be left out with --radius, got {self.offset}; drop it for a disc, "
                f"or --radius for a line or a difference"
            )
        if self.spacing is not None and self.n is not None:
            raise InputError(f"--n must be left out with --spacing, got {self.n}; keep one of them")

    def places(self, grid: Grid, seed: int) -> Places:
        """Return the places in the domain of a grid.

        Arguments:
            grid: for random nodes.
            seed: of random places.

        Raises:
            InputError: the places are not in the domain, or do not fit into it.
        """
        if self.name == "file":
            assert self.points is not None
            return _of_file(self.points)
        if self.name == "line" and self.kind in ("line", "difference") and self.offset is None:
            pairs = [layouts.consecutive(one) for one in self._tracks(grid.domain, further=1)]
            points, ends = (np.concatenate(part) for part in zip(*pairs, strict=True))
            return self._read_at(points, ends)
        step = None if self.offset is None else _pair("--offset", self.offset)
        points = self._points(grid, seed, step or (0.0, 0.0))
        return self._read_at(points, None if step is None else points + step)

    def _read_at(self, points: np.ndarray, ends: np.ndarray | None) -> Places:
        if self.kind == "disc" and self.radius is None:
            raise InputError("--kind disc must have --radius, got none; give it")
        if self.kind in ("line", "difference") and ends is None:
            raise InputError(
                f"--kind {self.kind} must have --offset or --lines, got neither; give one"
            )
        return Places(points, {"radius": self.radius, "ends": ends, "kind": self.kind})

    def _points(self, grid: Grid, seed: int, step: tuple[float, float]) -> np.ndarray:
        domain, n = grid.domain, self._count
        if self.name == "line":
            return np.concatenate(self._tracks(domain))
        if self.name == "boundary":
            return layouts.boundary(n, domain)
        if self.name == "nodes":
            return layouts.random_nodes(n, grid, seed)
        if not grid.periodic:  # where footprints cross the sides
            domain = layouts.inner(domain, self.radius or 0.0, step)
        if self.name == "grid":
            width, height = domain.aspect
            return layouts.regular(max(1, round(math.sqrt(n / (width * height)))), domain)
        return layouts.random(n, seed, domain, apart=self.apart or 0.0)

    @property
    def _count(self) -> int:
        return _COUNT if self.n is None else integer("--n", self.n, Bounds(1, 10**6))

    def _tracks(self, domain: Domain, further: int = 0) -> list[np.ndarray]:
        """Return the points on each line: n and so many more, or at a spacing."""
        assert self.lines is not None
        corners = [
            [_pair("--lines", pair) for pair in line.split()]
            for line in self.lines.split(";")
            if line.strip()
        ]
        if not corners:
            raise InputError(f"--lines must have a line, got {self.lines!r}; give 'x,y x,y'")
        n = None if self.spacing is not None else self._count + further
        return layouts.lines(corners, n, domain, spacing=self.spacing)


def _pair(what: str, text: str) -> tuple[float, float]:
    """Return the numbers of "x,y"."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 2 or not all(map(is_number, parts)):
        raise InputError(f"{what} must be of pairs of numbers x,y, got {text!r}; write it as 10,20")
    return float(parts[0]), float(parts[1])


def _of_file(path: Path) -> Places:
    """Return the places of a table with x and y, and what is read there."""
    table = read_csv(path)
    table = table.set_axis([str(name).strip() for name in table.columns], axis=1)
    missing = [name for name in ("x", "y") if name not in table]
    if missing:
        raise InputError(f"{path.name} has no column {missing[0]!r}; give each place its x and y")
    geometry = ("radius", "x2", "y2", "kind")
    refuse_misnamed([*table.columns], geometry, path.name)
    given = table[["x", "y", *(name for name in geometry if name in table)]].assign(
        field="any", value=0.0
    )
    found = checked_values(given, Rows(path.name, 1))
    ends = found[["x2", "y2"]].to_numpy() if {"x2", "y2"} <= {*found} else None
    kinds = {"radius": found.get("radius"), "ends": ends, "kind": found.get("kind")}
    return Places(found[["x", "y"]].to_numpy(), kinds)
