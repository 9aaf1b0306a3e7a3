"""Simulated readings of a known field, with the noise, the biases and the limits of instruments."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import ArrayLike

from pdeinv.coordinates import grid_from
from pdeinv.errors import InputError
from pdeinv.footprints import operator_of
from pdeinv.footprints.places import Footprints
from pdeinv.grid import Grid
from pdeinv.region import Region
from pdeinv.sensors.checks import refuse_outside
from pdeinv.sensors.columns import checked_values
from pdeinv.sensors.noise_levels import parse_level
from pdeinv.sensors.rows import Rows
from pdeinv.sensors.sources import place_of

__all__ = ["Texts", "simulate"]

Texts: TypeAlias = "str | ArrayLike | None"
"""One text for all readings, or (m,) of them."""
_BIAS = 256  # no byte of a name, so that the seeds of biases are none of noise


def simulate(
    truth: xr.DataArray,
    points: ArrayLike,
    *,
    noise_std: ArrayLike | str,
    order: int | None,
    seed: int,
    radius: ArrayLike | None = None,
    ends: ArrayLike | None = None,
    kind: Texts = None,
    below: ArrayLike | None = None,
    above: ArrayLike | None = None,
    instrument: Texts = None,
    bias_std: ArrayLike = 0.0,
    bias_seed: int | None = None,
    replicate: str | None = None,
) -> pd.DataFrame:
    """Return a table of simulated readings; arguments as of `pdeinv.Sensors.observe`.

    Raises:
        InputError: the truth, the places, the noise or the limits cannot be used.
    """
    field = _field(truth)
    points = real("points", points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(
            f"points must have the shape (m, 2), got {points.shape}; give pairs (x, y)"
        )
    names = {"field": str(truth.name), **place_of(truth)}
    if replicate is not None:
        names["replicate"] = str(replicate)
    given = {
        "radius": radius,
        **dict(zip(("x2", "y2"), _ends(ends, points), strict=True)),
        "kind": kind,
        "instrument": instrument,
    }
    grid, rows = _grid(truth, field), Rows("the layout", 0)
    x, y = points.T
    table = pd.DataFrame({"x": x, "y": y, "value": 0.0})
    for column, one in {**names, **given}.items():
        if one is not None:
            cells = _of_each(column, one, len(points))
            # Objects, since pandas refuses some text without a row
            table[column] = pd.Series(cells, dtype=object if cells.dtype.kind == "U" else None)
    table = checked_values(table, rows)
    exact = _exact(table, grid, np.nan_to_num(field), _order(truth, order), rows)
    std = _std(noise_std, field, exact)
    # The names are part of the seed, so that two fields do not share their noise
    kinds = sorted(set(table.get("kind", [])) - {"point"})
    stream = [*names.values(), *kinds, *sorted(set(table.get("instrument", [])))]
    rng = np.random.default_rng([seed, *"".join(stream).encode()])
    values = exact + std * rng.standard_normal(exact.shape)
    values = values + _biases(table, bias_std, seed if bias_seed is None else bias_seed, rows)
    table = table.assign(value=values, noise_std=std)
    return table if below is None and above is None else _censored(table, below, above)


def real(name: str, given: ArrayLike) -> np.ndarray:
    """Return real numbers as float64; a cast would drop an imaginary part or the unit of a time.

    Raises:
        InputError: they are of another kind.
    """
    try:
        array = np.asarray(given)
    except ValueError:  # rows of different lengths
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise InputError(
            f"{name} must be an array of real numbers, got {array.dtype}; give real numbers"
        )
    return array.astype(float)


def _field(truth: xr.DataArray) -> np.ndarray:
    if truth.dims != ("y", "x"):
        raise InputError(
            f"the dimensions of the truth must be ('y', 'x'), got {truth.dims}; select them"
        )
    if truth.name is None:
        raise InputError("the truth has no name; use truth.rename('pressure') or the like")
    return real("truth", truth)


def _grid(truth: xr.DataArray, field: np.ndarray) -> Grid:
    """Return the grid of the truth, whose nodes without a value (nan) are inactive."""
    grid, known = grid_from(truth, "the truth"), ~np.isnan(field)
    return grid if known.all() else replace(grid, active=Region.of(known))


def _order(truth: xr.DataArray, order: int | None) -> int:
    return int(truth.attrs.get("interpolation_order", 3)) if order is None else order


def _ends(ends: ArrayLike | None, points: np.ndarray) -> tuple[np.ndarray | None, ...]:
    """Return the columns x2 and y2."""
    if ends is None:
        return None, None
    found = real("ends", ends)
    if found.shape != points.shape:
        raise InputError(
            f"ends must have the shape {points.shape} of points, got {found.shape}; give one pair "
            f"(x2, y2) for each point"
        )
    return tuple(found.T)


def _of_each(name: str, given: ArrayLike, count: int) -> np.ndarray:
    """Return one entry for each reading, (m,)."""
    array = np.asarray(given)
    if array.shape not in ((), (count,)):
        raise InputError(
            f"{name} must be one for all points or have the shape ({count},), got {array.shape}; "
            f"give one for each point"
        )
    return np.broadcast_to(array, count)


def _exact(
    table: pd.DataFrame, grid: Grid, field: np.ndarray, order: int, rows: Rows
) -> np.ndarray:
    """Return the readings (m,) of a field without noise."""
    points = torch.as_tensor(table[["x", "y"]].to_numpy(copy=True))
    refuse_outside(points, grid, rows)
    if footprints := Footprints.of_table(table):
        footprints.check(points, grid, rows)
    everywhere = torch.ones(len(points), dtype=torch.bool)
    index, weight = operator_of(table, grid, order).stencil(everywhere, order)
    return (field.ravel()[index.numpy()] * weight.numpy()).sum(axis=1)


def _std(given: ArrayLike | str, field: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Return the standard deviations (m,) of the noise: stated, or a share of the field's
    spread."""
    if isinstance(given, str):
        level = parse_level("noise_std", given, "give 0.02 in the field's units, or '5%'")
        given = level.amount * (float(field.std()) if level.relative else 1.0)
    std = real("noise_std", given)
    if std.shape not in ((), exact.shape):
        raise InputError(
            f"noise_std must be one number or have the shape ({len(exact)},), got "
            f"{std.shape}; give one for each point"
        )
    return np.broadcast_to(std, exact.shape)


def _biases(table: pd.DataFrame, bias_std: ArrayLike, seed: int, rows: Rows) -> np.ndarray:
    """Return the bias (m,) of the instrument of each reading: one for each instrument and field,
    whatever the experiment, the time or the place."""
    std = _of_each("bias_std", real("bias_std", bias_std), len(table))
    if not std.any():
        return np.zeros(len(table))
    names = table.get("instrument", pd.Series([""] * len(table)))
    rows.refuse(
        ~(std >= 0) | ((std > 0) & (names == "")),
        lambda i: (
            f"bias_std must be 0, or positive for the reading of an instrument, got {std[i]:g} for "
            f"{'none' if not names[i] else repr(names[i])}; correct it, or name the instrument"
        ),
    )
    drawn = {}
    for name, field in set(zip(names, table.field, strict=True)):
        key = [seed, _BIAS, *name.encode(), _BIAS, *field.encode()]
        drawn[name, field] = np.random.default_rng(key).standard_normal()
    return std * [drawn[pair] for pair in zip(names, table.field, strict=True)]


def _limit(name: str, given: ArrayLike, none: float) -> np.ndarray:
    """Return limits of detection, an infinite one for nan."""
    limit = real(name, given)
    return np.where(np.isnan(limit), none, limit)


def _censored(
    table: pd.DataFrame, below: ArrayLike | None, above: ArrayLike | None
) -> pd.DataFrame:
    """Return the table with readings beyond a limit of detection replaced by the limit."""
    low, high = (
        np.full(len(table), none)
        if limit is None
        else _of_each(name, _limit(name, limit, none), len(table))
        for name, limit, none in (("below", below, -np.inf), ("above", above, np.inf))
    )
    if not (low < high).all():
        i = int(np.flatnonzero(~(low < high))[0])
        raise InputError(
            f"below must be less than above, got {low[i]:g} and {high[i]:g} for point {i}; "
            f"exchange them"
        )
    values = table.value.to_numpy()
    censored = np.where(values < low, "left", np.where(values > high, "right", ""))
    return table.assign(value=np.clip(values, low, high), censored=censored)
