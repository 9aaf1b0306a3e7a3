"""Tables of sensor readings: read, checked row by row, and turned into an observation operator."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.observation import Observation, interpolation_stencil

__all__ = ["Sensors"]

_COLUMNS = ("field", "x", "y", "value")
_NUMERIC = ("x", "y", "value", "noise_std")
_SAME_POINT = 1e-9


@dataclass(frozen=True)
class Sensors:
    """Readings of one or two fields at points of the unit square.

    Arguments:
        table: columns `field` (physical name, or `coefficient` / `solution`), `x`, `y` in [0, 1], `value`, and optionally
            `noise_std`, the standard deviation of the reading's noise (0, an exact reading, where the column is absent).
        origin: where the table comes from, for error messages; rows are counted from `first_row`.

    Raises:
        InputError: a column is missing, the table is empty, or a row holds a value that cannot be used.
    """

    table: pd.DataFrame
    origin: str = "the sensor table"
    first_row: int = 0

    def __post_init__(self):
        table = self.table.rename(columns=str)
        missing = [c for c in _COLUMNS if c not in table]
        if missing:
            raise InputError(
                f"{self.origin} has no column {missing[0]!r}; its columns must be field, x, y, value and, optionally, "
                f"noise_std (found: {', '.join(table.columns) or 'none'})"
            )
        if table.empty:
            raise InputError(f"{self.origin} has no readings; give it at least one row")
        table = table.reset_index(drop=True)
        if "noise_std" not in table:
            table["noise_std"] = 0.0
        for column in _NUMERIC:
            numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
            self._refuse(
                ~np.isfinite(numbers),
                lambda i, c=column: f"{c} = {table[c][i]} is not a finite number; mend or drop the row",
            )
            table[column] = numbers
        for column in ("x", "y"):
            self._refuse(
                (table[column] < 0) | (table[column] > 1),
                lambda i, c=column: (
                    f"{c} = {table[c][i]:g} lies outside the unit square; rescale coordinates to [0, 1]"
                ),
            )
        self._refuse(
            table.noise_std < 0, lambda i: f"noise_std = {table.noise_std[i]:g} is negative; use 0 for an exact reading"
        )
        table["field"] = table["field"].astype(str).str.strip()
        object.__setattr__(self, "table", table[["field", *_NUMERIC]])

    @classmethod
    def read(cls, source: Sensors | str | os.PathLike | pd.DataFrame | xr.Dataset) -> Sensors:
        """From a CSV file's path, a pandas table, an xarray Dataset with those variables along one dimension, or as is."""
        if isinstance(source, Sensors):
            return source
        if isinstance(source, pd.DataFrame):
            return cls(source)
        if isinstance(source, xr.Dataset):
            return cls(source.to_dataframe().reset_index())
        path = Path(source)
        try:
            table = pd.read_csv(path, skipinitialspace=True, comment="#")
        except FileNotFoundError:
            raise InputError(f"the sensor file {str(path)!r} does not exist; check the path") from None
        except pd.errors.EmptyDataError:
            raise InputError(f"{path.name} is empty; give it the columns field, x, y, value[, noise_std]") from None
        except (OSError, UnicodeDecodeError, pd.errors.ParserError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{path.name} cannot be read as CSV ({reason}); save it as comma-separated text") from None
        return cls(table, origin=path.name, first_row=1)

    @classmethod
    def observe(
        cls,
        truth: xr.DataArray,
        points: np.ndarray,
        *,
        noise_std: float | np.ndarray = 0.0,
        order: int = 3,
        seed: int = 0,
    ) -> Sensors:
        """Readings of a known field at points (m, 2), with Gaussian noise: to design a layout or to test a solver.

        Arguments:
            truth: a field with dimensions (y, x) and a name, as `pdeinv.datasets.open(...)["pressure"].isel(sample=0)`.
            points: positions as (x, y), from `pdeinv.layouts` or anywhere.
            noise_std: one standard deviation for all sensors or one each.
            order: degree of the interpolation at points off the grid.
            seed: seed of the noise.
        """
        if truth.dims != ("y", "x"):
            raise InputError(f"the truth has the dimensions {truth.dims}; give one field with dimensions ('y', 'x')")
        x = np.asarray(truth["x"], dtype=float)
        grid = Grid(len(x), "vertex" if np.isclose(x[-1], 1.0) else "periodic")
        index, weight = interpolation_stencil(torch.as_tensor(np.asarray(points, dtype=float)), grid, order)
        values = (np.asarray(truth, dtype=float).ravel()[index.numpy()] * weight.numpy()).sum(axis=1)
        noise_std = np.broadcast_to(np.asarray(noise_std, dtype=float), values.shape)
        values = values + noise_std * np.random.default_rng(seed).standard_normal(values.shape)
        columns = {"field": truth.name, "x": points[:, 0], "y": points[:, 1], "value": values, "noise_std": noise_std}
        return cls(pd.DataFrame(columns))

    def __len__(self) -> int:
        return len(self.table)

    def __add__(self, other: Sensors) -> Sensors:
        """Both tables' readings together."""
        return Sensors(pd.concat([self.table, other.table], ignore_index=True))

    def to_csv(self, path: str | os.PathLike) -> None:
        self.table.to_csv(path, index=False, float_format="%.12g")

    def observation(self, pde, grid: Grid) -> Observation:
        """The operator, readings and noise of these sensors for a PDE's state on a grid.

        Raises:
            InputError: a field that the PDE does not have, exact readings that contradict one another at one point, or an
                exact reading that contradicts the boundary condition.
        """
        table = self.table
        names = {}
        for name in table.field.unique():
            try:
                names[name] = pde.channel(name)
            except InputError as error:
                raise InputError(f"{self._row(int(np.argmax(table.field == name)))}: {error}") from None
        channel = table.field.map(names).to_numpy(dtype=int)
        points = table[["x", "y"]].to_numpy(
            copy=True
        )  # pandas hands out read-only arrays, which torch refuses to share
        self._refuse_contradictions(channel, points % 1.0 if grid.periodic else points)
        if not grid.periodic:
            self._refuse_boundary(channel, pde.fields)
        tensors = (torch.as_tensor(table[c].to_numpy(copy=True)) for c in ("value", "noise_std"))
        order = tuple(f.interpolation_order for f in pde.fields)
        return Observation(grid, torch.as_tensor(points), torch.as_tensor(channel.copy()), *tensors, order=order)

    def _refuse_contradictions(self, channel, points):
        exact = np.flatnonzero(self.table.noise_std == 0)
        value = self.table.value.to_numpy()
        keys = np.column_stack([channel, np.round(points / _SAME_POINT)])[exact]
        first_of: dict[tuple, int] = {}
        for i, key in zip(exact, map(tuple, keys), strict=True):
            j = first_of.setdefault(key, i)
            if abs(value[i] - value[j]) > 1e-6 * max(abs(value[i]), abs(value[j])):
                raise InputError(
                    f"{self._row(i)}: the exact reading {value[i]:g} contradicts {value[j]:g} at the same point "
                    f"({self._row(j)}); drop one or give both a noise_std"
                )

    def _refuse_boundary(self, channel, fields: tuple[Field, ...]):
        table = self.table
        edge = ((table[["x", "y"]] <= _SAME_POINT) | (table[["x", "y"]] >= 1 - _SAME_POINT)).any(axis=1)
        for c, f in enumerate(fields):
            if f.boundary_value is None:
                continue
            mine = channel == c
            scale = float(table.value[mine].abs().max()) if mine.any() else 0.0
            wrong = (table.value - f.boundary_value).abs() > 1e-6 * scale
            self._refuse(
                edge & mine & (table.noise_std == 0) & wrong,
                lambda i, f=f: (
                    f"the exact reading {table.value[i]:g} contradicts the boundary condition "
                    f"{f.name} = {f.boundary_value:g}; drop it or give it a noise_std"
                ),
            )

    def _row(self, i):
        return f"{self.origin}, row {i + self.first_row}"

    def _refuse(self, bad, message):
        bad = np.flatnonzero(bad)
        if len(bad):
            raise InputError(f"{self._row(int(bad[0]))}: {message(int(bad[0]))}")
