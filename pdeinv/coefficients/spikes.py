"""Fields that are zero but for a few compact bumps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.coefficients.objects import (
    ObjectPrior,
    Scenes,
    Sizes,
    Span,
    balanced,
    in_words,
    offsets,
    scaled,
)
from pdeinv.grid import Domain, Grid

__all__ = ["Spikes"]


@dataclass(frozen=True)
class Spikes(ObjectPrior):
    """Zero but for a few bumps h (1 - r²/R²)² within a radius R, of either sign.

    All numbers are uniform, and so is the sign of h.

    Arguments:
        fewest, most: number of bumps.
        centre: span of both coordinates of a centre, in shares of the domain's sides. Where it
            is the same from either side, the law has the symmetries of the domain.
        radius: span of R, in shorter sides.
        height: span of |h|, in the coefficient's units.

    Example:
        >>> from pdeinv import Grid, Spikes
        >>> float(Spikes(most=1).sample(1, Grid(16))[0, 0, 0, 0])
        0.0
    """

    fewest: int = 1
    most: int = 5
    centre: Span = (0.15, 0.85)
    radius: Sizes = (0.05, 0.15)
    height: Sizes = (0.5, 2.0)

    name = "spikes"
    each: ClassVar[int] = 4  # x, y, radius, height with its sign

    @property
    def balanced(self) -> bool:
        return balanced(self.centre)

    def phrase(self, domain: Domain) -> str:
        return (
            f"0 with {self.number_in_words} bumps of either sign, of heights "
            f"{in_words(self.height)}, with centres at {in_words(self.centre)} of each side and "
            f"radii of {in_words(self.radius)} shorter sides"
        )

    @property
    def symmetric(self) -> bool:
        return True

    def render(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        x, y = offsets(scenes.objects[..., :2], self.centre, grid)
        radius, height = (n[:, :, None, None] for n in scenes.objects[..., 2:].unbind(-1))
        radius, signed = scaled(radius, self.radius), 2 * height - 1
        height = signed.sign() * scaled(signed.abs(), self.height)
        inside = (1 - (x.square() + y.square()) / radius.square()).clamp(min=0)
        bumps = height * inside.square() * scenes.present[:, :, None, None]
        return bumps.sum(dim=1, keepdim=True)
