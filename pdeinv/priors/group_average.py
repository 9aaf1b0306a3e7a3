"""A denoiser averaged over a symmetry group."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import torch

from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors.base import DenoisingPrior
from pdeinv.priors.gaussian import GaussianPrior
from pdeinv.priors.schedule import sample_flow
from pdeinv.symmetry import Group, Symmetry

__all__ = ["GroupAveraged"]


class GroupAveraged:
    """A prior whose denoiser is the mean of g⁻¹ D(g x, σ) over the elements g of a group.

    The denoiser is exactly equivariant under the elements of the group's finite part and their
    products. One call evaluates the prior once for each of them. Continuous translations are not
    averaged over.

    Arguments:
        prior: the prior to average.
        group: the group under which it becomes equivariant, acting on the prior's fields.
    """

    def __init__(self, prior: DenoisingPrior, group: Group):
        self.prior, self.group = prior, group
        self.elements = _closed(self.group, self.gaussian.grid.periodic)

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the channels."""
        return self.prior.fields

    @property
    def gaussian(self) -> GaussianPrior:
        """The Gaussian part of the prior, which is not averaged."""
        return self.prior.gaussian

    @property
    def evaluations_per_call(self) -> int:
        """Network evaluations of one call of `denoise`."""
        return len(self.elements) * self.prior.evaluations_per_call

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return the averaged denoiser's E[x0 | x = x0 + σ noise], in the shape and units of x."""
        grid = self.gaussian.grid_of(x)
        parts = (g.inverse()(self.prior.denoise(g(x, grid), sigma), grid) for g in self.elements)
        return reduce(torch.add, parts) / len(self.elements)

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n draws (n, channel, ny, nx) of the noise of level 1, in physical
        units."""
        return self.prior.sample_noise(n, grid, generator)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) in physical units, by the probability
        flow."""
        return sample_flow(self, n, grid, generator)


def _closed(group: Group, periodic: bool) -> tuple[Symmetry, ...]:
    """Return the elements of the finite part and all their products."""
    found: dict[Symmetry, None] = {}
    waiting = list(group)
    while waiting:
        g = waiting.pop()
        if periodic:
            sx, sy = (round(s % 1.0, 9) % 1.0 for s in g.shift)
            g = replace(g, shift=(sx, sy))
        if g not in found:
            found[g] = None
            waiting += [g @ h for h in group]
    return tuple(found)
