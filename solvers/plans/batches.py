"""Results of several tables of the same sensors as one dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

__all__ = ["along_tables"]

_OF_TABLE = ("value", "predicted", "predicted_std", "p_value", "log_density")
"""Columns of sensors that differ between tables."""
_ALWAYS = ("reduced_chi_squared", "degrees_of_freedom", "alarm", "seconds")
"""Attributes that are variables of several tables."""


def along_tables(results: Sequence[xr.Dataset]) -> xr.Dataset:
    """Return results along the leading dimension `table`.

    What describes the sensors and the site has no such dimension. Attributes that differ between
    tables become variables (table).

    Arguments:
        results: of the same sensors.
    """
    first = results[0]
    data = {}
    for name, variable in first.data_vars.items():
        if _is_shared(str(name)):
            data[name] = variable.variable
            continue
        parts = [one[name].values for one in results]
        if all(part is parts[0] for part in parts):  # kept once
            values = np.broadcast_to(parts[0], (len(parts), *parts[0].shape))
        else:
            values = np.stack(parts)
        data[name] = xr.Variable(("table", *variable.dims), values, variable.attrs)
    whole = xr.Dataset(data, first.coords)
    for name in dict.fromkeys(name for one in results for name in one.attrs):
        given = [one.attrs.get(name) for one in results]
        if name not in _ALWAYS and all(value == given[0] for value in given):
            whole.attrs[name] = given[0]
            continue
        numeric = all(isinstance(value, int | float) for value in given)
        column = np.array(given if numeric else list(map(str, given)), None if numeric else object)
        label = {"long_name": f"{name.replace('_', ' ')} of the table"}
        whole[name] = ("table", column, label)
    return whole


def _is_shared(name: str) -> bool:
    prefix, _, column = name.partition("_")
    return prefix == "well" or (prefix == "sensor" and column not in _OF_TABLE)
