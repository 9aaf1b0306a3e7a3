"""Tables of sensor readings: read, checked row by row, and turned into an observation operator."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike

from pdeinv.errors import warn_input
from pdeinv.files import atomic_write
from pdeinv.footprints import FootprintObservation
from pdeinv.footprints.places import Footprints
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.sensors.binary_files import read_binary
from pdeinv.sensors.checks import Readings, refuse_outside
from pdeinv.sensors.columns import check_columns, checked_values
from pdeinv.sensors.complex_values import split_complex
from pdeinv.sensors.csv_files import read_csv, read_open_file
from pdeinv.sensors.instruments import Instrument, biases_of
from pdeinv.sensors.noise_levels import NoiseLevels, noise_used
from pdeinv.sensors.replicates import check_one_replicate, rows_by_replicate
from pdeinv.sensors.rows import Rows
from pdeinv.sensors.simulation import Texts, simulate
from pdeinv.sensors.sources import SensorTable, as_table
from pdeinv.sensors.times import check_time_column, times_of

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["Sensors"]


@dataclass(frozen=True)
class Sensors:
    """Readings of fields at points of a domain, over discs and along lines of it.

    Arguments:
        table: columns `field` (physical name, or `coefficient` or `solution`), `x` and `y` in
            the domain's coordinates, `value`, and optionally `noise_std`, the standard deviation of
            the reading's noise: 0 for an exact reading, nan where it is unknown; `experiment`,
            the name of the reading's experiment, empty for the coefficient; `time`, for a physics
            that evolves, empty for its end; `radius`, of the disc over which the reading is the
            mean; `x2` and `y2`, the end of the line over which it is, or from whose value a
            difference is taken; `kind`, one of `pdeinv.sensors.KINDS`; `censored`, "left"
            where the reading is below the value, a limit of detection, or "right" where it is
            above; `instrument`, the name of what reads; and `replicate`, a date or a run. Other
            columns are not used, with an InputWarning. A complex `value` becomes two rows.
        origin: origin of the table, for error messages.
        first_row: number of the first row, for error messages.

    Raises:
        InputError: a column is missing, the table is empty, or a row holds a value that cannot be
            used.
    """

    table: pd.DataFrame
    origin: str = "the sensor table"
    first_row: int = 0
    _unused: tuple[str, ...] = field(init=False, repr=False, default=())
    _positions: tuple[int, ...] | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        table, positions = split_complex(as_table(self.table))
        object.__setattr__(self, "_positions", positions)
        unused = check_columns(table, self.origin)
        object.__setattr__(self, "table", checked_values(table, self._rows))
        object.__setattr__(self, "_unused", unused)

    @classmethod
    def read(cls, source: Sensors | str | os.PathLike | IO | SensorTable) -> Sensors:
        """Return the sensors of a table.

        Arguments:
            source: path of a text, Excel, Parquet or NetCDF file, an open text file, sensors, or a
                table with named columns as `pdeinv.sensors.sources.as_table` reads it.

        Raises:
            InputError: the file or the table cannot be used.
        """
        if isinstance(source, Sensors):
            return source
        if isinstance(source, str | os.PathLike):
            path = Path(os.fsdecode(source))
            found = read_binary(path)
            return cls(read_csv(path) if found is None else found, path.name, first_row=1)
        if callable(getattr(source, "read", None)):
            return cls(*read_open_file(source), first_row=1)
        return cls(as_table(source))

    @classmethod
    def observe(
        cls,
        truth: xr.DataArray,
        points: ArrayLike,
        *,
        noise_std: ArrayLike | str = 0.0,
        order: int | None = None,
        seed: int = 0,
        radius: ArrayLike | None = None,
        ends: ArrayLike | None = None,
        kind: Texts = None,
        below: ArrayLike | None = None,
        above: ArrayLike | None = None,
        instrument: Texts = None,
        bias_std: ArrayLike = 0.0,
        bias_seed: int | None = None,
        replicate: str | None = None,
    ) -> Sensors:
        """Simulate readings of a field with Gaussian noise, to design a layout or test a solver.

        Where an argument is one or (m,), nan and "" stand for none.

        Arguments:
            truth: a named field with dimensions (y, x), such as
                `pdeinv.datasets.example("darcy")["pressure"].isel(sample=0)`; coordinates
                `experiment`, `replicate` and `time` become columns.
            points: (m, 2), positions (x, y), from `pdeinv.layouts` or elsewhere.
            noise_std: standard deviation of the noise, one or (m,), or "2%" of that of the truth.
            order: degree of the interpolation; None is the truth's `interpolation_order`, or 3.
            seed: of the noise, which differs between fields, places in the table, and instruments.
            radius: of the discs over which readings are means, one or (m,).
            ends: (m, 2), the other ends of lines or differences.
            kind: one or (m,) of `pdeinv.sensors.KINDS`, where `radius` and `ends` do not imply
                it: with ends alone, it is a mean along a line.
            below, above: limits of detection, one or (m,); beyond one the limit is the value.
            instrument: names of the instruments, one or (m,).
            bias_std: standard deviation of an instrument's bias for each field, one or (m,).
            bias_seed: of the biases; None is `seed`. Tables that are joined must share it.
            replicate: name of the date or the run.

        Raises:
            InputError: the truth or a setting cannot be used, or a reading is not in the truth.
        """
        simulated = simulate(
            truth,
            points,
            noise_std=noise_std,
            order=order,
            seed=seed,
            radius=radius,
            ends=ends,
            kind=kind,
            below=below,
            above=above,
            instrument=instrument,
            bias_std=bias_std,
            bias_seed=bias_seed,
            replicate=replicate,
        )
        return cls(simulated)

    def __len__(self) -> int:
        """Number of readings, m."""
        return len(self.table)

    def __add__(self, other: Sensors) -> Sensors:
        """Return the readings of both tables."""
        return Sensors(pd.concat([self.table, other.table], ignore_index=True))

    def by_replicate(self) -> dict[str, Sensors]:
        """Return the sensors of each replicate by its name, in the order of their first rows; none
        where the table names no replicate.

        Raises:
            InputError: some rows name a replicate, and others do not.
        """
        parts = rows_by_replicate(self.table, self._rows)
        return {name: self.of_rows(chosen) for name, chosen in parts.items()}

    @property
    def rows(self) -> np.ndarray:
        """Positions (m,) of the rows in the table that these are of."""
        return np.arange(len(self)) if self._positions is None else np.array(self._positions)

    def of_rows(self, chosen: np.ndarray) -> Sensors:
        """Return the sensors of some rows, whose messages name the rows of the whole table."""
        part = copy(self)
        object.__setattr__(part, "table", self.table.iloc[chosen].reset_index(drop=True))
        object.__setattr__(part, "_positions", tuple(self.rows[chosen].tolist()))
        return part

    def to_csv(self, path: str | os.PathLike) -> None:
        """Write the table as CSV, whole or not at all."""
        with atomic_write(path) as temporary:
            self.table.to_csv(temporary, index=False, float_format="%.12g")

    def observation(
        self,
        pde: PDE,
        grid: Grid,
        *,
        noise: NoiseLevels | None = None,
        bounds: tuple[float, float] | None = None,
        instruments: Sequence[Instrument] = (),
    ) -> Observation:
        """Return the operator, readings and noise of these sensors for a PDE's state on a grid.

        Arguments:
            noise: standard deviation of the noise of readings without a `noise_std`, see
                `pdeinv.sensors.NoiseLevels`. None takes them as exact, with an InputWarning.
            bounds: of the coefficient under its prior, if it has some.
            instruments: those whose biases are stated; the column `instrument` is not used without
                them, with an InputWarning.

        Raises:
            InputError: a sensor or its footprint is outside of the domain; the PDE has no such
                field or experiment; the noise cannot be used; a reading is likely a fill value; an
                instrument is not stated or reads fields of two units; exact readings contradict
                each other at one point; an exact reading contradicts the boundary condition or
                the bounds of the coefficient; or there are several replicates.
        """
        table = self.table
        check_one_replicate(table, self._rows)
        points, footprints = self.places(grid)
        channel, unused = self._channels(pde)
        readings = Readings(table, channel, pde, self._rows, unused)
        readings.check_sizes()
        used = noise_used(noise, table, channel, pde, self._rows)
        biases = biases_of(table, channel, pde, instruments, self._rows)
        readings.check_agreement(used.std, grid, bounds, biases.number)
        make: Callable[..., Observation] = Observation
        if footprints:
            make = partial(FootprintObservation, **footprints._asdict())
        return make(
            grid,
            points,
            torch.as_tensor(channel.copy()),
            torch.as_tensor(table.value.fillna(0.0).to_numpy(copy=True)),  # 0: yet to come
            torch.as_tensor(used.std),
            tuple(f.interpolation_order for f in pde.fields),
            censored=_censored(table),
            common=biases.common,
            common_names=biases.names,
            noise_group=None if used.group is None else torch.as_tensor(used.group),
            unknown_noise=used.unknown,
        )

    def places(self, grid: Grid) -> tuple[torch.Tensor, Footprints | None]:
        """Return the positions (m, 2) and what is read about them; None where all read points.

        Raises:
            InputError: a sensor or its footprint is outside of the domain.
        """
        # Copies: torch does not share pandas' read-only arrays
        points = torch.as_tensor(self.table[["x", "y"]].to_numpy(copy=True))
        refuse_outside(points, grid, self._rows)
        footprints = Footprints.of_table(self.table)
        if footprints:
            footprints.check(points, grid, self._rows)
        return points, footprints

    def _channels(self, pde: PDE) -> tuple[np.ndarray, tuple[str, ...]]:
        """Return the channels (m,) of the readings, and the columns that are not used."""
        fields, unused = self.table.field, self._unused
        experiments = self.table.get("experiment", pd.Series([""] * len(fields)))
        if not pde.experiments and any(experiments):
            unused = (*unused, "experiment")
            warn_input(
                f"{self.origin}: the column 'experiment' is not used for one physics alone; give "
                f"one for each experiment, pde=[...], or drop the column"
            )
        unused = (*unused, *check_time_column(self.table, pde, self._rows, unused))
        times = (None if np.isnan(t) else t for t in self.times(pde))
        keys = list(zip(fields, experiments, times, strict=True))
        found = {key: pde.find_channel(*key) for key in dict.fromkeys(keys)}
        self._rows.refuse(
            [found[key] is None for key in keys], lambda i: pde.unknown_field(*keys[i])
        )
        return np.array([found[key] for key in keys], dtype=int), unused

    def times(self, pde: PDE) -> np.ndarray:
        """Return the times (m,) of the readings: nan at the end of the physics, for a coefficient
        and its functions, and where the physics, or that of the experiment, does not evolve.

        Raises:
            InputError: a time is no number, or not one at which the physics has the field.
        """
        return times_of(self.table, pde, self._rows)

    @property
    def _rows(self) -> Rows:
        return Rows(self.origin, self.first_row, self._positions)


def _censored(table: pd.DataFrame) -> torch.Tensor | None:
    """Return which readings are below (-1) or above (1) their values, None where none is."""
    if "censored" not in table or not table.censored.any():
        return None
    return torch.as_tensor(table.censored.map({"left": -1, "": 0, "right": 1}).to_numpy(copy=True))
