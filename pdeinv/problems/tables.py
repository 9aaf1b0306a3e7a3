"""The tables of a problem file and their keys, as schemas."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from pdeinv.checks import described, number
from pdeinv.datasets.sides import Side
from pdeinv.errors import InputError
from pdeinv.grid import LARGEST, GridKind
from pdeinv.schema import Amount, Name, Number
from pdeinv.unknown import Unknown

__all__ = [
    "FEATURES",
    "OWN_TABLES",
    "BarrierTable",
    "BoundaryTable",
    "DomainTable",
    "ExperimentTable",
    "FixedTable",
    "GridTable",
    "InstrumentTable",
    "LeakageTable",
    "PhysicsTable",
    "PriorTable",
    "ProblemTables",
    "SidesTable",
    "WellTable",
    "check_keys",
    "check_keys_of",
]

FEATURES = ("fixed", "leakage", "barrier")
"""Names of the tables of what lies within a domain."""
OWN_TABLES = {
    "domain": "[domain]",
    "boundary": "[boundary]",
    "edge": "[boundary] edge",
    "wells": "[[well]]",
    "features": "[[fixed]], [[leakage]] and [[barrier]]",
    "grid_kind": "[grid] kind",
}
"""Parameters of physics that have a table of their own."""


def check_keys(given: Iterable[str], known: Iterable[str], otherwise: str = "remove it") -> None:
    """Refuse a key that a table does not have.

    Arguments:
        given: its keys.
        known: those that it may have.
        otherwise: the remedy where no known key is near.

    Raises:
        ValueError: what the table must have, and the nearest key; to stand behind its name.
    """
    known = list(known)
    for key in given:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else otherwise
            raise ValueError(f"must have keys of {', '.join(known)}, got {key!r}; {remedy}")


def check_keys_of(place: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a key that a table does not have, as `check_keys`, with an InputError.

    Arguments:
        place: of the table, such as "[physics]".
        given, known: as of `check_keys`.
    """
    try:
        check_keys(given, known)
    except ValueError as error:
        raise InputError(f"{place} {error}") from None


def _side(given: Any) -> Side:
    words, keys = Side.words(), Side.tables()
    forms = [*(f'"{word}"' for word in words), *(f"{{{key} = ...}}" for key in keys)]
    must = f"must be {', '.join(forms[:-1])} or {forms[-1]}"
    if isinstance(given, str):
        if given in words:
            return Side.of(given)
        near = difflib.get_close_matches(given.lower(), words, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else "write one of them"
        raise ValueError(f"{must}, got {described(given)}; {remedy}")
    if not isinstance(given, dict) or len(given) != 1:
        raise ValueError(f"{must}, got {described(given)}; write one of them")
    check_keys(given, keys, "use value for the solution, flux for what enters")
    ((key, quantity),) = given.items()
    return Side.kinds[key](quantity)  # type: ignore[call-arg]


def _rate(given: Any) -> float:
    found = Unknown.of_value("the rate", given)
    return number("the rate", given) if found is None else found


_Side = Annotated[Side, PlainValidator(_side)]
_Nodes = Annotated[int, Field(ge=4, le=LARGEST)]


class _Table(BaseModel):
    """A table with known keys."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True, defer_build=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, given: Any) -> Any:
        if isinstance(given, dict) and cls.model_config.get("extra") != "allow":
            check_keys(given, cls.model_fields)
        return given


class _OpenTable(_Table):
    """A table whose further keys depend on the physics or on the prior."""

    model_config = ConfigDict(extra="allow")

    @property
    def further(self) -> dict[str, Any]:
        """The values of the further keys."""
        return dict(self.model_extra or {})


class DomainTable(_Table):
    """`[domain]`: the rectangle, its unit and its active part."""

    extent: Annotated[list[Number], Field(min_length=4, max_length=4)]
    unit: Name = "1"
    active: Any = None


class PhysicsTable(_OpenTable):
    """`[physics]`: the name of the PDE, and its parameters."""

    pde: Name


class BoundaryTable(_Table):
    """`[boundary]`: the conditions on the four sides, and on the edge of an active part."""

    left: _Side
    right: _Side
    bottom: _Side
    top: _Side
    edge: _Side | None = None


class SidesTable(_Table):
    """The `boundary` of an experiment: conditions on some sides."""

    left: _Side | None = None
    right: _Side | None = None
    bottom: _Side | None = None
    top: _Side | None = None


class WellTable(_Table):
    """`[[well]]`: one point well."""

    x: Number
    y: Number
    rate: Annotated[float, PlainValidator(_rate)]


class FeatureTable(_Table):
    """What lies within the domain; the feature itself checks the values."""

    @property
    def given(self) -> dict[str, Any]:
        """The keys that are stated."""
        return self.model_dump(exclude_unset=True)


class _PlaceTable(FeatureTable):
    """A feature whose place has one of several forms."""

    polygon: Any = None
    holes: Any = None
    line: Any = None
    file: Any = None


class FixedTable(_PlaceTable):
    """`[[fixed]]`: a place in which the solution has a value."""

    value: Any


class LeakageTable(_PlaceTable):
    """`[[leakage]]`: a place into which flows what is in proportion to a difference."""

    level: Any
    conductance: Any


class BarrierTable(FeatureTable):
    """`[[barrier]]`: a line that nothing crosses."""

    line: Any


class PriorTable(_OpenTable):
    """`[prior]`: the kind of the distribution and its numbers, or a learned one."""

    kind: Name | None = None
    file: Name | None = None
    name: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> PriorTable:
        given = [key for key in ("kind", "file", "name") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"must have one of kind, file and name, got {' and '.join(given) or 'none'}; "
                f"{'keep one of them' if given else 'add such as kind'}"
            )
        if given != ["kind"]:
            check_keys(self.further, given)
        return self


class GridTable(_Table):
    """`[grid]`: nodes of the result, on the shorter side (n) or along x and y, and their kind."""

    n: _Nodes | None = None
    nx: _Nodes | None = None
    ny: _Nodes | None = None
    kind: GridKind | None = None

    @model_validator(mode="after")
    def _one_form(self) -> GridTable:
        given = [key for key in ("n", "nx", "ny") if getattr(self, key) is not None]
        if given not in (["n"], ["nx", "ny"]):
            raise ValueError(
                f"must have either n (nodes of the shorter side) or nx and ny, got "
                f"{' and '.join(given) or 'none'}; state one of the two forms"
            )
        return self


class InstrumentTable(_Table):
    """`[[instrument]]`: one instrument whose readings share a bias."""

    name: Name
    bias_std: Amount


class ExperimentTable(_OpenTable):
    """`[[experiment]]`: what is its own; all else is that of the common tables."""

    name: Name
    pde: Name | None = None
    boundary: SidesTable | None = None
    well: list[WellTable] | None = None


class ProblemTables(_Table):
    """A problem file."""

    format: int
    domain: DomainTable | None = None
    physics: PhysicsTable
    boundary: BoundaryTable | None = None
    well: list[WellTable] = []
    fixed: list[FixedTable] = []
    leakage: list[LeakageTable] = []
    barrier: list[BarrierTable] = []
    prior: PriorTable | None = None
    grid: GridTable | None = None
    experiment: list[ExperimentTable] = []
    instrument: list[InstrumentTable] = []
