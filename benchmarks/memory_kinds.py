"""The kind of records of the memory that commands take."""

from __future__ import annotations

from typing_extensions import NotRequired

from pdeinv.benchmarks.kinds import Kind, Line, Nodes, Provenance
from pdeinv.schema import Count, Name, Positive

__all__ = ["PEAKS"]


class _Peak(Line, Provenance):
    """The peak of a command's resident memory, in megabytes, on a grid with a number of sensors.

    `small` is that of the same command on the smallest grid with few sensors: mostly libraries.
    `estimate` is what the command states before it starts, where it does.
    """

    work: Name
    grid: Nodes
    sensors: Count
    seed: Count
    megabytes: Positive
    small: Positive
    estimate: NotRequired[Positive]
    seconds: Positive


PEAKS = Kind(
    "the memory of a command", _Peak, ("work", "megabytes"), ("work", "pde", "grid", "sensors")
)
