"""The kind of records that the study of quantities writes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pdeinv.benchmarks.kinds import Kind, Line, Provenance
from pdeinv.schema import Amount, Count, Name, Number, Positive

__all__ = ["QUANTITIES"]


class _Quantity(Line, Provenance):
    """A quantity of one truth, with the interval of its posterior; in its units."""

    case: Name
    quantity: Name
    units: Name
    instance: Count
    seed: Count
    method: Name
    samples: Annotated[int, Field(ge=2, le=10**6)]
    level: Positive
    truth: Number
    mean: Number
    std: Amount
    low: Number
    high: Number
    within: Annotated[int, Field(ge=0, le=1)]
    infinite: Count
    seconds: Positive
    rows: Annotated[int, Field(ge=1, le=100)]


QUANTITIES = Kind(
    "a quantity of a truth",
    _Quantity,
    ("quantity", "within"),
    ("case", "method", "samples", "instance", "quantity"),
)
