"""Objects of one value on a background of another."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["TwoValuedObjects"]


@dataclass(frozen=True)
class TwoValuedObjects(ObjectPrior, contract=True):
    """Objects in which the coefficient is `high`, on a background where it is `low`.

    Arguments:
        fewest, most: number of objects.
        low, high: the two values, in the coefficient's units.

    Raises:
        InputError: `low` is not below `high`, or as of `ObjectPrior`.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise InputError(
                f"low must be below high in a {self.name} prior, got low = {self.low:g} and high = "
                f"{self.high:g}; change one of them"
            )

    @abstractmethod
    def inside(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Return which nodes are in which object, (batch, most, ny, nx), bool."""

    def render(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        inside = self.inside(scenes, grid) & scenes.present[:, :, None, None]
        low, high = (torch.tensor(v, dtype=torch.float64) for v in self.phases)
        return torch.where(inside.any(dim=1, keepdim=True), high, low)

    @property
    def phases(self) -> tuple[float, float]:
        return (self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        return (self.low, self.high)
