"""Exchange with MODFLOW: a model as a problem, and the conductivity of a result in the model.

MODFLOW 6 and MODFLOW-2005 models of one confined layer are read and written by flopy, which the
extra `groundwater` installs. MODFLOW's finite differences are those of a cell grid with the
harmonic mean on its faces, so that both have the same heads.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.checks import described, path_of
from pdeinv.coefficients import CoefficientPrior, LogNormal
from pdeinv.coordinates import coordinates_of, grid_from
from pdeinv.datasets.modflow import version_6, version_2005
from pdeinv.datasets.modflow.layer import Layer
from pdeinv.datasets.modflow.physics import (
    CONDUCTIVITY,
    TRANSMISSIVITY,
    check_rivers,
    coefficients_of,
    conductivity_units,
    fields_of,
    physics_of,
)
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.files import ensure_folder
from pdeinv.grid import Grid

__all__ = ["read_conductivity", "read_modflow", "write_conductivity"]

_LOG_STD, _LENGTH = 1.0, 0.2  # of the usual prior; its length in shorter sides of the domain


def read_modflow(model: Any, prior: CoefficientPrior | None = None, *, period: int = 0) -> Problem:
    """Return the problem of a MODFLOW model of one confined layer in a steady stress period.

    Read are the grid (regular DIS), active cells, constant heads (CHD, or ibound < 0), wells (WEL),
    recharge (RCH), general heads (GHB), and rivers (RIV) as leaks: their heads must be above the
    bottoms of their beds. The coefficient is the hydraulic conductivity. Where the thickness
    varies, it is the transmissivity.

    Arguments:
        model: a simulation, a groundwater flow model of MODFLOW 6 or a model of MODFLOW-2005, as
            flopy has them; or the folder or the file of its names (`mfsim.nam`, or `.nam`).
        prior: of the conductivity, or of the transmissivity. If None, it is log-normal: its median
            is the geometric mean of the model, the standard deviation of the logarithm 1, and the
            length a fifth of the domain's shorter side.
        period: the stress period, from 0.

    Raises:
        InputError: the model cannot be read, or has what a problem does not have, such as drains.
    """
    layer, _ = _opened(model, period)
    physics = physics_of(layer)
    if prior is None:
        median = float(np.exp(np.log(coefficients_of(layer)[layer.active]).mean()))
        prior = LogNormal(median, _LOG_STD, _LENGTH * physics.domain.shorter)
    check_rivers(layer, physics)
    return Problem(physics, prior, physics.grid(*layer.grid.shape))


def read_conductivity(model: Any) -> xr.DataArray:
    """Return the model's own hydraulic conductivity on the grid of its problem, nan where inactive.

    Arguments:
        model: as of `read_modflow`.

    Raises:
        InputError: the model cannot be read, or has what a problem does not have.
    """
    layer, _ = _opened(model, 0)
    values = np.where(layer.active, layer.conductivity, np.nan)[::-1]
    field = Field(CONDUCTIVITY, "hydraulic conductivity", conductivity_units(layer))
    return xr.DataArray(
        values, coordinates_of(layer.grid), ("y", "x"), field.name, field.attributes
    )


def write_conductivity(
    result: xr.Dataset, model: Any, out: str | os.PathLike, *, sample: int | None = None
) -> Path:
    """Write the model with the conductivity of a result to a folder, and return the folder.

    Inactive cells keep the model's own conductivity. A transmissivity is divided by the thickness.
    The model that is given stays as it is.

    Arguments:
        result: of `reconstruct` with the problem of the model.
        model: as of `read_modflow`.
        out: the folder; other than the model's own.
        sample: which sample of the result, from 0; its mean if None.

    Raises:
        InputError: the result is not one of the model's problem, or the folder is the model's own.
    """
    layer, found = _opened(model, 0)
    name = fields_of(layer)[0].name
    values = _of_result(result, name, sample)
    _check_grid(grid_from(values, "the result"), layer.grid)
    coefficients = values.values[::-1].astype(float)
    if name == TRANSMISSIVITY:
        coefficients = coefficients / layer.thickness
    conductivity = np.where(layer.active, coefficients, layer.conductivity)
    folder, version = path_of("out", out), _version(found)
    own = found.simulation.sim_path if version is version_6 else found.model_ws
    if folder.resolve() == Path(own).resolve():
        raise InputError(f"out must be another folder than the model's own, got {folder}; name one")
    ensure_folder(folder)
    version.write(found, conductivity, folder)
    return folder


def _check_grid(found: Grid, wanted: Grid) -> None:
    near = np.allclose(found.extent, wanted.extent, rtol=0, atol=1e-3 * min(wanted.spacing))
    if (found.shape, found.kind) != (wanted.shape, wanted.kind) or not near:
        raise InputError(
            f"the grid of the result must be that of the model, {wanted} cells on {wanted.domain}, "
            f"got {found} nodes on {found.domain}; reconstruct with the model's problem"
        )


def _of_result(result: xr.Dataset, name: str, sample: int | None) -> xr.DataArray:
    mean, samples = f"{name}_mean", f"{name}_samples"
    if mean not in result or samples not in result:
        raise InputError(
            f"the result must hold {mean} and {samples}, got none; reconstruct with the model's "
            f"problem"
        )
    if sample is None:
        return result[mean]
    count = result.sizes["sample"]
    if not 0 <= sample < count:
        raise InputError(f"sample must be from 0 to {count - 1}, got {sample}; choose another")
    return result[samples].isel(sample=sample)


# Models


def _version(model: Any) -> Any:
    return version_6 if hasattr(model, "simulation") else version_2005


def _opened(given: Any, period: int) -> tuple[Layer, Any]:
    """Return the layer, and flopy's model."""
    try:
        import flopy
    except ImportError:
        raise InputError(
            "flopy must be installed to read MODFLOW models, got none; run pip install "
            "'pdeinv[groundwater]'"
        ) from None
    if isinstance(given, str | os.PathLike):
        given = _loaded(flopy, path_of("the model", given))
    if isinstance(given, flopy.mf6.MFSimulation):
        names = list(given.model_names)
        if len(names) != 1:
            raise InputError(
                f"a simulation must have one model, got {', '.join(names) or 'none'}; give the "
                f"groundwater flow model itself"
            )
        given = given.get_model(names[0])
    if not isinstance(given, flopy.mf6.ModflowGwf | flopy.modflow.Modflow):
        raise InputError(
            f"the model must be a path, or a groundwater flow model of flopy, got "
            f"{described(given)}; give one"
        )
    return _version(given).layer_of(given, period), given


def _loaded(flopy: Any, path: Path) -> Any:
    if path.is_dir():
        found = sorted(path.glob("mfsim.nam")) or sorted(path.glob("*.nam"))
        if len(found) != 1:
            raise InputError(
                f"the folder of a model must hold mfsim.nam or one file .nam, got {len(found)} in "
                f"{path}; give the file of its names"
            )
        path = found[0]
    try:
        if path.name == "mfsim.nam":
            return flopy.mf6.MFSimulation.load(sim_ws=str(path.parent), verbosity_level=0)
        return flopy.modflow.Modflow.load(path.name, model_ws=str(path.parent), check=False)
    except Exception as error:  # flopy has many
        raise InputError(
            f"the model must be one that flopy reads, got {path}, at which it fails with "
            f"{described(error)}; mend it"
        ) from None
