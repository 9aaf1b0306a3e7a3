"""Checks of arguments: a number, an integer, one of several choices, a path, an array.

Annotations such as `Count` and `Positive` state them for the fields of a dataclass: see
`pdeinv.annotations`.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pdeinv.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = [
    "EXTREME",
    "MOST",
    "Bounds",
    "Count",
    "EvenCount",
    "NotNegative",
    "Positive",
    "Steps",
    "Unbounded",
    "check_below",
    "choice",
    "described",
    "integer",
    "number",
    "path_of",
    "tensor",
]

MOST = 100_000
"""Bound on the counts of a solver: more steps, draws or members take hours on any machine."""

EXTREME = 1e30
"""Size of fields beyond which, and below its inverse, the squares of what follows may overflow."""


@dataclass(frozen=True)
class Bounds:
    """The range of a number; None leaves a side open.

    Arguments:
        least, most: the ends, which belong to the range.
        above, below: the ends, which do not belong to it.
        finite: whether infinity is outside of the range.
        even: whether odd integers are outside of it.
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    finite: bool = True
    even: bool = False

    def broken(self, value: float) -> tuple[str, str] | None:
        """Return the end that a number is beyond and what to do, as phrases; None if there is
        none."""
        if self.least is not None and value < self.least:
            return f" of at least {self.least}", f"use {self.least} or more"
        if self.above is not None and value <= self.above:
            return f" above {self.above}", "use a larger value"
        if self.most is not None and value > self.most:
            return f" of at most {self.most}", f"use {self.most} or less"
        if self.below is not None and value >= self.below:
            return f" below {self.below}", "use a smaller value"
        return None


Count = Annotated[int, Bounds(least=1, most=MOST)]
Steps = Annotated[int, Bounds(least=2, most=MOST)]
EvenCount = Annotated[int, Bounds(least=4, most=MOST, even=True)]
Positive = Annotated[float, Bounds(above=0)]
NotNegative = Annotated[float, Bounds(least=0)]
Unbounded = Annotated[float, Bounds(above=0, finite=False)]


def described(value: object) -> str:
    """Return a value as a message shows it: in one line, cut where it is long."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # a repr may fail, as that of an integer of thousands of digits does
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."


def integer(what: str, value: object, bounds: Bounds | None = None) -> int:
    """Return an integer of any kind, such as one of numpy, as a Python one.

    Arguments:
        what: name of the value, as the message has it.
        value: what was given; neither True nor False is an integer.
        bounds: its range.

    Raises:
        InputError: the value is no integer, or outside of its range.
    """
    bounds = bounds or Bounds()
    kind = f"{what} must be {'an even' if bounds.even else 'an'} integer"
    try:
        if isinstance(value, bool) or getattr(value, "ndim", 0) != 0:
            raise TypeError
        result = operator.index(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{kind}, got {described(value)}; give a whole number") from None
    if broken := bounds.broken(result):
        raise InputError(f"{kind}{broken[0]}, got {described(result)}; {broken[1]}")
    if bounds.even and result % 2:
        raise InputError(f"{kind}, got {result}; use {result + 1}")
    return result


def number(what: str, value: object, bounds: Bounds | None = None) -> float:
    """Return a real number of any kind as a Python float; arguments as of `integer`.

    Raises:
        InputError: the value is no number, or outside of its range.
    """
    bounds = bounds or Bounds()
    kind = f"{what} must be {'a finite' if bounds.finite else 'a'} number"
    try:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError
        result = float(value)
        if math.isnan(result) or (bounds.finite and math.isinf(result)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{kind}, got {described(value)}; give a number") from None
    if broken := bounds.broken(result):
        raise InputError(f"{kind}{broken[0]}, got {described(value)}; {broken[1]}")
    return result


def choice(what: str, value: object, choices: Sequence[str]) -> str:
    """Return one of several texts; arguments as of `integer`.

    Raises:
        InputError: the value is none of them.
    """
    if isinstance(value, str) and value in choices:
        return str(value)
    raise InputError(
        f"{what} must be {' or '.join(map(repr, choices))}, got {described(value)}; use "
        f"{choices[0]!r}"
    )


def tensor(what: str, value: object) -> torch.Tensor:
    """Return an array of real numbers as a floating-point tensor; arguments as of `integer`.

    Raises:
        InputError: it is no array of real numbers.
    """
    import numpy as np
    import torch  # the command line checks numbers before it needs torch

    try:
        # A list of numbers is of double precision
        result = torch.as_tensor(value if isinstance(value, torch.Tensor) else np.asarray(value))
        if result.is_complex() or result.dtype == torch.bool:
            raise TypeError
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"{what} must be an array of real numbers, got {described(value)}; convert it"
        ) from None
    return result if result.is_floating_point() else result.double()


def path_of(what: str, value: object) -> Path:
    """Return a path given as text or as a `Path`; arguments as of `integer`.

    Raises:
        InputError: the value is something else, or no file system has such a name.
    """
    if isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        if isinstance(text, str) and text and "\0" not in text:
            try:
                Path(text).exists()
                return Path(text)
            except OSError as error:  # a name that is too long
                problem = error.strerror
            raise InputError(
                f"{what} must be a path that the system can have, got {described(value)} "
                f"({problem}); use a shorter name"
            )
    raise InputError(f"{what} must be a path as a text, got {described(value)}; name a file")


def check_below(owner: str, low: tuple[str, float], high: tuple[str, float]) -> None:
    """Refuse a pair of settings, each a name and a value, of which the first is not below the
    second.

    Raises:
        InputError: the values are equal or in the wrong order.
    """
    if not low[1] < high[1]:
        raise InputError(
            f"{low[0]} of {owner} must be below {high[0]} = {high[1]!r}, got {low[1]!r}; "
            f"change one of them"
        )
