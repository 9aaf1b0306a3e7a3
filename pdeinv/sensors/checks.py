"""Checks of readings against each other and against a PDE."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from pdeinv.errors import InputError, warn_input
from pdeinv.grid import Grid
from pdeinv.sensors.column_names import listed
from pdeinv.sensors.kinds import KINDS, are_differences
from pdeinv.sensors.rows import Rows

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["Readings", "refuse_outside"]

_SAME_POINT = 1e-9
_BEYOND = 1e3
# Missing integers in NetCDF and GRIB, missing values in well logs; and numbers of nines
_INTEGERS = (32767, 32768, 65535, 2147483647, 2147483648, 4294967295, 9223372036854775808)
_FILLS = (*_INTEGERS, 999.25)
_SMALLEST_FILL = 99
_CERTAIN_FILL = 1e20  # of climate models


def refuse_outside(points: torch.Tensor, grid: Grid, rows: Rows) -> None:
    """Refuse the first of points (m, 2) that is not in the domain of a grid.

    Raises:
        InputError: there is one.
    """
    rows.refuse(
        ~grid.domain.contains(points).numpy(),
        lambda i: (
            f"x and y must be in the domain {grid.domain}, got ({points[i, 0]:.10g}, "
            f"{points[i, 1]:.10g}); use its coordinates, or drop the row"
        ),
    )


@dataclass(frozen=True)
class Readings:
    """Readings of a PDE's fields.

    Arguments:
        table: the checked readings; a `noise_std` is nan where it is not stated.
        channel: (m,), channels of their fields.
        pde: PDE with these fields.
        rows: names of the rows.
        unused: names of the table's columns that are not used.
    """

    table: pd.DataFrame
    channel: np.ndarray
    pde: PDE
    rows: Rows
    unused: tuple[str, ...]

    def check_sizes(self) -> None:
        """Refuse likely fill values, and warn of readings of another order of magnitude.

        Raises:
            InputError: a reading is a customary fill value, and far from the others of its field.
        """
        values = self.table.value.to_numpy()
        fill = np.abs(values) >= _SMALLEST_FILL
        fill[fill] = [_looks_like_fill(v) for v in values[fill]]
        free = np.isnan(self._known_values())
        beyond: list[int] = []
        differs = are_differences(self.table)
        for c in range(len(self.pde.fields)):
            mine = self.channel == c
            self.rows.refuse(
                mine & fill & _far(values, values[mine & ~fill]),
                lambda i: (
                    f"value must be a reading, got {values[i]:g}, likely a fill value for a "
                    f"missing one; drop the row"
                ),
            )
            for alike in (mine & ~differs, mine & differs):
                beyond += _beyond(np.flatnonzero(alike & free), values)
        if beyond:
            i = beyond[0]
            more = f" (and {len(beyond) - 1} more)" if len(beyond) > 1 else ""
            warn_input(
                f"{self.rows.name(i)}: the reading {values[i]:g}{more} is over {_BEYOND:g} times "
                f"the size of the others of {self.pde.fields[self.channel[i]].label}; check its "
                f"units, or drop the row"
            )

    def check_agreement(
        self,
        noise_std: np.ndarray,
        grid: Grid,
        bounds: tuple[float, float] | None,
        bias: np.ndarray,
    ) -> None:
        """Refuse exact readings that contradict each other, the PDE or the prior.

        Readings contradict each other if they have one bias, or none; readings with a bias
        contradict neither the PDE nor the prior.

        Arguments:
            noise_std: (m,), noise of the readings; 0 for an exact one.
            grid: grid of the result.
            bounds: of the coefficient under its prior, if it has some.
            bias: (m,), number of each reading's bias; -1 without one.

        Raises:
            InputError: two exact readings differ at one point, or an exact reading contradicts the
                bounds of the coefficient or the boundary condition.
        """
        exact = (noise_std == 0) & self.table.value.notna().to_numpy()  # nan: yet to come
        if "censored" in self.table:  # a limit may be anywhere
            exact &= self.table.censored.to_numpy() == ""
        self._refuse_contradictions(np.flatnonzero(exact), grid, bias)
        exact &= bias < 0
        self._refuse_out_of_range(exact, bounds)
        self._refuse_boundary(exact)

    def _refuse_contradictions(self, exact: np.ndarray, grid: Grid, bias: np.ndarray) -> None:
        value = self.table.value.to_numpy()
        points = grid.domain.relative(self._points()).numpy()
        place = np.round(points / _SAME_POINT)
        if grid.periodic:  # after rounding, so that a point just short of 1 equals 0
            place %= round(1 / _SAME_POINT)
        keys = np.column_stack([self.channel, bias, place, self._footprints(grid)])
        for i, j in self._conflicts(exact, keys):
            kind = self._kinds()[i]
            same = "at the same point" if kind == KINDS[0] else f"of the same {kind}"
            unused = listed(self.unused, 3)
            raise InputError(
                f"{self.rows.name(i)}: the exact reading {value[i]:.8g} contradicts "
                f"{value[j]:.8g} {same} ({self.rows.name(j)}); drop one or give both a noise_std"
                + (f" (not used: {unused})" if unused else "")
            )
        # A field without interpolation has one value around each node
        stepwise = np.array([f.interpolation_order == 0 for f in self.pde.fields])
        nodes = np.column_stack(
            [self.channel, bias, np.round(points * grid.cells[::-1] - grid.first)]
        )
        there = stepwise[self.channel] & (self._kinds() == KINDS[0])
        for i, j in self._conflicts(exact[there[exact]], nodes):
            raise InputError(
                f"{self.rows.name(i)}: the exact reading {value[i]:.8g} and {value[j]:.8g} "
                f"({self.rows.name(j)}) share the nearest node of a grid of {grid}; use a finer "
                f"grid, drop one or give both a noise_std"
            )

    def _conflicts(self, rows: np.ndarray, keys: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield pairs of rows with the same key and different values."""
        value = self.table.value.to_numpy()
        first_of: dict[tuple[float, ...], int] = {}
        for i in rows:
            j = first_of.setdefault(tuple(keys[i]), i)
            if abs(value[i] - value[j]) > 1e-6 * max(abs(value[i]), abs(value[j])):
                yield i, j

    def _refuse_out_of_range(self, exact: np.ndarray, bounds: tuple[float, float] | None) -> None:
        if bounds is None:
            return
        low, high = bounds
        value = self.table.value
        self.rows.refuse(
            (self.channel == 0)
            & exact
            & ~are_differences(self.table)
            & ~value.between(low - 1e-6 * abs(low), high + 1e-6 * abs(high)),
            lambda i: (
                f"the exact reading must be within the prior's {low:g} to {high:g}, got "
                f"{value[i]:g}; give it a noise_std, or change the prior"
            ),
        )

    def _refuse_boundary(self, exact: np.ndarray) -> None:
        known = self._known_values()
        value = self.table.value
        scale = value.abs().groupby(self.channel).transform("max")
        self.rows.refuse(
            exact & ((value - known).abs() > 1e-6 * scale),  # nan is false
            lambda i: (
                f"the exact reading {value[i]:.8g} contradicts the boundary condition "
                f"{self.pde.fields[self.channel[i]].label} = {known[i]:.8g}; drop it or give it a "
                f"noise_std"
            ),
        )

    def _points(self, x: str = "x", y: str = "y") -> torch.Tensor:
        return torch.as_tensor(self.table[[x, y]].to_numpy(copy=True))

    def _kinds(self) -> np.ndarray:
        return self.table.get("kind", pd.Series([KINDS[0]] * len(self.table))).to_numpy()

    def _footprints(self, grid: Grid) -> np.ndarray:
        """Return numbers (m, 4) that differ between footprints about one point."""
        nothing = pd.Series(np.full(len(self.table), np.nan))
        radius, x2, y2 = (self.table.get(c, nothing) for c in ("radius", "x2", "y2"))
        width, height = grid.domain.lengths
        apart = [radius / width, (x2 - self.table.x) / width, (y2 - self.table.y) / height]
        sizes = np.round(np.nan_to_num(np.column_stack(apart)) / _SAME_POINT)
        return np.column_stack([[KINDS.index(kind) for kind in self._kinds()], sizes])

    def _known_values(self) -> np.ndarray:
        """Return what the PDE fixes of the readings, nan where it fixes nothing: of values at
        points, and of differences of two such values."""
        kinds, known = self._kinds(), np.full(len(self.table), np.nan)
        point, difference = (
            np.isin(kinds, kind) for kind in (("point", "difference"), "difference")
        )
        known[point] = self._fixed(self._points(), point)
        if difference.any():
            known[difference] -= self._fixed(self._points("x2", "y2"), difference)
        return known

    def _fixed(self, points: torch.Tensor, chosen: np.ndarray) -> np.ndarray:
        """Return the values that the PDE fixes at the points (m, 2) of chosen rows, nan where it
        fixes none."""
        known = np.full(len(points), np.nan)
        for c in range(len(self.pde.fields)):
            mine = chosen & (self.channel == c)
            known[mine] = self.pde.known_values(c, points[mine]).numpy()
        return known[chosen]


def _looks_like_fill(value: float) -> bool:
    size = abs(float(value))
    if size in _FILLS or _is_certain_fill(size):
        return True
    # Single precision turns 999.9 into 999.900024
    digits = {text.removesuffix(".0").replace(".", "") for text in (repr(size), f"{size:.6g}")}
    fewest = 2 if value < 0 else 3
    return any(len(d) >= fewest and set(d) == {"9"} for d in digits)


def _is_certain_fill(value: float) -> bool:
    return abs(abs(value) / _CERTAIN_FILL - 1) < 1e-6


def _far(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which values are further from others than these from each other and from 0.

    Without others only the values themselves can tell.
    """
    if not len(others):
        return np.array([_is_certain_fill(value) for value in values])
    low, high = others.min(), others.max()
    distance = np.maximum(low - values, values - high)
    return distance > max(high - low, 0.5 * np.abs(others).max())


def _beyond(rows: np.ndarray, values: np.ndarray) -> list[int]:
    """Return the rows, fewer than half, whose sizes are far beyond all the others."""
    size = np.abs(values[rows])
    order = rows[np.argsort(-size)][: np.count_nonzero(size)]
    size = np.abs(values[order])
    gaps = np.flatnonzero(size[:-1] > _BEYOND * size[1:]) + 1
    fewer = gaps[2 * gaps < len(size)]
    return sorted(int(i) for i in order[: int(fewer[0])]) if len(fewer) else []
