"""A dataset's PDE, and the values of its fields, checked at one place for every kind of file."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import xarray as xr

from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.header import Header
from pdeinv.datasets.problem import Problem
from pdeinv.datasets.registry import PDES, pde_by_name
from pdeinv.datasets.values import DIMENSIONS, checked_fields, field_values
from pdeinv.datasets.versions import physics_and_prior
from pdeinv.errors import InputError
from pdeinv.external import UnknownFile, named_by_data

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
    chosen = checked_fields(dataset, names)
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
