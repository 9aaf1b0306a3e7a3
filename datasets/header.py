"""The attributes of a dataset, checked as one model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator

from pdeinv.checks import described
from pdeinv.datasets.survey import normalise_attribute
from pdeinv.errors import InputError
from pdeinv.schema import parse_json

__all__ = ["FORMAT", "FORMAT_VERSION", "Header"]

FORMAT = "pdeinv-dataset"
FORMAT_VERSION = 1
"""Name and version of the format of `pdeinv.datasets.generate`."""
_LARGEST = 1e300
_LONGEST = 1000  # characters of a name


class Header(BaseModel):
    """The attributes that the package reads from a dataset; others are kept and not read.

    Attributes:
        format, format_version: of a file of `pdeinv.datasets.generate`.
        pde: name of the PDE.
        pde_parameters: its parameters, in files as JSON.
        coefficient, solution: names of the two variables.
        grid_kind: kind of the grid.
        final_time: last time of a MATLAB file.
        seed, seed_range: of a generated file.
    """

    format: str = ""
    format_version: int = Field(0, ge=0, lt=2**31)
    pde: str | None = Field(None, max_length=_LONGEST)
    pde_parameters: dict[str, bool | int | float | str | None] = {}
    coefficient: str | None = Field(None, min_length=1, max_length=_LONGEST)
    solution: str | None = Field(None, min_length=1, max_length=_LONGEST)
    grid_kind: Literal["vertex", "periodic"] = "vertex"
    final_time: float | None = Field(None, gt=-_LARGEST, lt=_LARGEST)
    seed: int | None = None
    seed_range: tuple[int, int] | None = None

    @field_validator("pde_parameters", mode="before")
    @classmethod
    def _json_object(cls, text: object) -> dict[str, Any]:
        try:
            found = parse_json(text) if isinstance(text, str) else text  # refuses deep nesting
        except (TypeError, ValueError):  # lone surrogates are a TypeError
            found = None
        if not isinstance(found, dict) or not all(map(_is_parameter, found.values())):
            raise ValueError("a JSON object of numbers and texts")
        return found

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


def _is_parameter(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST
    return value is None or (isinstance(value, int | float) and abs(value) < _LARGEST)
