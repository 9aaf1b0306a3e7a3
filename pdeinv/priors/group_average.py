"""A denoiser averaged over a symmetry group."""

from __future__ import annotations

from dataclasses import replace

import torch

from pdeinv.grid import Grid
from pdeinv.symmetry import Group, Symmetry

__all__ = ["GroupAveraged"]


class GroupAveraged:
    """A prior whose denoiser is the mean of g⁻¹ D(g x, σ) over a group's elements: exactly
    equivariant under them.

    As many times the cost as the finite part of the group has elements, with their products; the
    continuous translations are not averaged over.

    Arguments:
        prior: what is averaged.
        group: under which it becomes equivariant.
    """

    def __init__(self, prior, group: Group):
        self.prior, self.group = prior, group
        self.gaussian, self.fields = getattr(prior, "gaussian", prior), prior.fields
        self.elements = _closed(group, self.gaussian.grid.periodic)
        self.times = len(self.elements)

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """As the prior's, shape and units of x; differentiable."""
        grid = Grid(x.shape[-1], self.gaussian.grid.kind)
        return (
            sum(g.inverse()(self.prior.denoise(g(x, grid), sigma), grid) for g in self.elements)
            / self.times
        )

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        return self.prior.sample_noise(n, grid, generator)


def _closed(group: Group, periodic: bool) -> tuple[Symmetry, ...]:
    """The elements of the finite part and all their products."""
    found: dict[Symmetry, None] = {}
    waiting = list(group)
    while waiting:
        g = waiting.pop()
        if periodic:
            g = replace(g, shift=tuple(round(s % 1.0, 9) % 1.0 for s in g.shift))
        if g not in found:
            found[g] = None
            waiting += [g @ h for h in group]
    return tuple(found)
