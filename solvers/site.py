"""What surrounds the fields of a result, and what lies within: sides, features and wells."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from pdeinv.datasets.base import PDE
from pdeinv.datasets.features import Feature
from pdeinv.datasets.sides import SIDES, Flux, Side, Sides, Value, axis_of
from pdeinv.datasets.wells import Well
from pdeinv.grid import Domain

__all__ = ["with_site"]

_POSITIONS = 33
"""Values of a function along a side that a result holds."""


def with_site(result: xr.Dataset, pde: PDE) -> xr.Dataset:
    """Return a result with the sides and the wells of its physics, whose parameters state them.

    The attribute `boundary` is a JSON list with an object for each physics that has conditions on
    sides: its `experiment`, which may be empty; the `field` that they concern and its `units`; and
    the conditions on `left`, `right`, `bottom` and `top`, as `Side.to_json` has them. A function is
    given by its values at equally spaced positions with both ends, an uncertain quantity by its
    mean a priori. The attribute `features` is a list with an object for each feature: its
    `experiment`, and what `Feature.describe` returns. Wells are the variables `well_x`, `well_y`
    and `well_rate` (well), and `well_experiment` where there are experiments.

    Arguments:
        result: the fields.
        pde: the physics.
    """
    physics: Mapping[str, PDE] = pde.experiments or {"": pde}
    boundary = [
        {
            "experiment": name,
            "field": one.solution_field.name,
            "units": one.solution_field.units,
            **_stated(sides, one.domain),
        }
        for name, one in physics.items()
        for sides in _parameters(one, Sides)
    ]
    wells = [
        (well, one.well_units, name)
        for name, one in physics.items()
        for well in _parameters(one, Well)
    ]
    features = [
        {"experiment": name, **feature.describe()}
        for name, one in physics.items()
        for feature in _parameters(one, Feature)
    ]
    if boundary:
        result = result.assign_attrs(boundary=json.dumps(boundary))
    if features:
        result = result.assign_attrs(features=json.dumps(features))
    return result.assign(_columns(wells, pde)) if wells else result


def _parameters(pde: PDE, kind: type) -> Iterator[Any]:
    """Yield the parameters of a kind, and the members of those that are tuples of it."""
    for value in pde.parameters.values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, kind):
                yield one


def _stated(sides: Sides, domain: Domain) -> dict[str, Any]:
    filled = {name: _with_values(side, domain, name) for name, side in sides.items()}
    return {name: side.to_json(f"the {name} side") for name, side in filled.items()}


def _with_values(side: Side, domain: Domain, name: str) -> Side:
    """Return the condition of a side with numbers or values in the place of a function, of an
    unknown number, and of the mean of an uncertain quantity."""
    quantity = side.quantity.expected
    values: Any = quantity.value
    if callable(values):
        axis, place = axis_of(name), domain.extent[SIDES.index(name)]
        points = np.full((_POSITIONS, 2), place)
        start, end = domain.extent[2 * axis : 2 * axis + 2]
        points[:, axis] = np.linspace(start, end, _POSITIONS)
        values = quantity.at(points, domain, axis)
    elif quantity is side.quantity and quantity.known:
        return side
    elif isinstance(values, float):
        values = float(values)
    return Value(values) if side.fixes_value else Flux(values)


def _columns(wells: list[tuple[Well, str, str]], pde: PDE) -> dict[str, Any]:
    place = {"units": pde.domain.unit}
    rate = {
        "long_name": "what enters through the well per time; negative where it extracts",
        "units": wells[0][1],
    }
    columns = {
        "well_x": ("well", np.array([w.x for w, _, _ in wells]), {"long_name": "x", **place}),
        "well_y": ("well", np.array([w.y for w, _, _ in wells]), {"long_name": "y", **place}),
        "well_rate": ("well", np.array([w.rate for w, _, _ in wells]), rate),
    }
    if pde.experiments:
        names = np.array([name for _, _, name in wells], dtype=object)
        columns["well_experiment"] = ("well", names, {"long_name": "experiment of the well"})
    return columns
