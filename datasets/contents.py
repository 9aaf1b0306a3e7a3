"""A dataset's PDE, and the values of its fields, checked at one place for every kind of file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
import xarray as xr

from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.header import Header
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.datasets.versions import physics_and_prior
from pdeinv.errors import InputError
from pdeinv.external import UnknownFile, named_by_data
from pdeinv.files import reading_failure
from pdeinv.memory import check_memory

__all__ = [
    "DIMENSIONS",
    "check_fields",
    "field_values",
    "find_pde",
    "pde_of",
    "prior_of",
    "problem_of",
    "states",
]

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


def states(dataset: xr.Dataset, pde: PDE) -> torch.Tensor:
    """Return the states of a dataset, (samples, channels, ny, nx), float64.

    Arguments:
        dataset: all of the PDE's `fields`, with the dimensions sample (optional), y and x.
        pde: the PDE.

    Raises:
        InputError: the dataset does not hold the PDE's fields, or not on the PDE's grid; or a value
            is not finite, far beyond all others or not positive where the coefficient is.
    """
    names = check_fields(pde, map(str, dataset.data_vars))
    chosen = _select(dataset, names)
    ny, nx = chosen.sizes["y"], chosen.sizes["x"]
    if min(ny, nx) < 4:
        raise InputError(
            f"a dataset of {pde.name} must have at least 4 nodes per side, got {ny} x {nx}; use "
            f"finer fields"
        )
    grid = pde.grid(ny, nx)
    for axis, nodes, length in zip(
        ("y", "x"), grid.coordinates(), grid.domain.lengths[::-1], strict=True
    ):
        if not _close(chosen[axis], nodes.numpy(), 1e-6 * length):
            first, last = (described(chosen[axis].values[i].item()) for i in (0, -1))
            raise InputError(
                f"the {axis} coordinates of a dataset of {pde.name} must be those of a "
                f"{pde.grid_kind} grid of {ny} x {nx} nodes on {grid.domain}, got {first} to "
                f"{last}; use whole fields on the grid that they were made on, and give the PDE "
                f"their domain"
            )
    return torch.from_numpy(field_values(chosen, names, pde))


def check_fields(pde: PDE, held: Iterable[str]) -> list[str]:
    """Return the names of a PDE's fields.

    Raises:
        InputError: they are not all among the variables held.
    """
    names, held = [field.name for field in pde.fields], sorted(held)
    if set(names) - set(held):
        raise InputError(
            f"a dataset of {pde.name} must hold {' and '.join(names)}, got "
            f"{', '.join(held) or 'no variables'}; use the PDE that it was made for"
        )
    return names


def _close(coordinate: xr.DataArray, nodes: np.ndarray, distance: float) -> bool:
    return coordinate.dtype.kind in "fiu" and np.allclose(coordinate, nodes, rtol=0, atol=distance)


def field_values(
    dataset: xr.Dataset, names: Sequence[str], pde: PDE | None, dtype: type = np.float64
) -> np.ndarray:
    """Return the checked values of some fields, (samples, fields, ny, nx).

    Arguments:
        dataset: the fields, with the dimensions sample (optional), y and x.
        names: the fields.
        pde: the PDE, whose coefficient may be positive; None if it is unknown.
        dtype: type of the values.

    Raises:
        InputError: a field has other dimensions or no real numbers, or cannot be read; or a value
            is not finite, far beyond all others or not positive where the coefficient is.
    """
    chosen = _select(dataset, names)
    size = sum(math.prod(chosen[name].shape) for name in names)
    check_memory(
        size * (2 * np.dtype(dtype).itemsize + 8),  # the fields, their stack and the checks
        f"the values of {' and '.join(names)}",
        "select fewer samples",
    )
    return np.stack([_values(chosen[name], pde, dtype) for name in names], axis=1)


def _select(dataset: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """Return the fields, with the dimensions sample, y and x, of real numbers."""
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


def _values(variable: xr.DataArray, pde: PDE | None, dtype: type) -> np.ndarray:
    try:
        values = variable.transpose(*DIMENSIONS).to_numpy()
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise reading_failure(
            f"the field {variable.name!r}", error, "cannot be read; generate or download it again"
        ) from None
    with np.errstate(over="ignore"):
        values = values.astype(dtype, copy=False)
    if pde is not None and pde.domain.active is not None:
        values = _filled(values, pde)
    _refuse(~np.isfinite(values), values, variable, "finite", "drop or mend the sample")
    if pde and pde.positive_coefficient and variable.name == pde.coefficient_field.name:
        wrong = ~(values > 0)
        _refuse(wrong, values, variable, f"positive for {pde.name}", "drop or mend the sample")
    _refuse(_outliers(values), values, variable, *_OUTLIER_RULE)
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
    bad: np.ndarray, values: np.ndarray, variable: xr.DataArray, rule: str, remedy: str
) -> None:
    """Refuse values of which some are bad, and name the first."""
    if bad.any():
        sample, y, x = np.unravel_index(int(bad.argmax()), bad.shape)
        raise InputError(
            f"the values of {variable.name!r} must be {rule}, got {values[sample, y, x]:g} in "
            f"sample {sample} at y index {y}, x index {x}; {remedy}"
        )


def pde_of(dataset: xr.Dataset) -> PDE:
    """Return the PDE that a dataset was made with.

    Arguments:
        dataset: as of `problem_of`.
    """
    return _stated(dataset, prior=False)[0]


def prior_of(dataset: xr.Dataset) -> CoefficientPrior | None:
    """Return the distribution of a dataset's coefficients; None where it states none.

    A file of `generate` states it, and a MATLAB file of DiffusionPDE's is of the published one. A
    prior of one's own is not known where the caller has not loaded its Python file.

    Arguments:
        dataset: as of `problem_of`.

    Raises:
        InputError: what it states is wrong.
    """
    known = Header.read(dataset.attrs, "the dataset").pde in PDES
    try:
        return _stated(dataset)[1] if known else None
    except UnknownFile:
        return None


def problem_of(dataset: xr.Dataset) -> Problem:
    """Return the problem that a dataset was made with: the PDE with its recorded parameters, and
    the prior of its coefficients, or the `default_prior` of the PDE where it states none.

    Arguments:
        dataset: its attribute `pde` is the name; `pde_parameters` (JSON), `prior` (JSON) and
            `final_time` are optional.

    Raises:
        InputError: the dataset names no registered PDE, or its parameters or its prior are wrong,
            or are of a Python file that the caller has not loaded: it is not run.
    """
    return Problem(*_stated(dataset))  # type: ignore[arg-type]  # a prior of None is the default


def _stated(dataset: xr.Dataset, *, prior: bool = True) -> tuple[PDE, CoefficientPrior | None]:
    """Return the PDE that a dataset states, and the prior if it is wanted."""
    if dataset.attrs.get("pde") is None:
        raise InputError(
            "a dataset must have the attribute 'pde', got none; open it with "
            "pdeinv.datasets.open_dataset or set the attribute"
        )
    header = Header.read(dataset.attrs, "the dataset")
    parameters = dict(header.pde_parameters)
    if header.final_time is not None:  # the last time of a MATLAB file
        parameters.setdefault("time", header.final_time)
    with named_by_data():
        if header.prior is None:  # of a file of version 2 or before, or of another program
            return physics_and_prior(str(header.pde), parameters)
        pde = pde_by_name(str(header.pde), **parameters)
        try:
            stated = CoefficientPrior.of(header.prior, "the prior of the dataset")
        except UnknownFile:
            if prior:
                raise
            return pde, None
        return Problem(pde, stated).physics, stated


def find_pde(dataset: xr.Dataset) -> PDE | None:
    """Return the PDE of a dataset as `pde_of`, or None where it names no registered PDE.

    Arguments:
        dataset: as of `problem_of`.

    Raises:
        InputError: the dataset's parameters are wrong.
    """
    known = Header.read(dataset.attrs, "the dataset").pde in PDES
    return pde_of(dataset) if known else None
