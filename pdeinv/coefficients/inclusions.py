"""Media of two values with a few ellipses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.coefficients.objects import Scenes, Sizes, Span, balanced, in_words, offsets, scaled
from pdeinv.coefficients.two_valued import TwoValuedObjects
from pdeinv.grid import Domain, Grid

__all__ = ["Inclusions"]


@dataclass(frozen=True)
class Inclusions(TwoValuedObjects):
    """A medium of two values: a few ellipses of `high`, at any angle, in a background of `low`.

    All numbers are uniform. Ellipses may overlap.

    Arguments:
        fewest, most: number of ellipses.
        low, high: the two values, in the coefficient's units.
        centre: span of both coordinates of a centre, in shares of the domain's sides. Where it
            is the same from either side, the law has the symmetries of the domain.
        half_axis: span of both half axes, in shorter sides.

    Example:
        >>> from pdeinv import Grid, Inclusions
        >>> Inclusions(low=1.0, high=100.0).sample(2, Grid(16)).unique().tolist()
        [1.0, 100.0]
    """

    fewest: int = 3
    most: int = 6
    low: float = 3.0
    high: float = 12.0
    centre: Span = (0.05, 0.95)
    half_axis: Sizes = (0.06, 0.18)

    name = "inclusions"
    each: ClassVar[int] = 5  # x, y, both half axes, angle
    cyclic: ClassVar[tuple[int, ...]] = (4,)

    @property
    def balanced(self) -> bool:
        return balanced(self.centre)

    def phrase(self, domain: Domain) -> str:
        return (
            f"{self.low:g} with {self.number_in_words} ellipses of {self.high:g}, with centres at "
            f"{in_words(self.centre)} of each side and half axes of {in_words(self.half_axis)} "
            f"shorter sides"
        )

    def depth(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        x, y = offsets(scenes.objects[..., :2], self.centre, grid)
        one, other, angle = (n[:, :, None, None] for n in scenes.objects[..., 2:].unbind(-1))
        cos, sin = (math.pi * angle).cos(), (math.pi * angle).sin()
        one, other = scaled(one, self.half_axis), scaled(other, self.half_axis)
        distance = ((x * cos + y * sin) / one).square() + ((y * cos - x * sin) / other).square()
        return (1 - distance.sqrt()) * torch.minimum(one, other)
