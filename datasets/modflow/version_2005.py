"""A MODFLOW-2005 model, as flopy has it: its layer is read, and its conductivity written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pdeinv.datasets.modflow.layer import Layer, Leak, check_packages, filled, grid_of
from pdeinv.errors import InputError

__all__ = ["layer_of", "write"]

_KNOWN = ("dis", "bas6", "lpf", "chd", "wel", "rch", "ghb", "riv", "oc", "lmt6", "hyd")
_SOLVERS = ("pcg", "pcgn", "sip", "de4", "gmg")
_LENGTHS = {1: "ft", 2: "m", 3: "cm"}
_TIMES = {1: "s", 2: "min", 3: "h", 4: "day", 5: "year"}


def layer_of(model: Any, period: int) -> Layer:
    """Return the layer of a model in a stress period, which counts from 0.

    Raises:
        InputError: the model has something that a problem does not have.
    """
    names = {name: name.lower() for name in model.get_package_list()}
    check_packages(names, (*_KNOWN, *_SOLVERS))
    if "lpf" not in names.values():
        raise InputError("a model must have the package lpf, got none; give its conductivity there")
    if not 0 <= period < model.nper:
        raise InputError(
            f"period must be from 0 to {model.nper - 1} for this model, got {period}; choose "
            f"another"
        )
    if not np.asarray(model.dis.steady.array)[period]:
        raise InputError(
            f"stress period {period} of a model must be steady, got a transient one; choose "
            f"another `period`"
        )
    grid = grid_of(model.modelgrid, _LENGTHS.get(int(model.dis.lenuni), "1"))
    shape, cells = grid.shape, model.modelgrid
    thickness = filled("top", cells.top, shape) - filled("botm", cells.botm, shape)
    ibound = filled("ibound", model.bas6.ibound.array, shape)
    time_unit = _TIMES.get(int(model.dis.itmuni), "1")
    layer = Layer(grid, time_unit, _conductivity(model, shape), thickness, ibound != 0)
    start = filled("strt", model.bas6.strt.array, shape)
    layer.constant[ibound < 0] = start[ibound < 0]
    _add_stresses(model, period, layer)
    return layer


def _conductivity(model: Any, shape: tuple[int, int]) -> np.ndarray:
    lpf = model.lpf
    for what, wrong, remedy in (
        ("laytyp", np.any(lpf.laytyp.array != 0), "0, for a confined layer"),
        ("layavg", np.any(lpf.layavg.array != 0), "0, the harmonic mean"),
        (
            "chani and hani",
            np.any(lpf.chani.array != 1)
            and (np.any(lpf.chani.array > 0) or np.any(lpf.hani.array != 1)),
            "1",
        ),
    ):
        if wrong:
            raise InputError(
                f"{what} of a model's lpf must be {remedy}, got another one; change it: the "
                f"conductivity of a problem is one number in each cell"
            )
    return filled("hk", lpf.hk.array, shape)


def _add_stresses(model: Any, period: int, layer: Layer) -> None:
    for name in ("chd", "wel", "ghb", "riv"):
        package = getattr(model, name, None)
        entries = None if package is None else package.stress_period_data[period]
        for entry in entries if isinstance(entries, np.ndarray) else ():
            cell = (int(entry["i"]), int(entry["j"]))
            if name == "wel":
                layer.rates[cell] += float(entry["flux"])
            elif name == "ghb":
                layer.leaks.append(Leak(cell, float(entry["bhead"]), float(entry["cond"])))
            elif name == "riv":
                numbers = (float(entry[column]) for column in ("stage", "cond", "rbot"))
                layer.leaks.append(Leak(cell, *numbers))
            else:
                start, end = float(entry["shead"]), float(entry["ehead"])
                if start != end:
                    raise InputError(
                        f"shead and ehead of a model's chd must be equal, got {start:g} and "
                        f"{end:g}; state one head"
                    )
                layer.constant[cell] = start
    if getattr(model, "rch", None) is not None:
        layer.recharge += filled("rech", model.rch.rech.array[period], layer.grid.shape)


def write(model: Any, conductivity: np.ndarray, folder: Path) -> None:
    """Write a whole model with another conductivity [row, column] to a folder; the model itself
    stays as it is."""
    path, before = model.model_ws, model.lpf.hk.array.copy()
    try:
        model.lpf.hk = conductivity[None]
        model.change_model_ws(str(folder))
        model.write_input()
    finally:
        model.lpf.hk = before
        model.change_model_ws(path)
