"""Numbers that are not known beforehand: a range and a law in the place of a value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, TypeAlias, get_args

from pdeinv.checks import Bounds, choice, described, number
from pdeinv.errors import InputError

__all__ = ["END", "UNKNOWN", "Guess", "Law", "Scale", "Unknown", "is_unknown"]

Law: TypeAlias = Literal["log-normal", "normal", "log-uniform", "uniform"]
Scale: TypeAlias = Literal["", "domain", "readings"]

UNKNOWN = "unknown"
"""The word for a number of which nothing is stated, and the key of a range in files."""
_NORMAL = NormalDist()
_LEAST = 1e-15  # probability of what lies beyond a number, so that its quantile is finite
_MOST = 700.0  # logarithm of a number, whose exponential is finite
END = _NORMAL.inv_cdf(0.975)
"""Standard deviations of a normal law from the middle of its range to an end."""


@dataclass(frozen=True)
class Guess:
    """What is assumed of a number that is left out: a note in the annotation of a field.

    Arguments:
        low, high, law, of: as of `Unknown`.
    """

    low: float
    high: float
    law: Law = "log-normal"
    of: Scale = ""


class Unknown(float):
    """A number that is not known beforehand, and is inferred with the fields.

    As a float it is the middle of its range, so that it can stand wherever a number does: as the
    length of a prior, the viscosity of a flow, the head on a side or the rate of a well.

    Arguments:
        low, high: ends of the range.
        law: "log-normal" or "normal": the range holds the number with a probability of 95 %.
            "log-uniform" or "uniform": it lies within the range for certain. The default is
            "log-normal" for a positive range, and "normal" for others.
        of: what the range is in units of: "" for the number's own unit, "domain" for the shorter
            side of the domain, "readings" for the typical size of what the readings imply.

    Raises:
        InputError: low is not below high, or the law needs a positive range.

    Example:
        >>> viscosity = Unknown(1e-4, 1e-2)
        >>> float(viscosity), viscosity.law
        (0.001, 'log-normal')
        >>> round(viscosity.at(1.96), 4)
        0.01
    """

    low: float
    high: float
    law: Law
    of: Scale

    def __new__(cls, low: float, high: float, law: Law | None = None, of: Scale = "") -> Unknown:
        low, high = number("low of an unknown", low), number("high of an unknown", high)
        if not low < high:
            raise InputError(
                f"the range of an unknown must rise, got {low:g} to {high:g}; swap its ends or "
                f"state the number"
            )
        chosen = law or ("log-normal" if low > 0 else "normal")
        choice("law of an unknown", chosen, get_args(Law))
        choice("of of an unknown", of, get_args(Scale))
        logarithmic = chosen.startswith("log")
        if logarithmic and low <= 0:
            raise InputError(
                f"the range of a {chosen} unknown must be positive, got {low:g} to {high:g}; use "
                f"the law {chosen.removeprefix('log-')!r}"
            )
        middle = math.sqrt(low) * math.sqrt(high) if logarithmic else (low + high) / 2
        made = super().__new__(cls, middle)
        made.low, made.high, made.law, made.of = low, high, chosen, of
        return made

    @classmethod
    def of_value(cls, what: str, value: Any, guess: Guess | None = None) -> Unknown | None:
        """Return the unknown that a value states: an instance, a range (low, high), an object with
        the key "unknown", or None or "unknown" where there is a guess; None if it is none of these.

        Raises:
            InputError: the range is not allowed, there is no guess to take its place, or the value
                is another text.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, Mapping):
            wrong = [key for key in value if key not in (UNKNOWN, "law", "of")]
            if wrong or not isinstance(value.get(UNKNOWN), list | tuple):
                raise InputError(
                    f"{what} must be a number or {{unknown = [low, high]}}, which may have a law, "
                    f"got {described(value)}; write one of them"
                )
            return cls._of_range(what, value[UNKNOWN], value.get("law"), value.get("of", ""))
        if isinstance(value, list | tuple):
            return cls._of_range(what, value, guess.law if guess else None, "")
        if value is None or (isinstance(value, str) and value == UNKNOWN):
            if guess is None:
                raise InputError(
                    f"{what} must be a number or a range, got {described(value)}; give the range "
                    f"that likely holds it, as (low, high)"
                )
            return cls(guess.low, guess.high, guess.law, guess.of)
        if isinstance(value, str):
            raise InputError(
                f"{what} must be a number{', ' if guess else ' or '}a range (low, high)"
                f"{f' or {UNKNOWN!r}' if guess else ''}, got {described(value)}; give one of these"
            )
        return None

    @classmethod
    def _of_range(cls, what: str, ends: Any, law: Law | None, of: Scale) -> Unknown:
        if len(ends) != 2:
            raise InputError(
                f"{what} must be a number or a range (low, high), got {described(ends)}; give two "
                f"ends"
            )
        low, high = (number(f"the range of {what}", end) for end in ends)
        try:
            return cls(low, high, "normal" if law == "log-normal" and low <= 0 else law, of)
        except InputError as error:
            raise InputError(f"{what}: {error}") from None

    def checked(self, what: str, bounds: Bounds | None) -> Unknown:
        """Return the unknown.

        Raises:
            InputError: an end of its range is not allowed for the number.
        """
        for end in (self.low, self.high):
            number(f"the range of {what}", end, bounds)
        return self

    def at(self, z: float) -> float:
        """Return the number that corresponds to a standard normal one."""
        low, high = self._ends
        if self.law.endswith("uniform"):
            value = low + (high - low) * _NORMAL.cdf(z)
        else:
            value = (low + high) / 2 + (high - low) / (2 * END) * z
        return math.exp(min(value, _MOST)) if self._log else value

    def white(self, value: float) -> float:
        """Return the standard normal number of a value, the inverse of `at`."""
        low, high = self._ends
        value = math.log(value) if self._log else value
        if self.law.endswith("uniform"):
            share = (value - low) / (high - low)
            return _NORMAL.inv_cdf(min(max(share, _LEAST), 1 - _LEAST))
        return (value - (low + high) / 2) * 2 * END / (high - low)

    def normal(self, logarithm: bool = False) -> tuple[float, float]:
        """Return the mean and the standard deviation of the normal law of the number, or of its
        logarithm, that the range holds with a probability of 95 %."""
        low, high = (math.log(end) if logarithm else end for end in (self.low, self.high))
        return (low + high) / 2, (high - low) / (2 * END)

    @property
    def _log(self) -> bool:
        return self.law.startswith("log")

    @property
    def _ends(self) -> tuple[float, float]:
        """The ends, on the axis on which the law is normal or uniform."""
        return (math.log(self.low), math.log(self.high)) if self._log else (self.low, self.high)

    def scaled(self, scales: Mapping[str, float]) -> Unknown:
        """Return the unknown in its own unit, if it is in units of one of the scales."""
        if self.of not in scales:
            return self
        scale = scales[self.of]
        return Unknown(self.low * scale, self.high * scale, self.law)

    @property
    def extremes(self) -> tuple[float, float]:
        """Numbers that it leaves with no probability that counts."""
        if self.law.endswith("uniform"):
            return self.low, self.high
        return self.at(-6.0), self.at(6.0)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values from which `of_value` makes an equal unknown."""
        stated: dict[str, Any] = {UNKNOWN: [self.low, self.high]}
        if self.law != ("log-normal" if self.low > 0 else "normal"):
            stated["law"] = self.law
        return stated | ({"of": self.of} if self.of else {})

    def __repr__(self) -> str:
        unit = f", {self.of!r}" if self.of else ""
        return f"Unknown({self.low:g}, {self.high:g}, {self.law!r}{unit})"

    def __format__(self, spec: str) -> str:
        unit = {"": "", "domain": " shorter sides", "readings": " times what the readings imply"}
        return f"unknown ({format(self.low, spec)} to {format(self.high, spec)}{unit[self.of]})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Unknown):
            return False
        return self._parts == other._parts

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[float, float, str, str]:
        return self.low, self.high, self.law, self.of

    def __reduce__(self) -> tuple[Any, ...]:
        return Unknown, self._parts


def is_unknown(value: object) -> bool:
    """Return whether a value stands for a number that is not known."""
    return isinstance(value, Unknown)
