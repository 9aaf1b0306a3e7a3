"""The kind of records of killed commands."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pdeinv.benchmarks.kinds import Kind, Line, Provenance
from pdeinv.schema import Count, Name, Positive

__all__ = ["CRASHES"]

_Flag = Annotated[int, Field(ge=0, le=1)]


class Crash(Line, Provenance):
    """A command that was killed and repeated.

    It was killed at a `share` of the `seconds` that it takes undisturbed. It was `hit` if it had
    not ended by then, and `kept` states that there was something to resume from. Files under their
    final names were `whole` at that time. After the repeated run the result was `identical`, and
    `left` is the number of other files.
    """

    case: Name
    kill: Count
    seed: Count
    share: Annotated[float, Field(ge=0, le=1)]
    seconds: Positive
    hit: _Flag
    kept: _Flag
    whole: _Flag
    identical: _Flag
    left: Count


CRASHES = Kind("a killed command", Crash, ("kill", "left"), ("case", "kill", "seed"))
