"""Draws of symmetric distributions in antithetic pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch

__all__ = ["antithetic", "antithetic_normal"]


def antithetic(draw: Callable[[int], torch.Tensor], n: int) -> torch.Tensor:
    """Return n draws of a symmetric distribution in antithetic pairs.

    Draws 2i and 2i + 1 are x and -x; an odd last one is single.

    Arguments:
        draw: returns k independent draws (k, ...).
        n: number of draws.
    """
    half = draw((n + 1) // 2)
    return torch.stack([half, -half], dim=1).flatten(0, 1)[:n]


def antithetic_normal(n: int, size: int, generator: torch.Generator | None) -> torch.Tensor:
    """Return n draws (n, size) of standard normal numbers in antithetic pairs, float64."""
    return antithetic(lambda k: torch.randn(k, size, dtype=torch.float64, generator=generator), n)
