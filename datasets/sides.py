"""Conditions on the four sides of a domain."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import get_annotations
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike

from pdeinv.annotations import Convertible
from pdeinv.checks import described
from pdeinv.datasets.distributed import Along, Quantity
from pdeinv.datasets.uncertain import Drawn
from pdeinv.errors import InputError
from pdeinv.grid import Domain

__all__ = ["SIDES", "Flux", "NoFlux", "Side", "Sides", "Value", "axis_of"]

SIDES = ("left", "right", "bottom", "top")
_NOTHING = Along(0.0)
_NEAR = 1e-9  # of the domain's size; nearer to a side, a position is on it


def axis_of(side: str) -> int:
    """Return 0 for a side that runs in x (bottom, top), 1 for one that runs in y (left, right)."""
    return 0 if side in ("bottom", "top") else 1


class Side(Convertible, ABC):
    """The condition on one side: `Value`, `Flux`, `NoFlux`, `Impedance` or `Open`.

    Attributes:
        fixes_value: whether it fixes the solution; otherwise it fixes the flux into the domain.
        stated: how files and JSON state it: the key of a number, or a text.
        kinds: every kind of condition by `stated`.
    """

    fixes_value: ClassVar[bool]
    stated: ClassVar[str] = ""
    kinds: ClassVar[dict[str, type[Side]]] = {}

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.stated:
            Side.kinds[cls.stated] = cls

    @property
    def quantity(self) -> Along:
        """The value, or the flux into the domain, as a quantity along the side."""
        return _NOTHING

    def at(self, points: ArrayLike | torch.Tensor, domain: Domain, side: str) -> np.ndarray:
        """Return the value, or the flux into the domain, at positions on a side, (m,), float64.

        Arguments:
            points: (m, 2), each (x, y) in the domain's coordinates.
            domain: the domain.
            side: name of the side, of `SIDES`.

        Raises:
            InputError: a function fails, or does not return m finite numbers.
        """
        return self.quantity.at(points, domain, axis_of(side))

    def tensor(self, points: ArrayLike | torch.Tensor, domain: Domain, side: str) -> torch.Tensor:
        """Return `at` as a tensor, which is differentiable where the quantity is a draw."""
        return self.quantity.tensor(points, domain, axis_of(side))

    @property
    def zero(self) -> bool:
        """Whether the value or the flux is zero along the whole side."""
        return self.quantity.zero

    @abstractmethod
    def phrase(self, symbol: str = "u") -> str:
        """Return the condition for people; `symbol` stands for the solution."""

    @property
    def takes_up(self) -> float | str | None:
        """How the side takes up waves; None if it does not."""
        return None

    @classmethod
    def of_number(cls, given: Any, what: str) -> Side:
        """Return the condition with a number, or a quantity along the side; `what` names it."""
        return cls(Along.of(given, what))  # type: ignore[call-arg]

    @staticmethod
    def words() -> tuple[str, ...]:
        """Return the texts that state a condition."""
        return tuple(k for k, kind in Side.kinds.items() if not get_annotations(kind))

    @staticmethod
    def tables() -> tuple[str, ...]:
        """Return the keys of those that state a number."""
        return tuple(name for name in Side.kinds if name not in Side.words())

    @classmethod
    def of(cls, value: Any, what: str = "the condition of a side") -> Side:
        if isinstance(value, Side):
            return value
        if isinstance(value, str) and value in Side.words():
            return Side.kinds[value]()
        if isinstance(value, dict) and len(value) == 1:
            ((name, given),) = value.items()
            if name in Side.tables():
                return Side.kinds[name].of_number(given, f"the {name} of {what}")
        raise InputError(
            f"{what} must be a Value, a Flux or NoFlux(), got {described(value)}; write Value(0) "
            f"for a solution of 0"
        )


@dataclass(frozen=True, init=False)
class Value(Side):
    """The solution has a given value on the side.

    Arguments:
        value: a number, an array along the side, a function f(x, y) or an `Uncertain` quantity, as
            in `Along`.
    """

    value: Along
    fixes_value = True
    stated = "value"

    def __init__(self, value: Quantity | Along) -> None:
        object.__setattr__(self, "value", Along.of(value, "the value on a side"))

    @property
    def quantity(self) -> Along:
        return self.value

    def phrase(self, symbol: str = "u") -> str:
        return f"{symbol} = {self.value.phrase}"

    def to_json(self, what: str = "the condition of a side") -> Any:
        return {"value": self.value.to_json(f"the value of {what}")}


@dataclass(frozen=True, init=False)
class Flux(Side):
    """A given flux enters through the side: a ∂u/∂n, with the outward normal n.

    Where the equation has no coefficient in the divergence, it is ∂u/∂n.

    Arguments:
        flux: a number, an array along the side, a function f(x, y) or an `Uncertain` quantity, as
            in `Along`; positive where it enters the domain.
    """

    flux: Along
    fixes_value = False
    stated = "flux"

    def __init__(self, flux: Quantity | Along) -> None:
        object.__setattr__(self, "flux", Along.of(flux, "the flux through a side"))

    @property
    def quantity(self) -> Along:
        return self.flux

    def phrase(self, symbol: str = "u") -> str:
        return f"inward flux = {self.flux.phrase}"

    def to_json(self, what: str = "the condition of a side") -> Any:
        return {"flux": self.flux.to_json(f"the flux of {what}")}


@dataclass(frozen=True)
class NoFlux(Side):
    """Nothing flows through the side: ∂u/∂n = 0."""

    fixes_value = False
    stated = "no flux"

    def phrase(self, symbol: str = "u") -> str:
        return self.stated

    def to_json(self, what: str = "the condition of a side") -> Any:
        return self.stated


@dataclass(frozen=True)
class Sides(Convertible):
    """The conditions on the four sides of a domain.

    A corner belongs to the side with a value. Where two such sides meet, it has their mean.

    Arguments:
        left, right, bottom, top: the conditions; left is at the lowest x, bottom at the lowest y.
            Each is `Value(0)` by default.

    Example:
        >>> from pdeinv.datasets import NoFlux, Sides, Value
        >>> Sides(left=Value(52), right=Value(48), bottom=NoFlux(), top=NoFlux()).phrase("h")
        'h = 52 on the left, h = 48 on the right, no flux on the bottom and top'
    """

    left: Side = Value(0.0)
    right: Side = Value(0.0)
    bottom: Side = Value(0.0)
    top: Side = Value(0.0)

    def __post_init__(self) -> None:
        for name in SIDES:
            made = Side.of(getattr(self, name), f"the condition on the {name}")
            object.__setattr__(self, name, made)

    @classmethod
    def of(cls, value: Any, what: str = "the sides") -> Sides:
        if isinstance(value, cls):
            return value
        if isinstance(value, dict) and all(name in SIDES for name in value):
            return cls(**{k: Side.of(v, f"the {k} side of {what}") for k, v in value.items()})
        raise InputError(
            f"{what} must be Sides of the names {', '.join(SIDES)}, got {described(value)}; write "
            f"Sides(left=Value(0))"
        )

    def to_json(self, what: str = "the sides") -> Any:
        return {name: side.to_json(f"the {name} side of {what}") for name, side in self.items()}

    def items(self) -> Iterator[tuple[str, Side]]:
        """Yield the name and the condition of each side, in the order of `SIDES`."""
        yield from ((name, getattr(self, name)) for name in SIDES)

    @property
    def homogeneous(self) -> bool:
        """Whether every value and every flux is zero."""
        return all(side.zero for _, side in self.items())

    @property
    def drawn(self) -> bool:
        """Whether a quantity is a draw of an uncertain one."""
        return any(isinstance(side.quantity.value, Drawn) for _, side in self.items())

    def fixes(self, points: ArrayLike | torch.Tensor, domain: Domain) -> np.ndarray:
        """Return whether a side fixes the solution at each position, (m,); arguments as of
        `known_values`."""
        return self._held(points, domain, lambda places, name, side: np.zeros(len(places)))[1] > 0

    def known_values(self, points: ArrayLike | torch.Tensor, domain: Domain) -> np.ndarray:
        """Return the value that the sides fix at each position, (m,), float64; nan where none does,
        or where it is not known.

        Arguments:
            points: (m, 2), each (x, y) in the domain's coordinates.
            domain: the domain.

        Raises:
            InputError: a function fails, or does not return finite numbers.
        """

        def values(places: np.ndarray, name: str, side: Side) -> np.ndarray:
            known = side.quantity.known
            return side.at(places, domain, name) if known else np.full(len(places), np.nan)

        total, count = self._held(points, domain, values)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _held(
        self,
        points: ArrayLike | torch.Tensor,
        domain: Domain,
        values: Callable[[np.ndarray, str, Side], np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return at each position the sum of the values of the sides that fix the solution there,
        and their number."""
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        total, count = np.zeros(len(points)), np.zeros(len(points), dtype=np.int64)
        for (name, side), place in zip(self.items(), domain.extent, strict=True):
            across = 1 - axis_of(name)
            size = abs(domain.extent[2 * across + 1] - domain.extent[2 * across])
            on = np.abs(points[:, across] - place) <= _NEAR * size
            if side.fixes_value and on.any():
                total[on] += values(points[on], name, side)
                count[on] += 1
        return total, count

    def phrase(self, symbol: str = "u") -> str:
        """Return the conditions for people, in one line; `symbol` stands for the solution."""
        places: dict[str, list[str]] = {}
        for name, side in self.items():
            places.setdefault(side.phrase(symbol), []).append(name)
        if len(places) == 1:
            return f"{next(iter(places))} on the boundary"
        return ", ".join(
            f"{condition} on the {_listed(names)}" for condition, names in places.items()
        )


def _listed(names: list[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
