"""The contracts of priors and of stored models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from pdeinv.grid import Field, Grid

if TYPE_CHECKING:
    from pdeinv.priors.gaussian import GaussianPrior

__all__ = ["Denoiser", "DenoisingPrior", "Prior"]


class Prior(Protocol):
    """A distribution of states (coefficient, solution), or of the coefficient alone."""

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, grid.n, grid.n) in physical units."""
        ...


@runtime_checkable
class Denoiser(Prior, Protocol):
    """A prior with a denoiser: what the diffusion solvers need, and what a user may write.

    The level σ of the noise is in units of normalised fields, whose standard deviation is 0.5:
    noise of the level 1 has about twice the standard deviation of each field.
    """

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the channels."""
        ...

    def denoise(self, x: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
        """Return E[x0 | x = x0 + σ noise], differentiable with respect to x.

        Arguments:
            x: (batch, channel, n, n), noised states in physical units.
            sigma: a number or (batch,), the level of the noise.
        """
        ...

    def sample_noise(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return n draws (n, channel, grid.n, grid.n) of the noise of level 1, in physical
        units."""
        ...


@runtime_checkable
class DenoisingPrior(Denoiser, Protocol):
    """A denoiser with a Gaussian part; see `pdeinv.priors.as_denoising_prior`."""

    @property
    def gaussian(self) -> GaussianPrior:
        """The normalisation, the noise, and a Gaussian approximation of the prior."""
        ...

    @property
    def evaluations_per_call(self) -> int:
        """Network evaluations of one call of `denoise`."""
        ...
