"""Evaluate a quantity on every draw of a result."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from numbers import Real

import numpy as np
import xarray as xr

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.quantities.base import Quantity, check_known
from pdeinv.quantities.draws import draws_of, field_names
from pdeinv.quantities.intervals import LEVEL, intervals

__all__ = ["Function", "quantity", "values_of"]

Function = Callable[[xr.Dataset], "float | xr.DataArray"]
_LABELS = {
    "mean": "posterior mean",
    "std": "posterior standard deviation",
    "low": "low end of the interval",
    "high": "high end of the interval",
}


def quantity(
    result: xr.Dataset, f: Quantity | Function, *, level: float = LEVEL, units: str = ""
) -> xr.Dataset:
    """Return a quantity of a result with its interval.

    Arguments:
        result: of `pdeinv.reconstruct`.
        f: a ready-made quantity, such as `Flux(side="left")`; or a function of one draw, a Dataset
            with the fields under their own names, (y, x), with `time` and `experiment` where the
            result has them. It returns a number or a DataArray.
        level: probability of the interval.
        units: of the values of a function; those of the DataArray that it returns, or "1", if not
            given.

    Returns:
        `mean`, `std`, `low`, `high` and `samples` (sample, ...), with units; see
        `pdeinv.quantities.intervals`. Attributes are `n`, the number of draws; `level`; and
        `infinite` and `undefined`, how many draws have an infinite value, or none.

    Raises:
        InputError: the result lacks a field, or a function returns something else.

    Example:
        >>> import pdeinv
        >>> table = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]}
        >>> result = pdeinv.reconstruct(table, "poisson", noise=1e-4, grid=16, n_samples=19)
        >>> peak = result.quantity(lambda draw: abs(draw["potential"]).max())
        >>> bool(peak["low"] < peak["mean"] < peak["high"])
        True
    """
    values = values_of(result, f)
    if units:
        values.attrs["units"] = units
    shared = {"units": "1", "long_name": "quantity", **values.attrs}
    found = intervals(values, level)
    table = {
        name: found[name].assign_attrs(shared, long_name=f"{label} of the {shared['long_name']}")
        for name, label in _LABELS.items()
    }
    label = f"posterior samples of the {shared['long_name']}"
    table["samples"] = values.assign_attrs(shared, long_name=label)
    attributes = {
        "n": values.sizes["sample"],
        "level": level,
        "infinite": _draws_with(values.isin([np.inf, -np.inf])),
        "undefined": 0 if _map(values) else _draws_with(values.isnull()),
    }
    return xr.Dataset(table, attrs=attributes)


def values_of(result: xr.Dataset, f: Quantity | Function) -> xr.DataArray:
    """Return a quantity of each draw of a result, (sample, ...); arguments and errors as of
    `quantity`."""
    if isinstance(f, Quantity):
        for field in f.fields:
            check_known(field, field_names(result), f"a field of {type(f).__name__}")
        return f(draws_of(result)).transpose("sample", ...)
    if not callable(f):
        raise InputError(
            f"a quantity must be a function of a draw or one of pdeinv.quantities, got "
            f"{described(f)}; give one of them"
        )
    draws = draws_of(result)
    over = [dim for dim in ("sample", "replicate") if dim in draws.dims]
    places = itertools.product(*(range(draws.sizes[dim]) for dim in over))
    found = []
    for place in places:
        draw = draws.isel(dict(zip(over, place, strict=True))).drop_vars(over, errors="ignore")
        found.append(_value(f(draw)))
    first = found[0]
    if any(one.dims != first.dims or one.shape != first.shape for one in found):
        raise InputError(
            "a function of a draw must return values of one shape for all draws, got different "
            "ones; return a number, or a map of the draw's nodes"
        )
    sizes = [draws.sizes[dim] for dim in over]
    stacked = np.stack([one.values for one in found]).astype(float)
    coords = {dim: draws[dim] for dim in over if dim in draws.coords}
    return xr.DataArray(
        stacked.reshape(*sizes, *first.shape),
        {**first.coords, **coords},
        (*over, *first.dims),
        attrs=first.attrs,
    )


def _value(given: object) -> xr.DataArray:
    """Return what a function returned of a draw."""
    if isinstance(given, xr.DataArray):
        if given.dtype.kind in "fiub":
            return given
    elif isinstance(given, Real | np.bool_) or getattr(given, "ndim", None) == 0:
        return xr.DataArray(float(given))  # type: ignore[arg-type]
    raise InputError(
        f"a function of a draw must return a number or a DataArray of numbers, got "
        f"{described(given)}; convert it"
    )


def _map(values: xr.DataArray) -> bool:
    """Whether values are a map, in which inactive nodes are nan."""
    return {"y", "x"} <= {*values.dims}


def _draws_with(marks: xr.DataArray) -> int:
    """Return how many draws have a mark."""
    others = [dim for dim in marks.dims if dim != "sample"]
    return int(marks.any(others).sum())
