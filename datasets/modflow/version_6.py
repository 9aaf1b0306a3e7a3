"""A MODFLOW 6 model, as flopy has it: its layer is read, and its conductivity written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pdeinv.datasets.modflow.layer import Layer, Leak, check_packages, filled, grid_of
from pdeinv.errors import InputError

__all__ = ["layer_of", "write"]

_KNOWN = ("dis", "ic", "npf", "sto", "chd", "wel", "rch", "rcha", "ghb", "riv", "oc", "obs")
_LENGTHS = {"meters": "m", "feet": "ft", "centimeters": "cm"}
_TIMES = {"seconds": "s", "minutes": "min", "hours": "h", "days": "day", "years": "year"}


def layer_of(model: Any, period: int) -> Layer:
    """Return the layer of a groundwater flow model in a stress period, which counts from 0.

    Raises:
        InputError: the model has something that a problem does not have.
    """
    check_packages({p.package_name: p.package_type for p in model.packagelist}, _KNOWN)
    _check_steady(model, period)
    grid = grid_of(model.modelgrid, _unit(_LENGTHS, model.dis.length_units))
    shape, cells = grid.shape, model.modelgrid
    thickness = filled("top", cells.top, shape) - filled("botm", cells.botm, shape)
    idomain = model.dis.idomain.get_data()
    active = np.ones(shape) if idomain is None else filled("idomain", idomain, shape)
    time_unit = _unit(_TIMES, model.simulation.tdis.time_units)
    layer = Layer(grid, time_unit, _conductivity(model, shape), thickness, active > 0)
    for kind, cell, values in _stresses(model, period):
        if kind == "chd":
            layer.constant[cell] = values[0]
        elif kind == "wel":
            layer.rates[cell] += values[0]
        elif kind == "rch":
            layer.recharge[cell] += values[0]
        else:
            layer.leaks.append(Leak(cell, *values))
    for package in model.packagelist:
        if package.package_type == "rcha":
            given = _latest(package.recharge, period)
            layer.recharge += 0.0 if given is None else filled("recharge", given, shape)
    return layer


def _unit(names: dict[str, str], given: Any) -> str:
    return names.get(str(given.get_data()).lower(), "1")


def _latest(data: Any, period: int) -> Any:
    """Return what a package states for a stress period: it holds until it is stated again."""
    stated = (data.get_data(k) for k in range(period, -1, -1))
    return next((one for one in stated if one is not None), None)


def _check_steady(model: Any, period: int) -> None:
    count = int(model.simulation.tdis.nper.get_data())
    if not 0 <= period < count:
        raise InputError(
            f"period must be from 0 to {count - 1} for this model, got {period}; choose another"
        )
    storage, steady = model.get_package("sto"), True
    for k in range(period + 1 if storage is not None else 0):
        steady = bool(storage.steady_state.get_data(k)) or (
            steady and k > 0 and not storage.transient.get_data(k)
        )
    if not steady:
        raise InputError(
            f"stress period {period} of a model must be steady, got a transient one; choose "
            f"another `period`, or leave the package sto out"
        )


def _conductivity(model: Any, shape: tuple[int, int]) -> np.ndarray:
    npf = model.npf
    k = filled("k", npf.k.get_data(), shape)
    turned = any(
        given is not None and np.any(np.asarray(given, dtype=float) != 0)
        for given in (npf.angle1.get_data(), npf.angle2.get_data(), npf.angle3.get_data())
    )
    second = npf.k22.get_data()
    if second is not None:
        second = filled("k22", second, shape) * (k if npf.k22overk.get_data() else 1.0)
    for what, wrong, remedy in (
        ("icelltype", np.any(npf.icelltype.get_data()), "0, for a confined layer"),
        ("alternative_cell_averaging", npf.alternative_cell_averaging.get_data(), "left out"),
        ("xt3doptions", npf.xt3doptions.get_data(), "left out"),
        ("k22", second is not None and not np.allclose(second, k), "k"),
        ("angle1, angle2 and angle3", turned, "0"),
    ):
        if wrong is not None and bool(np.any(np.asarray(wrong) != np.False_)):
            raise InputError(
                f"{what} of a model's npf must be {remedy}, got another one; change it: the "
                f"conductivity of a problem is one number in each cell"
            )
    return k


def _stresses(model: Any, period: int) -> Iterator[tuple[str, tuple[int, int], list[float]]]:
    """Yield the kind, the cell and the numbers of each entry of the packages by lists."""
    columns = {
        "chd": ("head",),
        "wel": ("q",),
        "rch": ("recharge",),
        "ghb": ("bhead", "cond"),
        "riv": ("stage", "cond", "rbot"),
    }
    for package in model.packagelist:
        kind = package.package_type
        if kind not in columns:
            continue
        given = getattr(package, "auxmultname", None)
        if given is not None and given.get_data():
            raise InputError(
                f"auxmultname of a model's {kind} must be left out, got {given.get_data()}; "
                f"multiply the numbers themselves"
            )
        entries = _latest(package.stress_period_data, period)
        for entry in () if entries is None else entries:
            try:
                numbers = [float(entry[name]) for name in columns[kind]]
            except (TypeError, ValueError):
                raise InputError(
                    f"the entries of a model's {kind} must be numbers, got {entry}; state the "
                    f"numbers of one stress period"
                ) from None
            if entry["cellid"] != "none":
                _, i, j = entry["cellid"]
                yield kind, (int(i), int(j)), numbers


def write(model: Any, conductivity: np.ndarray, folder: Path) -> None:
    """Write the whole simulation of a model with another conductivity [row, column] to a folder;
    the model itself stays as it is."""
    simulation, k = model.simulation, model.npf.k
    path, before = simulation.sim_path, k.get_data()
    k.store_internal()  # else a file of numbers on its own would be overwritten
    try:
        k.set_data(conductivity[None])
        simulation.set_sim_path(folder)
        simulation.write_simulation(silent=True)
    finally:
        k.set_data(before)
        simulation.set_sim_path(path)
