"""From noise to a field: noise levels, and the steps between them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from tqdm import tqdm

__all__ = ["heun", "noise_levels"]

SIGMA_MIN, SIGMA_MAX = 0.01, 80.0


def noise_levels(
    steps: int, sigma_min: float = SIGMA_MIN, sigma_max: float = SIGMA_MAX, rho: float = 7.0
) -> torch.Tensor:
    """EDM's `steps` levels from sigma_max down to sigma_min, and 0 after them; (steps + 1,),
    float64.

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
    """Follow the probability flow dx/dσ = (x - D(x, σ)) / σ down the levels by Heun's second-order
    steps.

    Reference:
        Karras et al. (EDM), NeurIPS 2022, algorithm 1.
    """
    pairs = list(zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True))
    for sigma, after in tqdm(pairs, desc="sampling", unit="step", disable=not progress):
        slope = (x - denoise(x, sigma)) / sigma
        ahead = x + (after - sigma) * slope
        if after > 0:
            slope = (slope + (ahead - denoise(ahead, after)) / after) / 2
            ahead = x + (after - sigma) * slope
        x = ahead
    return x
