"""Sides that take up waves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pdeinv.checks import Bounds, number
from pdeinv.datasets.sides import Side, Sides
from pdeinv.errors import InputError

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE

__all__ = ["Impedance", "Open", "check_sides"]


@dataclass(frozen=True)
class Impedance(Side):
    """A wall that takes up a part of each wave: ∂u/∂n = i k β u, with the outward normal n.

    It reflects (cos θ - β) / (cos θ + β) of a plane wave that comes at an angle θ to the normal. At
    β = 1, that is 0 at 0°, 7.2 % at 30° and 33 % at 60°.

    Arguments:
        beta: specific admittance β of the wall, the inverse of its impedance in units of that of
            the medium; positive.

    Raises:
        InputError: β is not a positive number.
    """

    beta: float = 1.0

    fixes_value = False
    stated = "impedance"

    def __post_init__(self) -> None:
        made = number("beta of a side", self.beta, Bounds(above=0, most=1e6))
        object.__setattr__(self, "beta", made)

    @property
    def takes_up(self) -> float:
        return self.beta

    @classmethod
    def of_number(cls, given: Any, what: str) -> Impedance:
        return cls(number(what, given))

    def phrase(self, symbol: str = "u") -> str:
        factor = "" if self.beta == 1 else f"{self.beta:g} "
        return f"∂{symbol}/∂n = {factor}ik{symbol}"

    def to_json(self, what: str = "the condition of a side") -> Any:
        return {self.stated: self.beta}


@dataclass(frozen=True)
class Open(Side):
    """The medium goes on beyond the side: waves leave, and none come back.

    A perfectly matched layer stands outside of the domain. See `pdeinv.datasets.waves.lines` for
    what it reflects.
    """

    fixes_value = False
    stated = "open"

    @property
    def takes_up(self) -> str:
        return self.stated

    def phrase(self, symbol: str = "u") -> str:
        return self.stated

    def to_json(self, what: str = "the condition of a side") -> Any:
        return self.stated


def check_sides(pde: PDE) -> None:
    """Refuse sides that take up waves where the physics is without waves.

    Raises:
        InputError: one does.
    """
    for name, sides in pde.parameters.items():
        if pde.waves or not isinstance(sides, Sides):
            continue
        for side, condition in sides.items():
            if condition.takes_up is not None:
                raise InputError(
                    f"{name} of {pde.name} must be without sides that take up waves, got "
                    f"{condition.phrase()!r} on the {side}; use such as NoFlux()"
                )
