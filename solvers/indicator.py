"""The indicator of the high phase of a medium of two phases, and its covariance."""

from __future__ import annotations

import math

import numpy as np
import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.fourier_field import FourierField
from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField

__all__ = ["indicator_covariance"]

_ANGLES = 513  # of the table of an integral
_TOGETHER = 64  # columns of a covariance that are computed at a time


def indicator_covariance(
    prior: CoefficientPrior, latent: LatentField, grid: Grid
) -> tuple[torch.Tensor, float]:
    """Return the covariance of the indicator of the high phase at the nodes of a grid,
    (nodes, nodes), and its mean.

    For the threshold τ of a latent field of variance 1 with the correlation r it is

        1/(2π) ∫ exp(-τ² / (1 + sin θ)) dθ,    θ from 0 to arcsin r.

    Reference:
        Plackett, *A reduction formula for normal multivariate integrals*, Biometrika 41, 1954.
    """
    threshold = prior.threshold / latent.std
    correlation = _correlation(latent, grid)
    theta = torch.asin(correlation)
    share = float(torch.special.ndtr(torch.tensor(-threshold, dtype=torch.float64)))
    if not threshold:
        return theta / (2 * math.pi), share
    angles = np.linspace(-math.pi / 2, math.pi / 2, _ANGLES)
    density = np.exp(-(threshold**2) / np.maximum(1 + np.sin(angles), 1e-300)) / (2 * math.pi)
    steps = (density[1:] + density[:-1]) / 2 * np.diff(angles)
    integral = np.concatenate([[0.0], steps.cumsum()])
    integral -= integral[_ANGLES // 2]
    return torch.from_numpy(np.interp(theta.numpy(), angles, integral)), share


def _correlation(latent: LatentField, grid: Grid) -> torch.Tensor:
    """Return the correlations of a latent field between nodes, (nodes, nodes)."""
    ny, nx = grid.shape
    if not isinstance(latent, FourierField):
        unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, ny, nx)
        field = latent.truncated(grid)
        parts = [field.covariance(part, grid) for part in unit.split(_TOGETHER)]
        covariance = torch.cat(parts).flatten(1)
        std = covariance.diagonal().sqrt()
        return (covariance / std / std[:, None]).clamp(-1, 1)
    # A stationary one is a function of the distance, from two corners
    corners = torch.zeros(2, 1, ny, nx, dtype=torch.float64)
    corners[0, 0, 0, 0] = corners[1, 0, 0, -1] = 1.0
    right, left = latent.covariance(corners, grid)[:, 0] / latent.std**2
    of_distance = torch.cat([left, right[:, 1:]], dim=1)  # at dy = 0 ..., dx = 1 - nx ... nx - 1
    y, x = (torch.arange(n) for n in (ny, nx))
    dy, dx = (y - y[:, None])[:, None, :, None], (x - x[:, None])[None, :, None, :]
    sign = torch.where(dy < 0, -1, 1)
    table = of_distance[dy.abs().expand(ny, nx, ny, nx), sign * dx + nx - 1]
    return table.reshape(grid.nodes, grid.nodes).clamp(-1, 1)
