"""The kind of records of generated inputs."""

from __future__ import annotations

from pdeinv.benchmarks.kinds import Kind, Line, Provenance
from pdeinv.schema import Count, Name, Positive

__all__ = ["GENERATED"]


class _Generated(Line, Provenance):
    """Generated inputs of a kind, most with faults: how many were `used`, and how many `refused` in
    one sentence. Any other end fails the test that makes them. `seconds` are those of all kinds.
    """

    inputs: Name
    used: Count
    refused: Count
    seed: Count
    seconds: Positive


GENERATED = Kind("generated inputs", _Generated, ("inputs", "used", "refused"), ("inputs", "seed"))
