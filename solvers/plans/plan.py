"""The contract of a plan: from readings of the same sensors to the fields, table by table."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from pdeinv.datasets import Problem
from pdeinv.sensors import Sensors
from pdeinv.solvers.plans.batches import along_tables
from pdeinv.solvers.plans.layout import Source, rows_of

__all__ = ["Plan"]


class Plan(ABC):
    """What `prepare` found for a layout of sensors; called with readings, it returns the fields.

    Arguments:
        sensors: the layout, with readings of nan.
        problem: what it is a plan of; of a plan from a file its text, "" where files cannot hold
            it.

    Attributes:
        method: what a call does: "stored gain", "search from the last mode" or "solve afresh".

    Example:
        >>> import pdeinv
        >>> layout = {"field": ["potential"] * 2, "x": [0.3, 0.6], "y": [0.4, 0.5]}
        >>> plan = pdeinv.prepare(layout, "poisson", noise=1e-4, grid=16)
        >>> plan([0.002, 0.001]).potential_mean.shape
        (16, 16)
        >>> plan([[0.002, 0.001], [0.003, 0.002]]).potential_mean.dims
        ('table', 'y', 'x')
    """

    method: str

    def __init__(self, sensors: Sensors, problem: Problem | str):
        self.sensors, self.problem = sensors, problem

    def __call__(self, values: ArrayLike | Source, *, samples: bool = False) -> xr.Dataset:
        """Return the fields given readings.

        Arguments:
            values: (m,) or (b, m), in the order of the rows of the layout, in the units of the
                fields; nan is a missing reading, which is left out. Or a table of the sensors.
            samples: whether the result has `{field}_samples`.

        Returns:
            A dataset as of `reconstruct`, for (b, m) with the leading dimension `table`.

        Raises:
            InputError: the values are not of these sensors.
            NumericalError: the computation failed on valid input.
        """
        rows, alone = rows_of(self.sensors, values)
        results = self._results(rows, samples)
        return results[0] if alone else along_tables(results)

    def follow(
        self, tables: Iterable[ArrayLike | Source], *, samples: bool = False
    ) -> Iterator[xr.Dataset]:
        """Yield the fields of each of successive tables; arguments and errors as of a call."""
        for values in tables:
            yield self(values, samples=samples)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the plan to a NetCDF file, whole or not at all, and return its path.

        Raises:
            InputError: the file cannot be written, or a part of the plan cannot be stored.
        """
        from pdeinv.solvers.plans.storage import save_plan

        return save_plan(self, path)

    @abstractmethod
    def stored(self) -> xr.Dataset:
        """Return what a file holds of the plan, besides the layout and the problem.

        Raises:
            InputError: a part of it cannot be stored.
        """

    @abstractmethod
    def _results(self, rows: np.ndarray, samples: bool) -> list[xr.Dataset]:
        """Return the results of tables of readings (b, m), with samples or without."""
