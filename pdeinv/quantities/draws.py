"""The posterior samples of a result as draws, and the grid that they are on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import xarray as xr

from pdeinv.coordinates import grid_from
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.region import Region

__all__ = ["draws_of", "field_label", "field_names", "grid_of", "stated"]

_SAMPLES = "_samples"
_OTHERS = ("parameter", "quantity")


def field_names(result: xr.Dataset) -> list[str]:
    """Return the names of the fields of a result."""
    return [
        str(name).removesuffix(_SAMPLES)
        for name, v in result.data_vars.items()
        if str(name).endswith(_SAMPLES) and {"sample", "y", "x"} <= {*v.dims}
    ]


def field_label(result: xr.Dataset, field: str) -> str:
    """Return the name for people of a field of a result."""
    label = str(result[f"{field}_samples"].attrs.get("long_name", field))
    return label.removeprefix("posterior samples of the ")


def draws_of(result: xr.Dataset) -> xr.Dataset:
    """Return the samples of a result: each field under its own name, (sample, ..., y, x).

    Sides that were inferred are `left_head` (sample, y) and so on; numbers that were are
    `parameters` (sample, parameter). Units and the attributes of the result are kept.

    Arguments:
        result: of `pdeinv.reconstruct`.

    Raises:
        InputError: the result has no samples.
    """
    found = {}
    for name, values in result.data_vars.items():
        short = str(name).removesuffix(_SAMPLES)
        if short == name or "sample" not in values.dims or short in _OTHERS:
            continue
        label = str(values.attrs.get("long_name", short)).removeprefix("posterior samples of the ")
        found[short] = values.assign_attrs(long_name=label)
    if not field_names(result):
        raise InputError(
            "the result must have samples of its fields, got none; use what pdeinv.reconstruct "
            "returned"
        )
    if "parameter_samples" in result:
        found["parameters"] = result["parameter_samples"].transpose("sample", ...)
    draws = xr.Dataset(found, attrs=result.attrs)
    kept = {"y", "x", "sample", "time", "experiment", "replicate", "parameter"}
    sites = [name for name in result.data_vars if str(name).startswith("well_")]
    return draws.drop_vars({*draws.coords} - kept).assign({n: result[n] for n in sites})


def grid_of(draws: xr.Dataset) -> Grid:
    """Return the grid of draws, with the active part that their attributes state or that their
    finite values show."""
    grid = grid_from(draws, "the result")
    parameters = json.loads(draws.attrs.get("pde_parameters", "{}"))
    for domain in _named(parameters, "domain"):
        if isinstance(domain, Mapping) and domain.get("active") is not None:
            return replace(grid, active=Region.of(domain["active"]))
    for values in draws.data_vars.values():
        if {"y", "x"} <= {*values.dims}:
            others = [dim for dim in values.dims if dim not in ("y", "x")]
            finite = values.notnull().any(others).transpose("y", "x").values
            if not finite.all() and finite.any():
                return replace(grid, active=Region.of(finite))
            break
    return grid


def stated(draws: xr.Dataset, name: str) -> list[Any]:
    """Return the different values of a parameter that the physics of draws states, in any of its
    experiments."""
    parameters = json.loads(draws.attrs.get("pde_parameters", "{}"))
    return [json.loads(one) for one in dict.fromkeys(map(json.dumps, _named(parameters, name)))]


def _named(parameters: Any, name: str) -> Iterator[Any]:
    """Yield the values of a name, in a nested object."""
    if isinstance(parameters, Mapping):
        for key, value in parameters.items():
            if key == name:
                yield value
            else:
                yield from _named(value, name)
    elif isinstance(parameters, list):
        for one in parameters:
            yield from _named(one, name)
