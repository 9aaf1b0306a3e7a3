"""The result of a reconstruction: a Dataset with methods."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import xarray as xr

import pdeinv.accessor  # noqa: F401 - registers itself
from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.files import check_path
from pdeinv.netcdf_input import load_netcdf
from pdeinv.quantities import Quantity, evaluation, maps
from pdeinv.quantities.evaluation import Function
from pdeinv.quantities.intervals import LEVEL
from pdeinv.schema import parse_json
from pdeinv.story import story_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from pdeinv.coefficients import CoefficientPrior
    from pdeinv.datasets import Problem
    from pdeinv.priors import Ensemble

__all__ = ["Result", "open_result"]

_JSON: dict[str, type] = {
    **dict.fromkeys(("solver_settings", "pde_parameters", "interpolation_order"), dict),
    **dict.fromkeys(("parameter_laws", "kernels"), dict),
    **dict.fromkeys(("extent", "boundary", "features", "earlier_readings"), list),
    "part_probabilities": list,
}
"""What the attributes of a result hold, as JSON."""

_OF_MEAN = ("_std", "_samples")  # whose dimensions follow from those of the mean


class Result(xr.Dataset):
    """What `pdeinv.reconstruct` returns: an xarray Dataset, with methods for what follows from its
    samples. Operations of xarray keep the class.

    Arguments:
        data_vars, coords, attrs: as of `xarray.Dataset`.
    """

    __slots__ = ()

    @classmethod
    def of(cls, dataset: xr.Dataset) -> Self:
        """Return a Dataset with the methods of a result; the values are not copied."""
        return cls(dataset.data_vars, dataset.coords, dataset.attrs)

    def quantity(
        self, f: Quantity | Function, *, level: float = LEVEL, units: str = ""
    ) -> xr.Dataset:
        """Return a quantity with its interval: see `pdeinv.quantities.quantity`."""
        return evaluation.quantity(self, f, level=level, units=units)

    def exceedance(self, field: str, threshold: float) -> xr.DataArray:
        """Return the probability that a field exceeds a threshold, at each node: see
        `pdeinv.quantities.exceedance`."""
        return maps.exceedance(self, field, threshold)

    def quantile(self, *given: Any, **further: Any) -> Any:
        """Return the quantile of the posterior of a field, at each node, by `quantile(field, q)`:
        see `pdeinv.quantities.quantile`.

        Without the name of a field it is that of xarray, over dimensions of the Dataset.
        """
        if "field" in further or (given and isinstance(given[0], str)):
            return maps.quantile(self, *given, **further)
        return super().quantile(*given, **further)

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the story of the result, then the Dataset."""
        return story_of(self) + super()._repr_html_()

    def as_prior(
        self,
        problem: Problem | None = None,
        kind: Literal["auto", "gaussian", "ensemble"] = "auto",
    ) -> CoefficientPrior | Ensemble:
        """Return the posterior as the prior of further readings: see `pdeinv.as_prior`."""
        from pdeinv.solvers.turns import as_prior

        return as_prior(self, problem, kind)


def open_result(path: str | os.PathLike) -> Result:
    """Return the result in a NetCDF file, such as `pdeinv reconstruct` or `to_netcdf` writes.

    Arguments:
        path: the file.

    Raises:
        InputError: there is no such file, or it is no result.
    """
    if not check_path(path).is_file():
        raise InputError(f"the result {path} must be a file, got none; check its name")
    found = load_netcdf(Path(path), "must be a result of pdeinv; give another, or write it again")
    if "sensor_value" not in found:
        raise InputError(
            f"result {path} must be one of pdeinv.reconstruct, got one without sensors; give "
            f"another"
        )
    for name, variable in found.variables.items():
        _check_variable(path, found, str(name), variable)
    for name, kind in _JSON.items():
        _check_attribute(path, name, kind, found.attrs.get(name, json.dumps(kind())))
    return Result.of(found)


def _check_attribute(path: str | os.PathLike, name: str, kind: type, text: object) -> None:
    """Refuse an attribute that is no JSON of a kind."""
    try:
        if isinstance(text, str) and isinstance(parse_json(text), kind):
            return
    except ValueError:
        pass
    raise InputError(
        f"the attribute {name} of the result {path} must be a JSON "
        f"{'object' if kind is dict else 'array'}, got {described(text)}; ask for the file as it "
        f"was written"
    )


def _check_variable(
    path: str | os.PathLike, found: xr.Dataset, name: str, variable: xr.Variable
) -> None:
    """Refuse a variable of another kind, or of other dimensions, than a result has."""
    wrong = ""
    if len(variable.shape) != len(variable.dims):  # a list in a single place
        wrong = "must have a value for each place, got lists"
    elif not (variable.dtype.kind in "fiubU" or _is_text(variable)):
        wrong = f"must hold real numbers or text, got {variable.dtype}"
    elif name.startswith("sensor_") and variable.dims != ("sensor",):
        wrong = f"must have the dimension sensor, got {variable.dims}"
    elif name.endswith(_OF_MEAN) and (mean := f"{name.rpartition('_')[0]}_mean") in found:
        expected = {*found[mean].dims, *(["sample"] if name.endswith("_samples") else [])}
        if {*variable.dims} != expected:
            wrong = f"must have the dimensions {sorted(map(str, expected))}, got {variable.dims}"
    if wrong:
        raise InputError(f"{name} of the result {path} {wrong}; ask for the file as it was written")


def _is_text(variable: xr.Variable) -> bool:
    return variable.dtype.kind == "O" and all(isinstance(v, str) for v in variable.values.flat)
