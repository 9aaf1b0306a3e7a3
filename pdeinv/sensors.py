"""Tables of sensor readings: read, checked row by row, and turned into an observation operator."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike

from pdeinv.errors import InputError
from pdeinv.files import atomic_write
from pdeinv.grid import Field, Grid
from pdeinv.observation import Observation, interpolation_stencil
from pdeinv.sensor_csv import NUMERIC, check_columns, read_csv

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["Sensors"]

_SAME_POINT = 1e-9


@dataclass(frozen=True)
class Sensors:
    """Readings of one or two fields at points of the unit square.

    Arguments:
        table: columns `field` (physical name, or `coefficient` or `solution`), `x` and `y` in [0,
            1], `value`, and optionally `noise_std`, the standard deviation of the reading's noise.
            Without that column the readings are exact (0).
        origin: origin of the table, for error messages.
        first_row: number of the first row, for error messages.

    Raises:
        InputError: a column is missing, the table is empty, or a row holds a value that cannot be
            used.
    """

    table: pd.DataFrame
    origin: str = "the sensor table"
    first_row: int = 0

    def __post_init__(self) -> None:
        table = self.table.rename(columns=lambda name: str(name).strip())
        check_columns(table, self.origin)
        table = table.reset_index(drop=True)
        if "noise_std" not in table:
            table["noise_std"] = 0.0
        for column in NUMERIC:
            table[column] = self._numbers(column, table[column])
        for column in ("x", "y"):
            self._refuse_outside(column, table[column])
        self._refuse(
            table.noise_std < 0,
            lambda i: (
                f"noise_std must not be negative, got {table.noise_std[i]:g}; use 0 for an exact "
                f"reading"
            ),
        )
        self._refuse(
            table["field"].isna(), lambda i: "field is empty; name the field of the reading"
        )
        table["field"] = table["field"].astype(str).str.strip()
        object.__setattr__(self, "table", table[["field", *NUMERIC]])

    @classmethod
    def read(cls, source: Sensors | str | os.PathLike | pd.DataFrame | xr.Dataset) -> Sensors:
        """Return the sensors of a table.

        Arguments:
            source: path of a CSV file, a pandas table, an xarray Dataset with those variables along
                one dimension, or sensors.

        Raises:
            InputError: the file or the table cannot be used.
        """
        if isinstance(source, Sensors):
            return source
        if isinstance(source, pd.DataFrame):
            return cls(source)
        if isinstance(source, xr.Dataset):
            if len(source.dims) != 1:
                raise InputError(
                    f"a Dataset of sensors must have its readings along one dimension, got "
                    f"{tuple(source.dims)}; give field, x, y, value and, optionally, noise_std "
                    f"along one"
                )
            return cls(source.to_dataframe().reset_index())
        path = Path(source)
        return cls(read_csv(path), origin=path.name, first_row=1)

    @classmethod
    def observe(
        cls,
        truth: xr.DataArray,
        points: ArrayLike,
        *,
        noise_std: ArrayLike = 0.0,
        order: int | None = None,
        seed: int = 0,
    ) -> Sensors:
        """Simulate readings of a field with Gaussian noise, to design a layout or test a solver.

        Arguments:
            truth: a named field with dimensions (y, x), such as
                `pdeinv.datasets.example("darcy")["pressure"].isel(sample=0)`.
            points: (m, 2), positions (x, y), from `pdeinv.layouts` or elsewhere.
            noise_std: standard deviation of the noise, one number or (m,).
            order: degree of the interpolation between nodes. None is that of the truth's attribute
                `interpolation_order`, or 3 without one.
            seed: seed of the noise; fields of different names have different noise.

        Raises:
            InputError: the truth, the points or the noise have another shape, or the truth is not
                on a whole grid.
        """
        if truth.dims != ("y", "x"):
            raise InputError(
                f"the dimensions of the truth must be ('y', 'x'), got {truth.dims}; select them"
            )
        if truth.name is None:
            raise InputError("the truth has no name; use truth.rename('pressure') or the like")
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2:
            raise InputError(
                f"points must have the shape (m, 2), got {points.shape}; give pairs (x, y)"
            )
        order = int(truth.attrs.get("interpolation_order", 3)) if order is None else order
        index, weight = interpolation_stencil(torch.as_tensor(points), _grid_of(truth), order)
        values = (np.asarray(truth, dtype=float).ravel()[index.numpy()] * weight.numpy()).sum(
            axis=1
        )
        std = np.asarray(noise_std, dtype=float)
        if std.shape not in ((), values.shape):
            raise InputError(
                f"noise_std must be one number or have the shape ({len(points)},), got "
                f"{std.shape}; give one for each point"
            )
        std = np.broadcast_to(std, values.shape)
        # The name is part of the seed, so that two fields do not share their noise
        rng = np.random.default_rng([seed, *str(truth.name).encode()])
        values = values + std * rng.standard_normal(values.shape)
        x, y = points.T
        table = {"field": truth.name, "x": x, "y": y, "value": values, "noise_std": std}
        return cls(pd.DataFrame(table))

    def __len__(self) -> int:
        """Number of readings, m."""
        return len(self.table)

    def __add__(self, other: Sensors) -> Sensors:
        """Return the readings of both tables."""
        return Sensors(pd.concat([self.table, other.table], ignore_index=True))

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table as CSV, whole or not at all."""
        with atomic_write(path) as temporary:
            self.table.to_csv(temporary, index=False, float_format="%.12g")

    def observation(self, pde: PDE, grid: Grid) -> Observation:
        """Return the operator, readings and noise of these sensors for a PDE's state on a grid.

        Raises:
            InputError: the PDE has no such field, exact readings contradict each other at one
                point, or an exact reading contradicts the boundary condition or the range of the
                coefficient.
        """
        table = self.table
        channels = table.field.map(pde.find_channel)
        self._refuse(channels.isna(), lambda i: pde.unknown_field(table.field[i]))
        channel = channels.to_numpy(dtype=int)
        # A copy: torch does not share pandas' read-only arrays
        points = table[["x", "y"]].to_numpy(copy=True)
        self._refuse_contradictions(channel, points, grid, pde.fields)
        self._refuse_out_of_range(channel, pde)
        if not grid.periodic:
            self._refuse_boundary(channel, pde.fields)
        return Observation(
            grid,
            torch.as_tensor(points),
            torch.as_tensor(channel.copy()),
            torch.as_tensor(table.value.to_numpy(copy=True)),
            torch.as_tensor(table.noise_std.to_numpy(copy=True)),
            tuple(f.interpolation_order for f in pde.fields),
        )

    def _numbers(self, column: str, given: pd.Series) -> pd.Series:
        numbers = pd.to_numeric(given, errors="coerce").astype(float)
        self._refuse(
            ~np.isfinite(numbers),
            lambda i: (
                f"{column} must be a finite number, got "
                f"{'nothing or nan' if pd.isna(given[i]) else given[i]}; mend or drop the row"
            ),
        )
        return numbers

    def _refuse_outside(self, column: str, values: pd.Series) -> None:
        self._refuse(
            (values < 0) | (values > 1),
            lambda i: (
                f"{column} must be in the unit square, got {values[i]:g}; rescale coordinates to "
                f"[0, 1]"
            ),
        )

    def _refuse_contradictions(
        self, channel: np.ndarray, points: np.ndarray, grid: Grid, fields: tuple[Field, ...]
    ) -> None:
        exact = np.flatnonzero(self.table.noise_std == 0)
        value = self.table.value.to_numpy()
        place = np.round(points / _SAME_POINT)
        if grid.periodic:  # after rounding, so that a point just short of 1 equals 0
            place %= round(1 / _SAME_POINT)
        for i, j in self._conflicts(exact, np.column_stack([channel, place])):
            raise InputError(
                f"{self._row(i)}: the exact reading {value[i]:g} contradicts {value[j]:g} at the "
                f"same point ({self._row(j)}); drop one or give both a noise_std"
            )
        # A field without interpolation has one value around each node
        stepwise = exact[np.array([f.interpolation_order == 0 for f in fields])[channel[exact]]]
        nodes = np.round(points * grid.cells)
        for i, j in self._conflicts(stepwise, np.column_stack([channel, nodes])):
            raise InputError(
                f"{self._row(i)}: the exact reading {value[i]:g} and {value[j]:g} "
                f"({self._row(j)}) share the nearest node of a grid of {grid.n}; use a finer grid, "
                f"drop one or give both a noise_std"
            )

    def _conflicts(self, rows: np.ndarray, keys: np.ndarray) -> Iterator[tuple[int, int]]:
        """Yield pairs of rows with the same key and different values."""
        value = self.table.value.to_numpy()
        first_of: dict[tuple[float, ...], int] = {}
        for i in rows:
            j = first_of.setdefault(tuple(keys[i]), i)
            if abs(value[i] - value[j]) > 1e-6 * max(abs(value[i]), abs(value[j])):
                yield i, j

    def _refuse_out_of_range(self, channel: np.ndarray, pde: PDE) -> None:
        if pde.coefficient_range is None:
            return
        low, high = pde.coefficient_range
        table = self.table
        self._refuse(
            (channel == 0)
            & (table.noise_std == 0)
            & ~table.value.between(low * (1 - 1e-6), high * (1 + 1e-6)),
            lambda i: (
                f"the exact reading must be within the medium's {low:g} to {high:g}, got "
                f"{table.value[i]:g}; give it a noise_std, or set {pde.name}'s parameters"
            ),
        )

    def _refuse_boundary(self, channel: np.ndarray, fields: tuple[Field, ...]) -> None:
        table = self.table
        known = [np.nan if f.boundary_value is None else f.boundary_value for f in fields]
        boundary = np.array(known)[channel]
        positions = table[["x", "y"]]
        edge = ((positions <= _SAME_POINT) | (positions >= 1 - _SAME_POINT)).any(axis=1)
        scale = table.value.abs().groupby(channel).transform("max")
        wrong = (table.value - boundary).abs() > 1e-6 * scale
        self._refuse(
            edge & (table.noise_std == 0) & wrong,
            lambda i: (
                f"the exact reading {table.value[i]:g} contradicts the boundary condition "
                f"{fields[channel[i]].name} = {boundary[i]:g}; drop it or give it a noise_std"
            ),
        )

    def _row(self, i: int) -> str:
        return f"{self.origin}, row {i + self.first_row}"

    def _refuse(self, bad: ArrayLike, message: Callable[[int], str]) -> None:
        """Raise an InputError about the first bad row, if there is one."""
        rows = np.flatnonzero(bad)
        if len(rows):
            raise InputError(f"{self._row(int(rows[0]))}: {message(int(rows[0]))}")


def _grid_of(truth: xr.DataArray) -> Grid:
    n = truth.sizes["x"]
    for grid in (Grid(n, "vertex"), Grid(n, "periodic")):
        nodes = grid.coordinates().numpy()
        if truth.shape == grid.shape and all(
            np.allclose(truth[d], nodes, rtol=0, atol=1e-6) for d in ("y", "x")
        ):
            return grid
    raise InputError(
        f"the coordinates of the truth must be those of a whole grid on the unit square, got "
        f"others for {' x '.join(map(str, truth.shape))} nodes; use the field on the grid that it "
        f"was made on, with its x and y"
    )
