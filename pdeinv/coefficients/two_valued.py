"""Objects of one value on a background of another."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import reduce

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
    def depth(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Return how deep each node lies in each object, (batch, most, ny, nx), in shorter sides.

        It is positive inside and negative outside, and about the distance to the object's edge near
        that.
        """

    def render(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        low, high = (torch.tensor(v, dtype=torch.float64) for v in self.phases)
        return torch.where(self._depth(scenes, grid) > 0, high, low)

    def _depth(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Return how deep each node lies in the objects, (batch, 1, ny, nx)."""
        missing = torch.where(scenes.present, 0.0, torch.inf)[:, :, None, None]
        return reduce(torch.maximum, (self.depth(scenes, grid) - missing).split(1, dim=1))

    def render_coarsely(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Geometric means over the cells of the nodes, about which media of two values are in two
        dimensions; a continuous function of all numbers of the objects."""
        ends = 1 if grid.kind == "vertex" else 0
        fine = grid.resized(*(cells * _PARTS + ends for cells in grid.cells))
        width = grid.domain.aspect[0] / fine.cells[1]
        depth = self._depth(scenes.to(torch.float32), fine)  # of many nodes; the rest takes little
        covered = (depth / width + 0.5).clamp(0, 1)
        share = _means(covered) if ends else functional.avg_pool2d(covered, _PARTS)
        share = share.double()  # as solutions have the type of the coefficient
        return self.low * (share * math.log(self.high / self.low)).exp()

    @property
    def phases(self) -> tuple[float, float]:
        return (self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        return (self.low, self.high)


def _means(covered: torch.Tensor) -> torch.Tensor:
    """Return means about the nodes (..., ny, nx), with weights that fall linearly to 0 at the next
    nodes, of values on a vertex grid with `_PARTS` times as many cells."""
    tent = 1 - torch.arange(1 - _PARTS, _PARTS, device=covered.device).abs().to(covered) / _PARTS
    padded = functional.pad(covered, (_PARTS - 1,) * 4, mode="replicate")
    kernel = (tent[:, None] * tent)[None, None] / _PARTS**2
    return functional.conv2d(padded, kernel, stride=_PARTS)
