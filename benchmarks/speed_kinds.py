"""The kind of records of times next to their bounds."""

from __future__ import annotations

from typing_extensions import NotRequired

from pdeinv.benchmarks.kinds import Kind, Line, Nodes, Provenance
from pdeinv.schema import Count, Name, Positive

__all__ = ["SPEEDS"]


class _Speed(Line, Provenance):
    """A reconstruction with one thread, next to what it must compute at least.

    Seconds are of the processor: `first` of the first call of a process, without imports; `seconds`
    of a second one; `bound` of the least operations at the `products`, `transforms` and `copied` a
    second that the same process measured. `error` is the relative error of the coefficient's mean.
    """

    grid: Nodes
    sensors: Count
    samples: Count
    seed: Count
    method: Name
    first: Positive
    seconds: NotRequired[Positive]
    bound: Positive
    products: Positive
    transforms: Positive
    copied: Positive
    error: Positive
    megabytes: Positive


SPEEDS = Kind("a time and its bound", _Speed, ("bound", "first"), ("pde", "grid", "sensors"))
