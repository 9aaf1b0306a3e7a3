"""Tables of sensor readings: read, checked row by row, and turned into an observation operator."""

from __future__ import annotations

import io
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr

from pdeinv.errors import InputError
from pdeinv.files import atomic_write
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
        table: columns `field` (physical name, or `coefficient` / `solution`), `x`, `y` in [0, 1],
            `value`, and optionally `noise_std`, the standard deviation of the reading's noise (0,
            an exact reading, where the column is absent).
        origin: where the table comes from, for error messages; rows are counted from `first_row`.

    Raises:
        InputError: a column is missing, the table is empty, or a row holds a value that cannot be
            used.
    """

    table: pd.DataFrame
    origin: str = "the sensor table"
    first_row: int = 0

    def __post_init__(self):
        table = self.table.rename(columns=lambda name: str(name).strip())
        missing = [c for c in _COLUMNS if c not in table]
        if missing:
            raise InputError(
                f"{self.origin} has no column {missing[0]!r}; its columns, separated by commas, "
                f"must be field, x, y, value "
                f"and, optionally, noise_std (found: "
                f"{', '.join(map(repr, table.columns)) or 'none'})"
            )
        for column in ("field", *_NUMERIC):
            if (table.columns == column).sum() > 1:
                raise InputError(
                    f"{self.origin} has the column {column!r} more than once; keep one of them"
                )
        if table.empty:
            raise InputError(f"{self.origin} has no readings; give it at least one row")
        table = table.reset_index(drop=True)
        if "noise_std" not in table:
            # a misspelt column of noise must not make its readings exact
            for column in table.columns:
                words = re.split(r"[^a-z]+", column.lower())
                if any(
                    word.startswith(("noise", "std", "sigma", "err", "uncert")) for word in words
                ):
                    raise InputError(
                        f"{self.origin} has a column {column!r} but no 'noise_std'; rename it, or "
                        f"drop it"
                    )
            table["noise_std"] = 0.0
        for column in _NUMERIC:
            numbers = pd.to_numeric(table[column], errors="coerce").astype(float)
            self._refuse(
                ~np.isfinite(numbers),
                lambda i, c=column: (
                    f"{c} is empty or nan, not a finite number; mend or drop the row"
                    if pd.isna(table[c][i])
                    else f"{c} = {table[c][i]} is not a finite number; mend or drop the row"
                ),
            )
            table[column] = numbers
        for column in ("x", "y"):
            self._refuse(
                (table[column] < 0) | (table[column] > 1),
                lambda i, c=column: (
                    f"{c} = {table[c][i]:g} lies outside the unit square; rescale coordinates to "
                    f"[0, 1]"
                ),
            )
        self._refuse(
            table.noise_std < 0,
            lambda i: f"noise_std = {table.noise_std[i]:g} is negative; use 0 for an exact reading",
        )
        self._refuse(
            table["field"].isna(), lambda i: "field is empty; name the field that was read"
        )
        table["field"] = table["field"].astype(str).str.strip()
        object.__setattr__(self, "table", table[["field", *_NUMERIC]])

    @classmethod
    def read(cls, source: Sensors | str | os.PathLike | pd.DataFrame | xr.Dataset) -> Sensors:
        """From a CSV file's path, a pandas table, an xarray Dataset with those variables along one
        dimension, or as is."""
        if isinstance(source, Sensors):
            return source
        if isinstance(source, pd.DataFrame):
            return cls(source)
        if isinstance(source, xr.Dataset):
            if len(source.dims) != 1:
                raise InputError(
                    f"a Dataset of sensors has its readings along one dimension, not "
                    f"{tuple(source.dims)}; give field, x, "
                    "y, value and, optionally, noise_std along one"
                )
            return cls(source.to_dataframe().reset_index())
        path = Path(source)
        return cls(_read_csv(path), origin=path.name, first_row=1)

    @classmethod
    def observe(
        cls,
        truth: xr.DataArray,
        points: np.ndarray,
        *,
        noise_std: float | np.ndarray = 0.0,
        order: int | None = None,
        seed: int = 0,
    ) -> Sensors:
        """Readings of a known field at points (m, 2), with Gaussian noise: to design a layout or to
        test a solver.

        Arguments:
            truth: a field with dimensions (y, x) and a name, as
                `pdeinv.datasets.open(...)["pressure"].isel(sample=0)`.
            points: positions as (x, y), from `pdeinv.layouts` or anywhere.
            noise_std: one standard deviation for all sensors or one each.
            order: degree of the interpolation at points off the grid; None for what the truth's
                attribute `interpolation_order` says, as in every dataset of this package, and 3
                where it says nothing.
            seed: seed of the noise, which another field of the same seed does not share.
        """
        if truth.dims != ("y", "x"):
            raise InputError(
                f"the truth has the dimensions {truth.dims}; give one field with dimensions ('y', "
                f"'x')"
            )
        if truth.name is None:
            raise InputError(
                "the truth has no name; call it after its field, as in truth.rename('pressure')"
            )
        points = np.asarray(points, dtype=float)
        if points.ndim != 2 or points.shape[1] != 2:
            raise InputError(
                f"the points have the shape {points.shape}; give (x, y) pairs, an array of shape "
                f"(m, 2)"
            )
        order = int(truth.attrs.get("interpolation_order", 3)) if order is None else order
        index, weight = interpolation_stencil(torch.as_tensor(points), _grid_of(truth), order)
        values = (np.asarray(truth, dtype=float).ravel()[index.numpy()] * weight.numpy()).sum(
            axis=1
        )
        noise_std = np.asarray(noise_std, dtype=float)
        if noise_std.shape not in ((), values.shape):
            raise InputError(
                f"noise_std has the shape {noise_std.shape}; give one number or one for each of "
                f"{len(points)}"
            )
        noise_std = np.broadcast_to(noise_std, values.shape)
        # Two fields' noise is not the same
        rng = np.random.default_rng([seed, *str(truth.name).encode()])
        values = values + noise_std * rng.standard_normal(values.shape)
        columns = {
            "field": truth.name,
            "x": points[:, 0],
            "y": points[:, 1],
            "value": values,
            "noise_std": noise_std,
        }
        return cls(pd.DataFrame(columns))

    def __len__(self) -> int:
        return len(self.table)

    def __add__(self, other: Sensors) -> Sensors:
        """Both tables' readings together."""
        return Sensors(pd.concat([self.table, other.table], ignore_index=True))

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table as CSV, whole or not at all."""
        with atomic_write(path) as temporary:
            self.table.to_csv(temporary, index=False, float_format="%.12g")

    def observation(self, pde, grid: Grid) -> Observation:
        """The operator, readings and noise of these sensors for a PDE's state on a grid.

        Raises:
            InputError: a field that the PDE does not have, exact readings that contradict one
                another at one point, or an exact reading that contradicts the boundary condition.
        """
        table = self.table
        names = {}
        for name in table.field.unique():
            try:
                names[name] = pde.channel(name)
            except InputError as error:
                raise InputError(
                    f"{self._row(int(np.argmax(table.field == name)))}: {error}"
                ) from None
        channel = table.field.map(names).to_numpy(dtype=int)
        # pandas hands out read-only arrays, which torch refuses to share: copy.
        points = table[["x", "y"]].to_numpy(copy=True)
        self._refuse_contradictions(channel, points, grid, pde.fields)
        if pde.coefficient_range is not None:
            low, high = pde.coefficient_range
            self._refuse(
                (channel == 0)
                & (table.noise_std == 0)
                & ~table.value.between(low * (1 - 1e-6), high * (1 + 1e-6)),
                lambda i: (
                    f"the exact reading {table.value[i]:g} lies outside the medium's {low:g} to "
                    f"{high:g}; give it a noise_std, "
                    f"or set {pde.name}'s parameters"
                ),
            )
        if not grid.periodic:
            self._refuse_boundary(channel, pde.fields)
        tensors = (torch.as_tensor(table[c].to_numpy(copy=True)) for c in ("value", "noise_std"))
        order = tuple(f.interpolation_order for f in pde.fields)
        return Observation(
            grid, torch.as_tensor(points), torch.as_tensor(channel.copy()), *tensors, order=order
        )

    def _refuse_contradictions(self, channel, points, grid: Grid, fields: tuple[Field, ...]):
        exact = np.flatnonzero(self.table.noise_std == 0)
        value = self.table.value.to_numpy()
        place = np.round(points / _SAME_POINT)
        if grid.periodic:  # after rounding, so that what is just short of 1 meets 0
            place %= round(1 / _SAME_POINT)
        for i, j in self._conflicts(exact, np.column_stack([channel, place])):
            raise InputError(
                f"{self._row(i)}: the exact reading {value[i]:g} contradicts {value[j]:g} at the "
                f"same point "
                f"({self._row(j)}); drop one or give both a noise_std"
            )
        # A field without interpolation has one value around each node.
        stepwise = exact[np.array([f.interpolation_order == 0 for f in fields])[channel[exact]]]
        for i, j in self._conflicts(
            stepwise, np.column_stack([channel, np.round(points * grid.cells)])
        ):
            raise InputError(
                f"{self._row(i)}: the exact reading {value[i]:g} and {value[j]:g} "
                f"({self._row(j)}) share the nearest "
                f"node of a grid of {grid.n}; use a finer grid, drop one or give both a noise_std"
            )

    def _conflicts(self, rows, keys):
        """Pairs of rows with the same key and different values."""
        value, first_of = self.table.value.to_numpy(), {}
        for i in rows:
            j = first_of.setdefault(tuple(keys[i]), i)
            if abs(value[i] - value[j]) > 1e-6 * max(abs(value[i]), abs(value[j])):
                yield i, j

    def _refuse_boundary(self, channel, fields: tuple[Field, ...]):
        table = self.table
        edge = ((table[["x", "y"]] <= _SAME_POINT) | (table[["x", "y"]] >= 1 - _SAME_POINT)).any(
            axis=1
        )
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


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        text = path.read_text(encoding="utf-8-sig")
        if "\0" in text:
            raise UnicodeError
        with warnings.catch_warnings():
            # Without these two, pandas takes the first column of rows that are longer than the
            # header for an index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            settings = {"skipinitialspace": True, "comment": "#", "index_col": False}
            header = pd.read_csv(io.StringIO(text), header=None, nrows=1, dtype=str, **settings)
            table = pd.read_csv(io.StringIO(text), **settings)
            # pandas would call a second "value" "value.1", and it would go unnoticed.
            return (
                table.set_axis(header.iloc[0].astype(str).tolist(), axis=1)
                if header.shape[1] == table.shape[1]
                else table
            )
    except FileNotFoundError:
        raise InputError(f"the sensor file {str(path)!r} does not exist; check the path") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; give the name of a sensor file in it") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}); choose a file that you may read"
        ) from None
    except UnicodeError:
        raise InputError(
            f"{path.name} is not a text file in UTF-8; save the table as comma-separated text (CSV)"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path.name} is empty; give it the columns field, x, y, value[, noise_std]"
        ) from None
    except pd.errors.ParserWarning:
        lines = [line.partition("#")[0] for line in text.splitlines()]
        head = next(line for line in lines if line.strip())
        for mark, name in ((";", "semicolons"), ("\t", "tabs")):
            if mark in head and "," not in head:
                raise InputError(
                    f"{path.name} has {name} between its values; save it with commas, and points "
                    f"in decimals"
                ) from None
        long = next(
            (i for i, line in enumerate(lines, 1) if line.count(",") > head.count(",")),
            "of quoted values",
        )
        raise InputError(
            f"{path.name}, line {long} has more values than columns; mend it, with commas between "
            f"values and points in decimals"
        ) from None
    except pd.errors.ParserError as error:
        reason = str(error).strip().splitlines()[-1].rpartition("C error: ")[-1]
        raise InputError(f"{path.name} cannot be read as CSV ({reason}); mend that line") from None


def _grid_of(truth: xr.DataArray) -> Grid:
    n = truth.sizes["x"]
    for grid in (Grid(n, "vertex"), Grid(n, "periodic")):
        nodes = grid.coordinates().numpy()
        if truth.shape == grid.shape and all(
            np.allclose(truth[d], nodes, rtol=0, atol=1e-6) for d in ("y", "x")
        ):
            return grid
    raise InputError(
        f"the coordinates of the truth ({' x '.join(map(str, truth.shape))} nodes) are not those "
        f"of a whole grid on the unit "
        "square; use the field on the grid that it was made on, with its x and y"
    )
