"""The column `time` of a table of readings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pdeinv.errors import InputError, warn_input
from pdeinv.sensors.column_names import listed, meant_by, shown
from pdeinv.sensors.columns import numbers
from pdeinv.sensors.rows import Rows

if TYPE_CHECKING:
    from pdeinv.datasets import PDE

__all__ = ["check_time_column", "times_of"]


def times_of(table: pd.DataFrame, pde: PDE, rows: Rows) -> np.ndarray:
    """Return the times (m,) of readings.

    They are nan at the end of the physics, for a coefficient and its functions, and where the
    physics, or that of the experiment, does not evolve.

    Arguments:
        table: the checked readings.
        pde: the physics.
        rows: names of the rows.

    Raises:
        InputError: a time is no number, or not one at which the physics has the field.
    """
    if pde.end_time is None:
        return np.full(len(table), np.nan)
    times = _stated(table, rows)
    late = [pde.late_coefficient(*one) for one in zip(table.field, times, strict=True)]
    rows.refuse([bool(message) for message in late], lambda i: late[i])
    derived = (f for one in pde.experiments.values() or (pde,) for f in one.derived)
    constant = {f.name for f in derived if pde.constant(f)}
    constant |= {"coefficient", pde.coefficient_field.name}
    times = np.where(table.field.isin(constant) | _stationary(table, pde), np.nan, times)
    rows.refuse(
        [not (np.isnan(time) or pde.reaches(time)) for time in times],
        lambda i: pde.unreached(times[i]),
    )
    return times


def check_time_column(
    table: pd.DataFrame, pde: PDE, rows: Rows, unused: tuple[str, ...]
) -> tuple[str, ...]:
    """Warn where the column `time` is not used; return ("time",) if it is not used at all, else ().

    Arguments:
        table, pde, rows: as of `times_of`.
        unused: names of the columns that are not used.

    Raises:
        InputError: one of these stands for it.
    """
    if pde.end_time is None:
        if "time" not in table:
            return ()
        warn_input(
            f"{rows.origin}: the column 'time' is not used for {pde.name}, which does not change "
            f"in time; keep the readings of one time, and drop the column"
        )
        return ("time",)
    still = _stationary(table, pde)
    if np.isfinite(_stated(table, rows)[still]).any():
        names = dict.fromkeys(table.experiment[still])
        warn_input(
            f"{rows.origin}: the column 'time' is not used for {listed(tuple(names))}, which does "
            f"not change in time; keep the readings of one time, and leave it empty there"
        )
    for name in unused if "time" not in table else ():
        if meant_by(name, ["time"]):
            raise InputError(
                f"{rows.origin}: times must be in the column 'time' for {pde.name}, which changes "
                f"in time, got {shown(name)!r}; rename it, or drop it if all readings are those "
                f"of the end"
            )
    return ()


def _stated(table: pd.DataFrame, rows: Rows) -> np.ndarray:
    """Return the times as they are in the table, nan where a cell is empty."""
    if "time" not in table:
        return np.full(len(table), np.nan)
    times = numbers(table["time"])
    rows.refuse(
        np.isinf(times),
        lambda i: (
            f"time must be a number, got {shown(table['time'].iloc[i])}; give the time since the "
            f"start, or leave it empty for the end"
        ),
    )
    return times


def _stationary(table: pd.DataFrame, pde: PDE) -> np.ndarray:
    """Return which readings (m,) are of an experiment that does not evolve."""
    still = {name for name, one in pde.experiments.items() if one.end_time is None}
    if not still or "experiment" not in table:
        return np.zeros(len(table), dtype=bool)
    return table.experiment.isin(still).to_numpy()
