"""How well a prior denoises fields that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from pdeinv import seeds
from pdeinv.priors.base import DenoisingPrior
from pdeinv.priors.data import STD, TrainingData

__all__ = ["LEVELS", "denoising_errors"]

LEVELS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 20.0)
"""Noise levels at which a prior is validated."""


@torch.no_grad()
def denoising_errors(
    prior: DenoisingPrior, data: TrainingData, sigmas: Sequence[float] = LEVELS, seed: int = 1
) -> dict[str, list[float]]:
    """Return the root mean squares of x0 - D(x0 + σ noise, σ), relative to the standard deviation
    of each field.

    Arguments:
        prior: the denoiser D.
        data: the states x0.
        sigmas: noise levels.
        seed: of the noise.

    Returns:
        For each field one error for each level.
    """
    noise = prior.sample_noise(len(data), data.grid, seeds.generator(seeds.TUNING, seed))
    noise = noise.to(data.values.device)
    std = STD * prior.gaussian.scale[:, None, None].to(noise)
    rows = []
    for sigma in sigmas:
        squares = []
        for states, part in zip(data.values.double().split(64), noise.split(64), strict=True):
            denoised = prior.denoise(states + sigma * part, sigma)
            squares.append(((denoised - states) / std).square().mean(dim=(2, 3)))
        rows.append(torch.cat(squares).mean(dim=0).sqrt())
    table = torch.stack(rows, dim=1)
    return {
        f.name: [round(float(v), 6) for v in row] for f, row in zip(data.fields, table, strict=True)
    }
