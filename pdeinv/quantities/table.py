"""The quantities of a result as variables of it, and as lines for people."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.estimates import estimate_in_words
from pdeinv.quantities.base import PosteriorMap, Quantity
from pdeinv.quantities.evaluation import Function, quantity
from pdeinv.quantities.intervals import check_draws
from pdeinv.sensors.column_names import nearest

__all__ = [
    "Wanted",
    "check_fields",
    "check_quantities",
    "fields_needed",
    "quantity_lines",
    "with_quantities",
]

Wanted = Mapping[str, "Quantity | PosteriorMap | Function"]
"""Quantities by their names."""

Whole = TypeVar("Whole", bound=xr.Dataset)

_SAME = 1e-9  # relative difference of numbers that are one
_NAME = re.compile(r"[A-Za-z_][\w.+-]*")
_LABELS = {
    "mean": "posterior mean",
    "std": "posterior standard deviation",
    "low": "low end of the 90 % interval",
    "high": "high end of the 90 % interval",
    "samples": "posterior samples",
}


def check_quantities(wanted: Wanted | None, n_samples: int) -> Wanted:
    """Return the quantities that a result is to have.

    Raises:
        InputError: a name cannot be that of a variable, a quantity is none, or there are too few
            samples for an interval.
    """
    if wanted is None:
        return {}
    if not isinstance(wanted, Mapping):
        raise InputError(
            f"quantities must be a mapping from names, got {described(wanted)}; give them as "
            f"{{'outflow': Flux(side='left')}}"
        )
    for name, one in wanted.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(
                f"the name of a quantity must begin with a letter and have letters, digits, and "
                f"_ . + - alone, got {described(name)}; rename it"
            )
        if not isinstance(one, PosteriorMap):
            check_draws(n_samples)
            if not callable(one):
                raise InputError(
                    f"the quantity {name!r} must be one of pdeinv.quantities or a function of a "
                    f"draw, got {described(one)}; give one of them"
                )
    return wanted


def fields_needed(wanted: Wanted) -> list[str]:
    """Return the names of the fields that quantities need; a function's are not known."""
    stated = [one for one in wanted.values() if isinstance(one, Quantity | PosteriorMap)]
    return [field for one in stated for field in one.fields]


def check_fields(wanted: Wanted, known: Iterable[str], physics: str) -> None:
    """Refuse quantities of fields that a physics lacks.

    Arguments:
        wanted: the quantities by their names.
        known: names of its fields.
        physics: its name.

    Raises:
        InputError: there is one.
    """
    names = list(dict.fromkeys(known))
    for name, one in wanted.items():
        for field in fields_needed({name: one}):
            if field not in names:
                raise InputError(
                    f"the quantity {name!r} must be of fields of {physics}, {', '.join(names)}, "
                    f"got {field!r}; {nearest(field, names)}, or give a function of a draw"
                )


def with_quantities(result: Whole, wanted: Wanted) -> Whole:
    """Return a result with quantities.

    Numbers are the variables `quantity_mean`, `quantity_std`, `quantity_low`, `quantity_high`
    (quantity) and `quantity_samples` (quantity, sample), with their units and what they are in
    `quantity_units` and `quantity_label`; `quantity_infinite` counts the samples without a finite
    value. A quantity with further dimensions is `{name}_mean` and so on, and a map of
    `Exceedance` or `Quantile` has its own name.

    Arguments:
        result: of `pdeinv.reconstruct`.
        wanted: the quantities by their names.

    Raises:
        InputError: the result has a variable of such a name, or lacks a field.
    """
    numbers: dict[str, xr.Dataset] = {}
    maps: dict[str, xr.DataArray] = {}
    for name, one in wanted.items():
        if isinstance(one, PosteriorMap):
            maps[name] = one.of(result)
            continue
        found = quantity(result, one)
        if {*found["samples"].dims} <= {"sample", "replicate"}:
            numbers[name] = found
        else:
            maps |= {f"{name}_{what}": found[what] for what in _LABELS}
    taken = [name for name in (*maps, *numbers) if name in result.variables]
    if taken:
        raise InputError(
            f"the name of a quantity must not be that of a variable of the result, got "
            f"{taken[0]!r}; choose another"
        )
    return result.assign({**maps, **(_columns(numbers) if numbers else {})})


def _columns(numbers: Mapping[str, xr.Dataset]) -> dict[str, xr.DataArray]:
    """Return numbers as variables with the dimension `quantity`."""
    names = xr.DataArray(np.array([*numbers], dtype=object), dims="quantity")
    over = names.assign_coords(quantity=names)["quantity"]
    columns = {}

    def column(parts: list[xr.DataArray], label: str) -> xr.DataArray:
        plain = [one.rename(None).drop_attrs() for one in parts]
        found = xr.concat(plain, dim=over, coords="minimal", compat="override")
        return found.assign_attrs(long_name=label)

    for what, label in _LABELS.items():
        parts = [one[what] for one in numbers.values()]
        columns[f"quantity_{what}"] = column(parts, f"{label} of the quantity")
    samples = [one["samples"] for one in numbers.values()]
    counts = [(one.isin([np.inf, -np.inf]) | one.isnull()).sum("sample") for one in samples]
    label = "samples without a finite value of the quantity"
    columns["quantity_infinite"] = column(counts, label)
    for what, key in (("units", "units"), ("label", "long_name")):
        texts = [one["samples"].attrs[key] for one in numbers.values()]
        texts = [text.removeprefix("posterior samples of the ") for text in texts]
        text = xr.DataArray(np.array(texts, dtype=object), {"quantity": over}, ("quantity",))
        columns[f"quantity_{what}"] = text.assign_attrs(long_name=f"{what} of the quantity")
    return columns


def quantity_lines(result: xr.Dataset, wanted: Wanted) -> Iterator[str]:
    """Yield a line for each quantity of a result, of each replicate, and the range of each map.

    Arguments:
        result: of `with_quantities`.
        wanted: the quantities.
    """
    for name in wanted:
        if "quantity" in result.dims and name in result["quantity"].values:
            yield from _number_lines(result, name)
        else:
            shown = result[name if name in result else f"{name}_mean"]
            low, high = float(shown.min()), float(shown.max())
            what = "" if name in result else "posterior mean "
            units = _behind(str(shown.attrs.get("units", "1")))
            yield f"{name} {what}from {low:.3g} to {high:.3g}{units} on {shown.size} places"


def _number_lines(result: xr.Dataset, name: str) -> Iterator[str]:
    part = result.sel(quantity=name)
    units, n = str(part["quantity_units"].item()), result.sizes["sample"]
    several = "replicate" in part["quantity_mean"].dims
    for where in part["replicate"].values if several else [None]:
        one = part.sel(replicate=where) if several else part
        mean, low, high = (float(one[f"quantity_{what}"]) for what in ("mean", "low", "high"))
        label = f"replicate {where}: " if several else ""
        lost = int(one["quantity_infinite"])
        yield (
            label
            + _in_words(name, mean, low, high, units)
            + (f"; {lost} of {n} samples have no finite value" if lost else "")
        )


def _in_words(name: str, mean: float, low: float, high: float, units: str) -> str:
    if abs(high - low) <= _SAME * abs(mean):
        return f"{name} {mean:.6g}{_behind(units)} in all samples"
    if all(map(math.isfinite, (mean, low, high))):
        return estimate_in_words(name, mean, low, high, units)
    return f"{name} {mean:.3g}{_behind(units)} (90 %: {low:.3g} to {high:.3g})"


def _behind(units: Any) -> str:
    return "" if units == "1" else f" {units}"
