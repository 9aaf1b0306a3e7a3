"""A denoiser averaged over a symmetry group."""

from __future__ import annotations

import torch

from pdeinv.grid import Grid
from pdeinv.symmetry import Group

__all__ = ["GroupAveraged"]


class GroupAveraged:
    """A prior whose denoiser is the mean of g⁻¹ D(g x, σ) over a group's elements: exactly equivariant under them.

    As many times the cost as there are elements. Of continuous translations none but the identity is averaged over.

    Arguments:
        prior: what is averaged.
        group: under which it becomes equivariant.
    """

    def __init__(self, prior, group: Group):
        self.prior, self.group = prior, group
        self.gaussian, self.fields = getattr(prior, "gaussian", prior), prior.fields

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """As the prior's, shape and units of x; differentiable."""
        grid = Grid(x.shape[-1], self.gaussian.grid.kind)
        return sum(g.inverse()(self.prior.denoise(g(x, grid), sigma), grid) for g in self.group) / len(self.group)

    def sample_noise(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.prior.sample_noise(n, grid, generator)
