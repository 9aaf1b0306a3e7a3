"""The kind of records of the study of many reconstructions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pdeinv.benchmarks.kinds import Kind, Line, Provenance
from pdeinv.schema import Amount, Count, Number, Positive

__all__ = ["SOAKS"]


class _Soak(Line, Provenance):
    """Many reconstructions of a part of the study.

    `different` counts answers that are apart from the first of the same readings and seed, by more
    than a share of the posterior's standard deviation; `largest_difference` is in these. Resident
    sizes are in megabytes, the largest of the processes of a part, `slope` in kilobytes for each
    reconstruction. `changed` names what of the caller's process was not as before.
    """

    part: Literal["single", "threads", "forked", "spawned"]
    reconstructions: Annotated[int, Field(ge=1, le=10**7)]
    workers: Annotated[int, Field(ge=1, le=1024)]
    seed: Count
    failed: Count
    hung: Count
    identical: Count
    different: Count
    largest_difference: Amount
    second_tenth: Positive
    last_tenth: Positive
    slope: Number
    changed: str
    files_before: Count
    files_after: Count
    seconds: Positive
    processor_seconds: Positive


SOAKS = Kind(
    "a part of many reconstructions",
    _Soak,
    ("part", "hung", "second_tenth"),
    ("part", "reconstructions", "seed"),
)
