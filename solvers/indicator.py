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
    share = float(torch.special.ndtr(torch.tensor(-threshold, dtype=torch.float64)))
    if isinstance(latent, FourierField):
        return _of_distances(_of_correlation(_by_distance(latent, grid), threshold), grid), share
    return _of_correlation(_correlation(latent, grid), threshold), share


def _of_correlation(correlation: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return the covariances of the indicator for correlations of the latent field."""
    theta = torch.asin(correlation.clamp(-1, 1))
    if not threshold:
        return theta / (2 * math.pi)
    angles = np.linspace(-math.pi / 2, math.pi / 2, _ANGLES)
    density = np.exp(-(threshold**2) / np.maximum(1 + np.sin(angles), 1e-300)) / (2 * math.pi)
    steps = (density[1:] + density[:-1]) / 2 * np.diff(angles)
    integral = np.concatenate([[0.0], steps.cumsum()])
    integral -= integral[_ANGLES // 2]
    return torch.from_numpy(np.interp(theta.numpy(), angles, integral))


def _correlation(latent: LatentField, grid: Grid) -> torch.Tensor:
    """Return the correlations of a latent field between nodes, (nodes, nodes)."""
    unit = torch.eye(grid.nodes, dtype=torch.float64).reshape(-1, 1, *grid.shape)
    field = latent.truncated(grid)
    parts = [field.covariance(part, grid) for part in unit.split(_TOGETHER)]
    covariance = torch.cat(parts).flatten(1)
    std = covariance.diagonal().sqrt().clamp(min=1e-300)
    return covariance / std / std[:, None]


def _by_distance(latent: FourierField, grid: Grid) -> torch.Tensor:
    """Return the correlations of a stationary field at the distances 0 ... ny - 1 along y and
    1 - nx ... nx - 1 along x, in nodes, from those with two corners."""
    corners = torch.zeros(2, 1, *grid.shape, dtype=torch.float64)
    corners[0, 0, 0, 0] = corners[1, 0, 0, -1] = 1.0
    right, left = latent.covariance(corners, grid)[:, 0] / latent.std**2
    return torch.cat([left, right[:, 1:]], dim=1)


def _of_distances(table: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the matrix (nodes, nodes) of numbers `_by_distance`, the same for r and -r."""
    nx, (y, x) = grid.nx, (torch.arange(n, device=table.device) for n in grid.shape)
    dy, dx = (y - y[:, None])[:, None, :, None], (x - x[:, None])[None, :, None, :]
    sign = torch.where(dy < 0, -1, 1)
    place = dy.abs() * table.shape[1] + sign * dx + nx - 1
    return table.flatten()[place.flatten()].reshape(grid.nodes, grid.nodes)
