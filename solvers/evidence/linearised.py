"""Readings as a linear function of the latent field, and their evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from pdeinv.latent_field import LatentField
from pdeinv.observation import Observation
from pdeinv.solvers.linear_algebra import cholesky_with_nugget, nugget_variance

__all__ = ["LinearisedReadings"]


@dataclass(frozen=True)
class LinearisedReadings:
    """y = e + J f + B b + noise, near a field: f is the latent field on the grid, b are further
    standard normal numbers, such as biases.

    It is exact where all is linear. The latent field's distribution is no part of it, so that
    one linearisation serves priors of any length and deviation.

    Arguments:
        observation: y and its noise; the biases are among the columns, not in the noise.
        rows: J at the nodes, (m, ny, nx).
        columns: B, (m, k).
        expected: e, (m,).
        nugget: variance added to each reading, as of `nugget_variance`.
    """

    observation: Observation
    rows: torch.Tensor
    columns: torch.Tensor
    expected: torch.Tensor
    nugget: float = 1e-12

    def gram(self, latent: LatentField) -> torch.Tensor:
        """Return J C Jᵀ, the covariance of the readings that a latent field causes, (m, m)."""
        half = latent.square_root_adjoint(self.rows[:, None], self.observation.grid).flatten(1)
        return half @ half.T

    def log_evidence(self, gram: torch.Tensor, noise_std: torch.Tensor | None = None) -> float:
        """Return the logarithm of the density of the readings.

        Arguments:
            gram: J C Jᵀ, (m, m).
            noise_std: of the readings' own noise, (m,); that of the observation if None.

        Reference:
            Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eq. 2.30.
        """
        lower = self.factor(gram, noise_std)
        residual = (self.observation.values - self.expected)[:, None]
        white = torch.linalg.solve_triangular(lower, residual, upper=False)
        logarithm = 2 * lower.diagonal().log().sum() + len(residual) * math.log(2 * math.pi)
        return float(-(white.square().sum() + logarithm) / 2)

    def factor(self, gram: torch.Tensor, noise_std: torch.Tensor | None = None) -> torch.Tensor:
        """Return the lower Cholesky factor (m, m) of the covariance of the readings; arguments as
        of `log_evidence`."""
        o = self.observation
        std = o.noise_std if noise_std is None else noise_std
        nugget = nugget_variance(gram.diagonal(), o, self.nugget)
        covariance = gram + self.columns @ self.columns.T + torch.diag(std**2)
        return cholesky_with_nugget(covariance, nugget)
