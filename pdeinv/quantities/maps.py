"""Maps of the posterior of a field: the probability to exceed a threshold, and quantiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr
from scipy.special import ndtr, ndtri

from pdeinv.checks import Bounds, number
from pdeinv.quantities.base import PosteriorMap, check_known
from pdeinv.quantities.draws import field_label, field_names
from pdeinv.quantities.intervals import check_draws, quantile_of_draws

__all__ = ["Exceedance", "Quantile", "exceedance", "quantile"]

_EXACT = "gaussian"  # solver of a posterior that is a normal law where all numbers are known


def exceedance(result: xr.Dataset, field: str, threshold: float) -> xr.DataArray:
    """Return the posterior probability that a field exceeds a threshold, at each node.

    It is that of the normal distribution with the posterior mean and standard deviation where the
    solver is `gaussian`, all numbers are known and no reading is censored or has a weight. For a
    field of two values it follows from its probability, and else it is the share of the samples.
    The attribute `law` states which: "normal", "two values" or "samples".

    Arguments:
        result: of `pdeinv.reconstruct`.
        field: its name.
        threshold: in its units.

    Raises:
        InputError: the result lacks the field, or the threshold is no finite number.
    """
    check_known(field, field_names(result), "the field of an exceedance")
    threshold = number("threshold", threshold)
    law = _law(result, field)
    if law == "normal":
        mean, std = result[f"{field}_mean"], result[f"{field}_std"]
        above = xr.where(mean > threshold, 1.0, 0.0).where(mean.notnull())
        share = (mean - threshold) / std.where(std > 0)
        found = above.where(std == 0, ndtr(share.fillna(0.0))).where(mean.notnull())
    elif values := _two_values_of(result, field):
        low, high = values
        of_high = result[f"{field}_probability"]
        found = of_high if low <= threshold < high else of_high * 0 + float(threshold < low)
    else:
        samples = result[f"{field}_samples"]
        found = (samples > threshold).where(samples.notnull()).mean("sample")
    label = f"posterior probability that the {field_label(result, field)} exceeds {threshold:g}"
    units = str(result[f"{field}_samples"].attrs.get("units", "1"))
    label += "" if units == "1" else f" {units}"
    return _plain(found, long_name=label, units="1", law=law)


def quantile(result: xr.Dataset, field: str, q: float) -> xr.DataArray:
    """Return the value that a field is below with a probability q, at each node.

    Samples are read as in `pdeinv.quantities.intervals`; see `exceedance` for the law.

    Arguments:
        result: of `pdeinv.reconstruct`.
        field: its name.
        q: between 0 and 1.

    Raises:
        InputError: the result lacks the field or has one sample alone, or q is out of its range.
    """
    check_known(field, field_names(result), "the field of a quantile")
    q = number("the probability of a quantile", q, Bounds(above=0, below=1))
    samples, law = result[f"{field}_samples"].transpose("sample", ...), _law(result, field)
    if law == "normal":
        found = result[f"{field}_mean"] + ndtri(q) * result[f"{field}_std"]
    elif values := _two_values_of(result, field):
        low, high = values
        of_high = result[f"{field}_probability"]
        found = xr.where(of_high > 1 - q, high, low).where(of_high.notnull())
    else:
        check_draws(samples.sizes["sample"])
        found = quantile_of_draws(samples, q)
    label = f"posterior quantile {q:g} of the {field_label(result, field)}"
    return _plain(found, long_name=label, units=samples.attrs.get("units", "1"), law=law)


@dataclass(frozen=True)
class Exceedance(PosteriorMap):
    """The map of `exceedance`.

    Arguments:
        field: its name.
        threshold: in its units.
    """

    field: str
    threshold: float
    noun: ClassVar[str] = "probability"

    def __post_init__(self) -> None:
        number("threshold", self.threshold)

    @property
    def fields(self) -> tuple[str, ...]:  # type: ignore[override]
        """The field alone."""
        return (self.field,)

    def of(self, result: xr.Dataset) -> xr.DataArray:
        return exceedance(result, self.field, self.threshold)


@dataclass(frozen=True)
class Quantile(PosteriorMap):
    """The map of `quantile`.

    Arguments:
        field: its name.
        q: between 0 and 1.
    """

    field: str
    q: float
    noun: ClassVar[str] = "quantile"

    def __post_init__(self) -> None:
        number("the probability of a quantile", self.q, Bounds(above=0, below=1))

    @property
    def fields(self) -> tuple[str, ...]:  # type: ignore[override]
        """The field alone."""
        return (self.field,)

    def of(self, result: xr.Dataset) -> xr.DataArray:
        return quantile(result, self.field, self.q)


def _law(result: xr.Dataset, field: str) -> str:
    """Return the law of a field at each node: normal, of two values, or that of the samples."""
    if _two_values_of(result, field):
        return "two values"
    censored = "sensor_censored" in result and bool((result["sensor_censored"] != "").any())
    known = "parameter" not in result.dims and "sensor_weight" not in result
    exact = result.attrs.get("solver") == _EXACT and known and not censored
    return "normal" if exact else "samples"


def _two_values_of(result: xr.Dataset, field: str) -> tuple[float, float] | None:
    """Return the two values of a field that has a probability of the high one; None where its
    samples have more, or one alone."""
    if f"{field}_probability" not in result:
        return None
    samples = result[f"{field}_samples"].values
    found = np.unique(samples[np.isfinite(samples)])
    return (float(found[0]), float(found[1])) if len(found) == 2 else None


def _plain(found: xr.DataArray, **attributes: str) -> xr.DataArray:
    """Return a map with these attributes alone."""
    found = found.rename(None).copy()
    found.attrs = dict(attributes)
    return found
