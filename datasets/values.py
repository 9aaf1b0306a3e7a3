"""The values of a dataset's fields, checked at one place for every kind of file."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import xarray as xr

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.files import reading_failure
from pdeinv.memory import check_memory

__all__ = ["DIMENSIONS", "checked_fields", "field_values", "plain_values", "values_memory"]

DIMENSIONS = ("sample", "y", "x")
_OUTLIER = 1e6  # times the typical size of a field's values
_FILLS = (-999.0, -9999.0, -99999.0, -32767.0, -32768.0)
"""Values that other programs write where there is none; the usual large ones are outliers."""
_FILLED = 1e3  # times the typical size, from which such a value is not taken for a measured one
_RARE = 1e-3  # share of the largest values, which the typical size leaves out
_OUTLIER_RULE = (
    f"at most {_OUTLIER:g} times their typical size, and no fill value",
    "replace it, or download a damaged file again",
)


def field_values(
    dataset: xr.Dataset,
    names: Sequence[str],
    pde: PDE | None,
    dtype: type = np.float64,
    first: int = 0,
) -> np.ndarray:
    """Return the checked values of some fields, (samples, fields, ny, nx).

    Arguments:
        dataset: the fields, with the dimensions sample (optional), y and x.
        names: the fields.
        pde: the PDE, whose coefficient may be positive; None if it is unknown.
        dtype: type of the values.
        first: number of the first sample, for messages.

    Raises:
        InputError: a field has other dimensions or no real numbers, or cannot be read; or a value
            is not finite, far beyond all others or not positive where the coefficient is.
    """
    chosen = checked_fields(dataset, names)
    check_memory(
        values_memory(chosen, names, dtype),
        f"the values of {' and '.join(names)}",
        "select fewer samples",
    )
    return np.stack([_values(chosen[name], pde, dtype, first) for name in names], axis=1)


def values_memory(dataset: xr.Dataset, names: Sequence[str], dtype: type = np.float64) -> float:
    """Return the bytes that reading and checking the values of fields takes.

    Arguments:
        dataset, names, dtype: as of `field_values`.
    """
    size = sum(math.prod(dataset[name].shape) for name in names)
    return size * (2 * np.dtype(dtype).itemsize + 8)  # the fields, their stack and the checks


def checked_fields(dataset: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return the fields, with the dimensions sample, y and x, of real numbers.

    Arguments:
        dataset: the fields, with the dimensions sample (optional), y and x.
        names: the fields.

    Raises:
        InputError: a field has other dimensions, or no real numbers.
    """
    chosen = dataset[list(names)]
    if "sample" not in chosen.dims:  # one instance, selected
        chosen = chosen.expand_dims("sample")
    for name in names:
        if set(chosen[name].dims) != set(DIMENSIONS):
            raise InputError(
                f"the dimensions of {name!r} must be {DIMENSIONS}, got {chosen[name].dims}; rename "
                f"or select them"
            )
        if chosen[name].dtype.kind not in "fiu":
            raise InputError(
                f"the values of {name!r} must be real numbers, got {chosen[name].dtype}; convert "
                f"them"
            )
    return chosen


def plain_values(variable: xr.DataArray, dtype: type) -> np.ndarray:
    """Return the values of a field, (samples, ny, nx), unchecked.

    Arguments:
        variable: the field, with the dimensions sample, y and x.
        dtype: type of the values.

    Raises:
        InputError: they cannot be read.
    """
    try:
        values = variable.transpose(*DIMENSIONS).to_numpy()
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise reading_failure(
            f"the field {variable.name!r}", error, "cannot be read; generate or download it again"
        ) from None
    with np.errstate(over="ignore"):
        return values.astype(dtype, copy=False)


def _values(variable: xr.DataArray, pde: PDE | None, dtype: type, first: int) -> np.ndarray:
    values = plain_values(variable, dtype)
    if pde is not None and pde.domain.active is not None:
        values = _filled(values, pde)
    _refuse(~np.isfinite(values), values, variable, first, "finite", "drop or mend the sample")
    if pde and pde.positive_coefficient and variable.name == pde.coefficient_field.name:
        wrong = ~(values > 0)
        rule = f"positive for {pde.name}", "drop or mend the sample"
        _refuse(wrong, values, variable, first, *rule)
    _refuse(_outliers(values), values, variable, first, *_OUTLIER_RULE)
    return values


def _filled(values: np.ndarray, pde: PDE) -> np.ndarray:
    """Return values with their mean at inactive nodes, where nothing depends on them."""
    active = pde.grid(*values.shape[-2:]).active_nodes
    assert active is not None
    mean = values[:, active.numpy()].mean()
    return np.where(active.numpy(), values, mean)


def _outliers(values: np.ndarray) -> np.ndarray:
    """Return which values are beyond all reason, given the others.

    The largest value does not count among the others, wherever it is: a fill value may cover a
    region.
    """
    size = np.abs(values, dtype=np.float64)
    largest = float(size.max(initial=0.0))
    nothing = np.zeros(values.shape, bool)
    if not largest:
        return nothing
    size /= largest  # no sum overflows
    others = size[size < 1]
    rare = max(1, int(_RARE * others.size))
    marked = np.isin(values, _FILLS)
    if not marked.any() and others.size <= _OUTLIER * (float(others.sum()) - rare):
        return nothing
    rest = np.partition(others, -rare)[:-rare] if others.size > rare else others[:0]
    typical = float(rest.mean()) if rest.size else 0.0
    return (typical > 0) & ((size > _OUTLIER * typical) | marked & (size > _FILLED * typical))


def _refuse(
    bad: np.ndarray,
    values: np.ndarray,
    variable: xr.DataArray,
    first: int,
    rule: str,
    remedy: str,
) -> None:
    """Refuse values of which some are bad, and name the first."""
    if bad.any():
        sample, y, x = np.unravel_index(int(bad.argmax()), bad.shape)
        raise InputError(
            f"the values of {variable.name!r} must be {rule}, got {values[sample, y, x]:g} in "
            f"sample {first + sample} at y index {y}, x index {x}; {remedy}"
        )
