"""Residuals of readings in the metric of their noise, with the biases that several share."""

from __future__ import annotations

import torch

__all__ = ["Whitening"]


class Whitening:
    """W with Wᵀ W = (V + B Bᵀ)⁻¹: residuals of readings become standard normal.

    W = P V^(-½), where P = (I + V^(-½) B Bᵀ V^(-½))^(-½) shrinks a vector along the biases alone.

    Arguments:
        std: (m,), standard deviations of what is independent, positive; V = diag(std²).
        common: B, (m, k); k may be 0.
    """

    def __init__(self, std: torch.Tensor, common: torch.Tensor):
        self.std = std
        self.axes, size, _ = torch.linalg.svd(common / std[:, None], full_matrices=False)
        self.lost = 1 - (1 + size**2).rsqrt()

    def __call__(self, residual: torch.Tensor) -> torch.Tensor:
        """Return W r of residuals (batch, m)."""
        return self._shrunk(residual / self.std)

    def adjoint(self, weights: torch.Tensor) -> torch.Tensor:
        """Return Wᵀ w of vectors (batch, m)."""
        return self._shrunk(weights) / self.std

    def _shrunk(self, x: torch.Tensor) -> torch.Tensor:
        if not len(self.lost):
            return x
        return x - ((x @ self.axes) * self.lost) @ self.axes.T
