"""Noise levels, and the probability flow that takes noise down these levels to a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from pdeinv.errors import NumericalError
from pdeinv.grid import Grid
from pdeinv.progress import progress_bar

if TYPE_CHECKING:
    from pdeinv.priors.base import DenoisingPrior

__all__ = ["heun", "noise_levels", "random_levels", "sample_flow"]

SIGMA_MIN, SIGMA_MAX = 0.01, 80.0
_P_MEAN, _P_STD = -1.2, 1.2  # of log σ in training, as in EDM, but for a log-uniform share
_WIDE_SHARE, SMALLEST_TRAINED, _WIDE_MAX = 0.15, 0.005, 80.0


def noise_levels(
    steps: int, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = 7.0
) -> torch.Tensor:
    """Return the levels of EDM from sigma_max down to sigma_min, and 0, (steps + 1,), float64.

    Arguments:
        steps: number of levels above 0.
        sigma_min, sigma_max: the last of them and the first.
        rho: exponent; the larger, the more levels are small.

    Reference:
        Karras et al., *Elucidating the design space of diffusion-based generative models* (EDM),
        NeurIPS 2022, equation 5.
    """
    i = torch.arange(steps, dtype=torch.float64) / max(steps - 1, 1)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + i * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def heun(
    denoise: Callable[[torch.Tensor, float], torch.Tensor],
    x: torch.Tensor,
    sigmas: torch.Tensor,
    progress: bool = False,
) -> torch.Tensor:
    """Follow the probability flow dx/dσ = (x - D(x, σ)) / σ down the levels by Heun's steps of
    second order.

    Arguments:
        denoise: D.
        x: (batch, channel, ny, nx), states at the first level.
        sigmas: (levels,), decreasing.
        progress: show a progress bar.

    Reference:
        Karras et al. (EDM), NeurIPS 2022, algorithm 1.
    """
    pairs = list(zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True))
    for sigma, after in progress_bar(pairs, "sampling", progress, unit="step", keep=True):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + (after - sigma) * slope
        if after > 0:
            slope = (slope + (ahead - denoise(ahead, after)) / after) / 2
            ahead = x + (after - sigma) * slope
        x = ahead
    return x


@torch.no_grad()
def sample_flow(
    prior: DenoisingPrior,
    n: int,
    grid: Grid,
    generator: torch.Generator | None = None,
    *,
    steps: int = 40,
    batch: int = 32,
    progress: bool = False,
) -> torch.Tensor:
    """Return samples (n, channel, ny, nx) of the probability flow of a denoiser.

    Arguments:
        prior: the denoiser.
        n: number of samples.
        grid: of the samples.
        generator: source of the initial noise.
        steps: number of levels.
        batch: samples computed together.
        progress: show a progress bar for each batch.

    Raises:
        NumericalError: a sample is not finite.
    """
    gaussian, sigmas = prior.gaussian, noise_levels(steps)
    centre = gaussian.physical(gaussian.scale.new_zeros(1, len(gaussian.fields), 1, 1))
    starts = (centre + sigmas[0] * prior.sample_noise(n, grid, generator)).split(batch)
    samples = torch.cat([heun(prior.denoise, x, sigmas, progress) for x in starts])
    if not bool(samples.isfinite().all()):
        raise NumericalError(
            f"the samples of {type(prior).__name__} must be finite, got nan or inf; use more "
            f"steps, or train the prior again"
        )
    return samples


def random_levels(n: int, generator: torch.Generator) -> torch.Tensor:
    """Return random noise levels (n,) for training.

    Arguments:
        n: their number.
        generator: source of them.
    """

    def draw(kind: Callable[..., torch.Tensor]) -> torch.Tensor:
        return kind(n, dtype=torch.float32, generator=generator)

    wide = SMALLEST_TRAINED * (_WIDE_MAX / SMALLEST_TRAINED) ** draw(torch.rand)
    usual = (_P_MEAN + _P_STD * draw(torch.randn)).exp()
    return torch.where(draw(torch.rand) < _WIDE_SHARE, wide, usual)
