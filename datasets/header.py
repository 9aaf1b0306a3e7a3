"""The attributes of a dataset, checked as one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pdeinv.checks import described
from pdeinv.datasets.survey import normalise_attribute
from pdeinv.errors import InputError
from pdeinv.grid import LARGEST, Extent, Grid, GridKind
from pdeinv.schema import parse_json

__all__ = ["FORMAT", "FORMAT_VERSION", "Header"]

FORMAT = "pdeinv-dataset"
FORMAT_VERSION = 3
"""Name and version of the format of `pdeinv.datasets.generate`."""
_LARGEST = 1e300
_LONGEST = 1000  # characters of a name
_Name = Annotated[str, Field(min_length=1, max_length=_LONGEST)]
_Nodes = Annotated[int, Field(ge=4, le=LARGEST)]


class Header(BaseModel):
    """The attributes that the package reads from a dataset; others are kept and not read.

    Attributes:
        format, format_version: of a file of `pdeinv.datasets.generate`.
        pde: name of the PDE.
        pde_parameters: its parameters, in files as JSON; those of version 2 and before hold the
            numbers of the prior too.
        prior: of the coefficient, in files as JSON.
        coefficient, solution: names of the two variables.
        outputs: names of the variables of derived fields, in files as JSON.
        ny, nx, extent, unit, grid_kind: the grid; a file of version 1 is on the unit square.
        final_time: last time of a MATLAB file.
        seed, seed_range: of a generated file.
    """

    model_config = ConfigDict(defer_build=True)

    format: str = ""
    format_version: int = Field(0, ge=0, lt=2**31)
    pde: str | None = Field(None, max_length=_LONGEST)
    pde_parameters: dict[str, Any] = {}
    prior: dict[str, Any] | None = None
    coefficient: str | None = Field(None, min_length=1, max_length=_LONGEST)
    solution: str | None = Field(None, min_length=1, max_length=_LONGEST)
    outputs: tuple[_Name, ...] = ()
    ny: _Nodes | None = None
    nx: _Nodes | None = None
    extent: Extent = (0.0, 1.0, 0.0, 1.0)
    unit: str = Field("1", max_length=_LONGEST)
    grid_kind: GridKind = "vertex"
    final_time: float | None = Field(None, gt=-_LARGEST, lt=_LARGEST)
    seed: int | None = None
    seed_range: tuple[int, int] | None = None

    @field_validator("pde_parameters", "prior", mode="before")
    @classmethod
    def _json_object(cls, text: object) -> dict[str, Any]:
        found = _parsed(text)
        if not isinstance(found, dict) or not _is_parameter(found):
            raise ValueError("a JSON object of numbers, short texts, lists and objects")
        return found

    @field_validator("outputs", mode="before")
    @classmethod
    def _json_list(cls, text: object) -> list[Any]:
        found = _parsed(text)
        if not isinstance(found, list):
            raise ValueError("a JSON list of names")
        return found

    def grid(self, ny: int, nx: int) -> Grid:
        """Return the grid of fields of ny x nx nodes.

        Raises:
            InputError: the extent is not that of a rectangle.
        """
        return Grid(ny, nx, self.extent, self.unit, self.grid_kind)

    @classmethod
    def read(cls, attributes: Mapping[Any, Any], where: object) -> Header:
        """Return the checked attributes of a dataset.

        Arguments:
            attributes: the attributes, whoever wrote them.
            where: the dataset, for the message.

        Raises:
            InputError: an attribute is of another type or out of range.
        """
        known = {}
        for name in cls.model_fields:
            if name in attributes:
                try:
                    known[name] = normalise_attribute(attributes[name])
                except TypeError:
                    raise InputError(
                        f"the attribute {name!r} of {where} must be text or real numbers, got a "
                        f"value of another type; correct it"
                    ) from None
        try:
            return cls(**known)
        except ValidationError as error:
            first = error.errors()[0]
            rule = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            raise InputError(
                f"the attribute {first['loc'][0]!r} of {where} must be {rule}, got "
                f"{described(known[str(first['loc'][0])])}; correct it"
            ) from None


def _parsed(text: object) -> object:
    """Return the value of a JSON text, None where it is none; another value as it is."""
    try:
        return parse_json(text) if isinstance(text, str) else text  # refuses deep nesting
    except (TypeError, ValueError):  # lone surrogates are a TypeError
        return None


def _is_parameter(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_parameter, (*value, *value.values())))
    if isinstance(value, list):
        return all(map(_is_parameter, value))
    if isinstance(value, str):
        return len(value) <= _LONGEST
    return value is None or (isinstance(value, int | float) and abs(value) < _LARGEST)
