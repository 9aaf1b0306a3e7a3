"""JSON from files against a schema, and what does not fit in words."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import Field, ValidationError
from pydantic_core import from_json

from pdeinv.checks import described

__all__ = ["Amount", "Count", "Name", "Number", "Positive", "must_be", "parse_json", "problem_of"]

_LARGEST = 1e100  # so that squares and sums stay finite
_PLAIN = {"a valid integer": "an integer", "a valid array": "a list", "a valid ": "a "}
_LIMITS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}

Number = Annotated[float, Field(ge=-_LARGEST, le=_LARGEST, allow_inf_nan=False)]
"""A finite number."""
Amount = Annotated[float, Field(ge=0, le=_LARGEST, allow_inf_nan=False)]
"""A finite number of at least 0."""
Positive = Annotated[float, Field(gt=1 / _LARGEST, le=_LARGEST, allow_inf_nan=False)]
"""A finite number above 0."""
Count = Annotated[int, Field(ge=0, le=10**12)]
"""A number of things."""
Name = Annotated[str, Field(min_length=1, max_length=1000)]
"""A short text that is not empty."""


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nested too deeply; the message says where.
    """
    return from_json(text)


def problem_of(error: ValidationError, whole: str = "the record", *, tagged: bool = False) -> str:
    """Return in words where a value does not fit its schema, and what it must be.

    Arguments:
        error: of the validation; its first problem counts.
        whole: a name for the value itself, where the problem is not in one of its parts.
        tagged: the schema is a union by tags, which are no part of the place.
    """
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"][tagged:]) or whole
    if first["type"] == "missing":
        return f"{place} is missing"
    if first["type"] == "extra_forbidden":
        return f"{place} is not a name that the format has"
    if first["type"] in ("value_error", "assertion_error"):
        return str(first["ctx"]["error"]) if place == whole else f"{place} {first['ctx']['error']}"
    if first["type"] == "json_invalid":
        return f"{place} must be JSON, and is not ({first['ctx']['error']})"
    return f"{place} {must_be(first)}"


def must_be(details: Any) -> str:
    """Return what a value must be and what it is, behind its name.

    Arguments:
        details: one entry of `ValidationError.errors`, of a value of a wrong type or out of range.
    """
    must = re.sub(r"^(Input|String|List|Dictionary|Tuple|Value) should", "must", details["msg"])
    for word, plain in _PLAIN.items():
        must = must.replace(word, plain)
    for limit, words in _LIMITS.items():
        if limit in details.get("ctx", {}):
            must = f"must be {words} {details['ctx'][limit]:g}"
    return f"{must.replace(' after validation', '')}, got {described(details['input'])}"
