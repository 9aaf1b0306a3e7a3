"""One layer of a MODFLOW model as arrays, whichever version of MODFLOW it is of."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Layer", "Leak", "check_packages", "filled", "grid_of"]

_SAME = 1e-6  # relative difference of widths that are equal
_REMEDIES = {
    "drn": "a drain flows one way alone; leave the package out, or state it as a general head",
    "evt": "leave the package out, or take its rates off the recharge",
    "disv": "use a regular DIS grid",
    "disu": "use a regular DIS grid",
}


class Leak(NamedTuple):
    """A general head, or a river: conductance (level - head) enters a cell.

    Arguments:
        cell: (row, column) from the top, as in MODFLOW.
        level: of the river or the reservoir.
        conductance: of the bed, area per time.
        bottom: of a river, at which the leak stops to grow; -inf of a general head.
    """

    cell: tuple[int, int]
    level: float
    conductance: float
    bottom: float = -np.inf


@dataclass
class Layer:
    """A confined layer; arrays are [row, column], with the first row at the top of the map.

    Arguments:
        grid: of kind "cell".
        time_unit: unit of the rates, "1" where the model states none.
        conductivity, thickness: of the cells.
        active: which cells are.
        constant: heads of the cells that hold one, nan at the others.
        recharge: per area.
        rates: of wells, in each cell.
        leaks: general heads and rivers.
    """

    grid: Grid
    time_unit: str
    conductivity: np.ndarray
    thickness: np.ndarray
    active: np.ndarray
    constant: np.ndarray = field(init=False)
    recharge: np.ndarray = field(init=False)
    rates: np.ndarray = field(init=False)
    leaks: list[Leak] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        shape = self.grid.shape
        self.constant = np.full(shape, np.nan)
        self.recharge, self.rates = np.zeros(shape), np.zeros(shape)
        wrong = self.active & ~((self.conductivity > 0) & (self.thickness > 0))
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            raise InputError(
                f"the conductivity and the thickness of a model must be positive in active cells, "
                f"got {self.conductivity[i, j]:g} and {self.thickness[i, j]:g} in row {i + 1}, "
                f"column {j + 1}; correct them"
            )

    @property
    def free(self) -> np.ndarray:
        """Which cells are active without a constant head."""
        return self.active & np.isnan(self.constant)


def grid_of(modelgrid: Any, unit: str) -> Grid:
    """Return the grid of a model, of kind "cell".

    Arguments:
        modelgrid: flopy's.
        unit: of its lengths.

    Raises:
        InputError: the grid has several layers, is not uniform, or is turned.
    """
    if modelgrid.grid_type != "structured" or modelgrid.nlay != 1:
        got = f"{modelgrid.nlay} layers" if modelgrid.grid_type == "structured" else "another grid"
        raise InputError(f"a model must have one layer of rows and columns, got {got}; use such")
    for name in ("delr", "delc"):
        widths = np.asarray(getattr(modelgrid, name), dtype=float)
        if np.ptp(widths) > _SAME * widths.max():
            raise InputError(
                f"{name} of a model must be the same in all cells, got {widths.min():g} to "
                f"{widths.max():g}; resample the model to a uniform grid"
            )
    if modelgrid.angrot:
        raise InputError(
            f"the grid of a model must not be turned, got angrot = {modelgrid.angrot:g}; set it to "
            f"0 to use the model's own coordinates"
        )
    x0, y0 = float(modelgrid.xoffset), float(modelgrid.yoffset)
    width, height = float(np.sum(modelgrid.delr)), float(np.sum(modelgrid.delc))
    extent = (x0, x0 + width, y0, y0 + height)
    return Grid(modelgrid.nrow, modelgrid.ncol, extent, unit, "cell")


def check_packages(given: Mapping[str, str], known: Collection[str]) -> None:
    """Refuse packages of a model that a problem does not have.

    Arguments:
        given: their kinds by their names.
        known: the kinds that are allowed.

    Raises:
        InputError: there is one.
    """
    for name, kind in given.items():
        if kind not in known:
            remedy = _REMEDIES.get(kind, "leave it out of the model")
            raise InputError(
                f"the packages of a model must be of {', '.join(known)}, got {kind} ({name}); "
                f"{remedy}"
            )


def filled(what: str, values: Any, shape: tuple[int, int]) -> np.ndarray:
    """Return the values of cells as float64, (ny, nx).

    Raises:
        InputError: they are no numbers, such as the name of a time series.
    """
    try:
        return np.broadcast_to(np.asarray(values, dtype=float), (1, *shape))[0].copy()
    except (TypeError, ValueError):
        raise InputError(
            f"{what} of a model must be numbers of one layer, got {described(values)}; state the "
            f"numbers of one stress period"
        ) from None
