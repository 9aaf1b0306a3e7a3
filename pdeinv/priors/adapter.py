"""A Gaussian part for a denoiser that a user has written."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdeinv.datasets import PDE
from pdeinv.grid import Field, Grid
from pdeinv.priors.base import Denoiser, DenoisingPrior
from pdeinv.priors.data import TrainingData
from pdeinv.priors.gaussian import GaussianPrior

__all__ = ["as_denoising_prior"]

_NODES = 64  # per side of the grid on which a denoiser is sampled
_DRAWS = 1000  # of states


def as_denoising_prior(prior: Denoiser, pde: PDE) -> DenoisingPrior:
    """Return a denoiser with a Gaussian part, which is fitted if the denoiser has none.

    A `DenoisingPrior` is returned unchanged. Otherwise the Gaussian part is fitted to draws of
    `prior.sample`, without symmetries.

    Arguments:
        prior: an object with `fields`, `denoise`, `sample_noise` and `sample`; see `Denoiser`.
        pde: the PDE whose fields it describes.
    """
    if isinstance(prior, DenoisingPrior):
        return prior
    grid = pde.grid(_NODES)
    states = prior.sample(_DRAWS, grid, torch.Generator().manual_seed(0)).float()
    source = f"the draws of {type(prior).__name__}"
    data = TrainingData(states, prior.fields, grid, None, source)
    return _Adapted(prior, GaussianPrior.fit(data, symmetry=False))


@dataclass(frozen=True, eq=False)
class _Adapted:
    """A user's denoiser with a Gaussian part."""

    prior: Denoiser
    gaussian: GaussianPrior
    evaluations_per_call: int = 1

    @property
    def fields(self) -> tuple[Field, ...]:
        return self.prior.fields

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        return self.prior.denoise(x, sigma)

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        return self.prior.sample_noise(n, grid, generator)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        return self.prior.sample(n, grid, generator)
