"""Media of two values with a few winding bands: channels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.checks import NotNegative
from pdeinv.coefficients.objects import Scenes, Sizes, Span, centred, in_words, scaled
from pdeinv.coefficients.two_valued import TwoValuedObjects
from pdeinv.grid import Domain, Grid

__all__ = ["Channels"]


@dataclass(frozen=True)
class Channels(TwoValuedObjects):
    """A medium of two values: winding channels of `high` in one random direction, `low` elsewhere.

    With a along the direction and b across it, from the domain's centre, a channel is

        |b - offset - A sin(2π a / L + phase)| < (w / 2) sqrt(1 + slope²),

    where slope is the derivative of the sine: its width is about w everywhere. All numbers are
    uniform. Lengths are shares of the domain's shorter side.

    Arguments:
        fewest, most: number of channels.
        low, high: the two values, in the coefficient's units.
        width, meander, wavelength: spans of w, A and L.
        reach: largest offset, in halves of the domain's diagonal.

    Example:
        >>> from pdeinv import Channels, Grid
        >>> Channels().sample(2, Grid(16)).unique().tolist()
        [3.0, 12.0]
    """

    fewest: int = 2
    most: int = 4
    low: float = 3.0
    high: float = 12.0
    width: Sizes = (0.05, 0.10)
    meander: Span = (0.03, 0.12)
    wavelength: Sizes = (0.35, 0.8)
    reach: NotNegative = 0.99

    name = "channels"
    common: ClassVar[int] = 1  # the direction
    each: ClassVar[int] = 5  # offset, meander, wavelength, width, phase
    cyclic_common: ClassVar[tuple[int, ...]] = (0,)
    cyclic: ClassVar[tuple[int, ...]] = (4,)

    def phrase(self, domain: Domain) -> str:
        return (
            f"{self.low:g} with {self.number_in_words} parallel channels of {self.high:g}, of "
            f"widths {in_words(self.width)}, meanders {in_words(self.meander)} and wavelengths "
            f"{in_words(self.wavelength)} shorter sides, offset by up to {self.reach:g} half "
            f"diagonals"
        )

    def wrapped(self, scenes: Scenes) -> Scenes:
        # Half a turn of the direction changes the signs of a and b
        turned = (scenes.common[:, 0].floor().remainder(2) == 1)[:, None]
        objects = scenes.objects.clone()
        objects[..., 0] = torch.where(turned, 1 - objects[..., 0], objects[..., 0])
        objects[..., 4] = torch.where(turned, -objects[..., 4], objects[..., 4])
        return super().wrapped(Scenes(scenes.common, objects, scenes.count))

    def depth(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        x, y = centred(grid, scenes.objects.dtype)
        theta = (math.pi * scenes.common)[:, :, None]
        offset, amplitude, wavelength, width, phase = (
            number[:, :, None] for number in self._numbers(scenes, grid.domain)
        )
        turns, half = 2 * math.pi / wavelength, width / 2
        # The distance along b and the slope are sums of functions of y times functions of x
        along_x, along_y = turns * x * theta.cos() + phase, turns * y * theta.sin()
        sine, cosine = amplitude * along_x.sin(), amplitude * along_x.cos()
        one, across = torch.ones_like(along_y), (x * theta.sin()).expand_as(sine)
        of_y = [y * theta.cos() - offset, -one, -along_y.cos(), -along_y.sin()]
        of_x = [torch.ones_like(sine), across, sine, cosine]
        distance = torch.stack(of_y, dim=-1) @ torch.stack(of_x, dim=-2)
        of_y = [along_y.cos(), -along_y.sin()]
        slope = turns[..., None] * (torch.stack(of_y, -1) @ torch.stack([cosine, sine], -2))
        # In place, for these arrays of all objects take most of the time
        return half[..., None] - distance.abs_().mul_(slope.square_().add_(1).rsqrt_())

    def _numbers(self, scenes: Scenes, domain: Domain) -> tuple[torch.Tensor, ...]:
        """The numbers of the channels, each (batch, most)."""
        offset, amplitude, wavelength, width, phase = scenes.objects.unbind(-1)
        farthest = self.reach * math.hypot(*domain.aspect) / 2
        return (
            scaled(offset, (-farthest, farthest)),
            scaled(amplitude, self.meander),
            scaled(wavelength, self.wavelength),
            scaled(width, self.width),
            2 * math.pi * phase,
        )
