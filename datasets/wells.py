"""Point wells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import torch

from pdeinv.annotations import Convertible, check_fields
from pdeinv.checks import EXTREME, Bounds, described
from pdeinv.errors import InputError
from pdeinv.grid import Domain
from pdeinv.unknown import Unknown

__all__ = ["Well", "check_wells"]

Coordinate = Annotated[float, Bounds(least=-EXTREME, most=EXTREME)]
MOST_WELLS = 10_000


@dataclass(frozen=True)
class Well(Convertible):
    """A point through which fluid enters or leaves the domain.

    Arguments:
        x, y: its position, in the domain's coordinates.
        rate: what enters per time; a negative rate extracts. A range (low, high) that likely holds
            it stands for an unknown one, as `Unknown`.
    """

    x: Coordinate
    y: Coordinate
    rate: Coordinate

    def __post_init__(self) -> None:
        check_fields(self, "{} of a well", unknown=("rate",))

    @classmethod
    def of(cls, value: Any, what: str = "a well") -> Well:
        if isinstance(value, cls):
            return value
        if isinstance(value, dict) and value.keys() == {"x", "y", "rate"}:
            try:
                return cls(**value)
            except InputError as error:
                raise InputError(f"{what}: {error}") from None
        raise InputError(
            f"{what} must be a Well(x, y, rate), got {described(value)}; give its numbers"
        )

    def to_json(self, what: str = "a well") -> Any:
        rate = self.rate.to_json() if isinstance(self.rate, Unknown) else self.rate
        return {"x": self.x, "y": self.y, "rate": rate}


def check_wells(wells: Sequence[Well], domain: Domain) -> None:
    """Refuse wells outside of the domain, and more than `MOST_WELLS` of them.

    Raises:
        InputError: there are too many, or one is outside.
    """
    if len(wells) > MOST_WELLS:
        raise InputError(
            f"wells must be at most {MOST_WELLS}, got {len(wells)}; spread their rates as a source"
        )
    for i, well in enumerate(wells):
        if not domain.contains(torch.tensor([well.x, well.y], dtype=torch.float64)):
            raise InputError(
                f"well {i} must be within the domain {domain}, got x = {well.x:g}, y = {well.y:g}; "
                f"correct it"
            )
