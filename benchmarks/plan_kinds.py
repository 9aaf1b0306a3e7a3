"""The kind of records of what plans save."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import NotRequired

from pdeinv.benchmarks.kinds import Kind, Line, Nodes, Provenance
from pdeinv.schema import Amount, Count, Name, Positive

__all__ = ["PLANS"]


class PlanCall(Line, Provenance):
    """A table of readings by a plan, and the same by a reconstruction of its own.

    Seconds are processor time, the least of repeated calls. The `distance` is that of both means of
    the coefficient, root mean square, relative to their standard deviation.
    """

    case: Name
    grid: Nodes
    sensors: Annotated[int, Field(ge=1, le=4096**2)]
    instance: Count
    method: Name
    prepare_seconds: Positive
    seconds: Positive
    fresh_seconds: Positive
    product_seconds: NotRequired[Positive]
    iterations: NotRequired[Count]
    fresh_iterations: NotRequired[Count]
    distance: Amount


PLANS = Kind(
    "a call of a plan",
    PlanCall,
    ("prepare_seconds",),
    ("case", "grid", "sensors", "instance"),
)
