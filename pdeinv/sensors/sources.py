"""Tables of sensors from Python: every form with named columns, as a pandas table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr

from pdeinv.errors import InputError
from pdeinv.sensors.columns import COLUMNS, experiment_name

if TYPE_CHECKING:
    from narwhals.typing import IntoFrame

__all__ = ["SensorTable", "as_table", "place_of"]

SensorTable: TypeAlias = (
    "pd.DataFrame | xr.Dataset | xr.DataArray | Mapping[Any, Any] | Sequence[Any] | np.ndarray"
    " | IntoFrame"
)
"""A table with named columns in Python."""
_USE = "give one with the columns field, x, y, value and, optionally, noise_std, or its file's name"


def as_table(source: SensorTable) -> pd.DataFrame:
    """Return a table with named columns as a new pandas table with rows 0, 1, ....

    Arguments:
        source: a pandas table, whose named index counts as columns; a dict of columns; a list of
            records (dicts, named tuples or dataclasses); a structured array; an xarray Dataset with
            its variables along one dimension; a DataArray along one dimension, named after its
            field, with the coordinates x and y; or a table of polars, pyarrow, dask or another
            library that narwhals reads.

    Raises:
        InputError: it is none of these.
    """
    try:
        table = _converted(source)
    except InputError:
        raise
    except Exception as error:  # other libraries have exceptions of their own
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise InputError(
            f"the sensor table cannot be read from a {type(source).__name__} ({reason}); {_USE}"
        ) from error
    if table is None:
        raise InputError(
            f"the sensors must be a table with named columns, got a {type(source).__name__}; {_USE}"
        )
    return table.set_axis([str(name).strip() for name in table.columns], axis=1)


def _converted(source: object) -> pd.DataFrame | None:
    if isinstance(source, pd.DataFrame):
        named = [name is not None for name in source.index.names]
        return source.reset_index(drop=not any(named))
    if isinstance(source, xr.DataArray):
        source = _of_array(source)
    if isinstance(source, xr.Dataset):
        return _of_dataset(source)
    if isinstance(source, np.ndarray) and source.dtype.names:
        source = {name: source[name] for name in source.dtype.names}
    if isinstance(source, Mapping):
        return pd.DataFrame({name: _column(values) for name, values in source.items()})
    if isinstance(source, list | tuple):
        records = source and all(
            isinstance(row, Mapping) or hasattr(row, "_asdict") or dataclasses.is_dataclass(row)
            for row in source
        )
        return pd.DataFrame(list(source)) if records else None
    if callable(getattr(source, "compute", None)):  # dask
        return _converted(source.compute())  # type: ignore[attr-defined]
    import narwhals as nw  # late: few tables need it

    frame = nw.from_native(source, pass_through=True)
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, nw.DataFrame):
        columns = {name: frame[name].to_list() for name in frame.columns}
        return pd.DataFrame(
            {name: pd.Series(values, dtype=object) for name, values in columns.items()}
        )
    return None


def _column(values: object) -> object:
    """Return tensors and the like as arrays."""
    if isinstance(values, pd.Series | np.ndarray) or not hasattr(values, "__array__"):
        return values
    return np.asarray(values)


def _of_array(array: xr.DataArray) -> xr.Dataset:
    for dim in array.dims:  # a matrix whose columns are named
        if dim in array.coords and {"field", "x", "y", "value"} <= set(array[dim].values.tolist()):
            return array.to_dataset(dim)
    if array.ndim == 1 and (array.name is not None or "field" in array.coords):
        dataset = array.rename("value").to_dataset()
        return dataset if "field" in dataset else dataset.assign(field=str(array.name))
    raise InputError(
        f"a DataArray of sensors must be named after its field and have one dimension, got "
        f"{array.name!r} with {tuple(array.dims)}; select its values at points x, y"
    )


def _of_dataset(dataset: xr.Dataset) -> pd.DataFrame:
    if len(dataset.dims) != 1:
        raise InputError(
            f"a Dataset of sensors must have its readings along one dimension, got "
            f"{tuple(dataset.dims)}; give field, x, y, value and, optionally, noise_std along one"
        )
    (dim,) = dataset.dims
    table = dataset.to_dataframe().reset_index()
    # What does not tell the readings apart is no column: their count, and single coordinates
    given = [name for name, c in dataset.coords.items() if c.ndim == 0]
    if np.array_equal(table[dim].to_numpy(), np.arange(len(table))):
        given.append(dim)
    return table.drop(columns=[name for name in given if name not in COLUMNS])


def place_of(truth: xr.DataArray) -> dict[str, str]:
    """Return the experiment, the replicate and the time of a field, as columns, where it has them.

    Raises:
        InputError: the time is no real number, such as a date.
    """
    place = {
        name: experiment_name(pd.Series(truth[name].values[None])[0])  # a date stays one
        for name in ("experiment", "replicate")
        if name in truth.coords
    }
    if "time" in truth.coords:
        if truth["time"].dtype.kind not in "iuf" or truth["time"].ndim:
            raise InputError(
                f"the coordinate time of the truth must be one number, got {truth['time'].dtype} "
                f"of the shape {truth['time'].shape}; convert it to the unit of the "
                f"physics, or drop it with drop_vars('time')"
            )
        place["time"] = repr(float(truth["time"].item()))
    return place
