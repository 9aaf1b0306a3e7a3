"""The kind of records of work on several workers."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from typing_extensions import NotRequired

from pdeinv.benchmarks.kinds import Kind, Line, Nodes, Provenance
from pdeinv.schema import Amount, Count, Name, Positive

__all__ = ["WORKERS"]

_Several = Annotated[int, Field(ge=1, le=10**9)]


class Work(Line, Provenance):
    """Some work on a dask cluster of one machine.

    `processor_seconds` are those of the command and its workers together. `others` is the number of
    cores that other programs kept busy meanwhile. `bytes` are those of the files, of generated
    fields.
    """

    work: Name
    grid: Nodes
    items: _Several
    workers: _Several
    instance: Count
    cores: _Several
    others: Amount
    seconds: Positive
    processor_seconds: Positive
    bytes: NotRequired[_Several]


WORKERS = Kind("work on workers", Work, ("work", "others"), ("work", "grid", "workers", "instance"))
