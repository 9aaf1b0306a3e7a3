"""The sides, the features and the wells of a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

__all__ = ["Outline", "Site", "Surrounding", "Wells"]


_FLUXES = {"flux", "no flux"}


class Surrounding(NamedTuple):
    """The condition on a side.

    Attributes:
        kind: "value", "flux", "no flux", "impedance" or "open".
        values: (m,) of the solution or of the flux into the domain, at equally spaced positions
            with both ends; one that is the same everywhere is (1,), as the admittance of an
            impedance is.
        std: posterior standard deviations of values that were inferred, (m,); else None.
    """

    kind: str
    values: np.ndarray
    std: np.ndarray | None = None

    @classmethod
    def of(cls, stated: Any) -> Surrounding:
        """Return the condition that a result states, as a JSON value."""
        if isinstance(stated, str):
            return cls(stated, np.zeros(1))
        ((kind, values),) = stated.items()
        values = np.unique(values) if np.ptp(values) == 0 else values
        return cls(kind, np.atleast_1d(np.asarray(values, dtype=np.float64)))

    def same(self, other: Surrounding) -> bool:
        """Return whether two conditions are alike; none and a flux of 0 are."""
        idle = {self.kind, other.kind} <= _FLUXES
        return (idle or self.kind == other.kind) and np.array_equal(self.values, other.values)

    @property
    def closed(self) -> bool:
        """Whether nothing flows through the side."""
        return self.kind in _FLUXES and not self.values.any()


class Wells(NamedTuple):
    """Positions (m, 2) and rates (m,) of wells, and the rates' units."""

    points: np.ndarray
    rates: np.ndarray
    units: str


class Outline(NamedTuple):
    """A feature within the domain.

    Attributes:
        kind: "fixed", "leakage" or "barrier".
        lines: each (k, 2), the corners of its outlines or of its line.
        numbers: its numbers in words, by their names.
    """

    kind: str
    lines: list[np.ndarray]
    numbers: dict[str, str]


@dataclass(frozen=True)
class Site:
    """What surrounds the fields of one experiment, or of a result without experiments.

    Arguments:
        solution, units: name and units of the field that the sides concern.
        sides: the conditions by the names of the sides; empty where they are not known.
        wells: there may be none.
        features: what lies within the domain.
    """

    solution: str = ""
    units: str = "1"
    sides: Mapping[str, Surrounding] = field(default_factory=dict)
    wells: Wells = field(default_factory=lambda: Wells(np.zeros((0, 2)), np.zeros(0), "1"))
    features: tuple[Outline, ...] = ()

    @classmethod
    def of(cls, result: xr.Dataset) -> Site:
        """Return the site of a result, or of the part of one experiment.

        A result of several experiments has no site of its own: each has another one.
        """
        if "experiment" in result.dims:
            return cls()
        name = str(result["experiment"].item()) if "experiment" in result.coords else ""
        stated: list[dict[str, Any]] = json.loads(result.attrs.get("boundary", "[]"))
        found: dict[str, Any] = next((one for one in stated if one["experiment"] == name), {})
        field = found.get("field", "")
        sides: dict[str, Surrounding] = {
            side: _inferred(result, side, field, name) or Surrounding.of(found[side])
            for side in ("left", "right", "bottom", "top")
            if side in found
        }
        return cls(
            field, found.get("units", "1"), sides, _wells(result, name), _features(result, name)
        )

    @property
    def varied(self) -> bool:
        """Whether the four sides are not all alike."""
        first, *others = self.sides.values() or (None,)
        return first is not None and not all(first.same(other) for other in others)


def _inferred(result: xr.Dataset, side: str, field: str, experiment: str) -> Surrounding | None:
    """Return the posterior of a side whose values or flux were inferred; None for another side."""
    for kind, name in (("value", f"{side}_{field}"), ("flux", f"{side}_flux")):
        for own in (f"{name}_{experiment}", name):
            if f"{own}_mean" in result:
                return Surrounding(kind, *(result[f"{own}_{w}"].values for w in ("mean", "std")))
    return None


def _features(result: xr.Dataset, experiment: str) -> tuple[Outline, ...]:
    stated: list[dict[str, Any]] = json.loads(result.attrs.get("features", "[]"))
    return tuple(
        Outline(one["kind"], [np.array(line) for line in lines], one["numbers"])
        for one in stated
        if one["experiment"] == experiment
        for lines in [one.get("rings") or one["lines"]]
    )


def _wells(result: xr.Dataset, experiment: str) -> Wells:
    if "well_x" not in result:
        return Site().wells
    points = np.stack([result["well_x"].values, result["well_y"].values], axis=1)
    mine = np.full(len(points), True)
    if "well_experiment" in result:
        mine = result["well_experiment"].values == experiment
    rate = result["well_rate"]
    return Wells(points[mine], rate.values[mine], str(rate.attrs.get("units", "1")))
