"""Objects of one value on a background of another."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch.nn import functional

from pdeinv.coefficients.objects import ObjectPrior, Scenes
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["TwoValuedObjects"]

_PARTS = 2  # of a coarse cell along each axis


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

    def render_coarsely(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Geometric means over the cells of the nodes, about which media of two values are in two
        dimensions."""
        ny, nx = ((n - 1) * _PARTS + 1 for n in grid.shape)
        fine = self.render(scenes, grid.resized(ny, nx)).log()
        tent = 1 - torch.arange(1 - _PARTS, _PARTS).abs().to(fine) / _PARTS
        side = _PARTS - 1
        padded = functional.pad(fine, (side,) * 4, mode="replicate")
        kernel = (tent[:, None] * tent)[None, None] / _PARTS**2
        return functional.conv2d(padded, kernel, stride=_PARTS).exp()

    @property
    def phases(self) -> tuple[float, float]:
        return (self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        return (self.low, self.high)
