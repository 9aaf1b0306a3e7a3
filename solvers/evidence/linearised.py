"""Readings as a linear function of the latent field, and their evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.latent_field import LatentField
from pdeinv.observation import Observation
from pdeinv.solvers.linear_algebra import cholesky_with_nugget, nugget_variance

__all__ = ["GaussianReadings", "LinearisedReadings", "most_grams"]


_MOST_WAVES = 6e7  # numbers in a table of waves
_KEPT = 3e7  # numbers in covariances that are kept


class GaussianReadings(NamedTuple):
    """The readings as Gaussian numbers, of the covariance G.

    Attributes:
        lower: Cholesky factor of G, (m, m).
        white: L⁻¹ (y - e), (m, 1).
    """

    lower: torch.Tensor
    white: torch.Tensor

    @property
    def log_evidence(self) -> float:
        """Logarithm of the density of the readings.

        Reference:
            Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eq. 2.30.
        """
        m = len(self.lower)
        logarithm = 2 * self.lower.diagonal().log().sum() + m * math.log(2 * math.pi)
        return float(-(self.white.square().sum() + logarithm) / 2)

    def posterior(self, column: torch.Tensor) -> tuple[float, float]:
        """Return the mean and the standard deviation, given the readings, of a number that is
        standard normal a priori and a part of the covariance.

        Arguments:
            column: readings that the number 1 adds, (m,).
        """
        half = torch.linalg.solve_triangular(self.lower, column[:, None], upper=False)
        left = 1 - float(half.square().sum())
        return float((half * self.white).sum()), math.sqrt(max(left, 0.0))


@dataclass(frozen=True)
class LinearisedReadings:
    """y = e + J f + B b + noise, near a field: f is the latent field on the grid, b are further
    standard normal numbers, such as biases.

    The latent field's distribution is no part of it, so that one linearisation serves priors of any
    length and deviation.

    Arguments:
        observation: y and its noise; the biases are among the columns, not in the noise.
        rows: J at the nodes, (m, ny, nx).
        columns: B, (m, k).
        expected: e, (m,).
        nugget: variance added to each reading, as of `nugget_variance`.
        exact: whether the readings are linear in f and b, so that any other field has the same.
        settled: whether the search for that field has come to its end.
    """

    observation: Observation
    rows: torch.Tensor
    columns: torch.Tensor
    expected: torch.Tensor
    nugget: float = 1e-12
    exact: bool = False
    settled: bool = True

    @staticmethod
    def numbers_held(m: int, nodes: int) -> float:
        """Return the numbers that m readings of so many nodes take, with their waves, and with
        the covariances of several fields."""
        return m * nodes + min(_MOST_WAVES, 8 * m * nodes) + (most_grams(m) + 8) * m**2

    @cached_property
    def constant(self) -> torch.Tensor:
        """Readings that a latent field of 1 everywhere adds, (m,)."""
        return self.rows.sum(dim=(1, 2))

    def gram_of(self, prior: CoefficientPrior, latent: LatentField) -> torch.Tensor:
        """Return the covariance of the readings that a prior's latent field causes, (m, m).

        Where the map from the field is no affine one, it may depend on other numbers of the prior.
        """
        return self.gram(latent)

    def gram(self, latent: LatentField) -> torch.Tensor:
        """Return J C Jᵀ, the covariance of the readings that a latent field causes, (m, m)."""
        if self._on_torus(latent):
            eigenvalues = latent.circulant(self.observation.grid)
            if eigenvalues is not None:
                weights = eigenvalues.flatten().repeat_interleave(2)
                gram = (self._waves * weights) @ self._waves.T
                return (gram + gram.T) / 2
        half = latent.square_root_adjoint(self.rows[:, None], self.observation.grid).flatten(1)
        return half @ half.T

    def _on_torus(self, latent: LatentField) -> bool:
        """Whether the waves of a torus of nodes cost less than the functions of the field."""
        m, (ny, nx) = len(self.rows), self.observation.grid.shape
        tall, size = latent.shape[-2], latent.size
        functions = 4 * m * (tall * ny * nx + size * nx // 2) + m**2 * size
        waves = m * 4 * ny * (nx + 1)
        return m * waves < functions and waves < _MOST_WAVES

    @cached_property
    def _waves(self) -> torch.Tensor:
        """Real and imaginary parts of the waves of the rows on a torus, (m, 2 k). Those that stand
        for their negative too count as two."""
        grid = self.observation.grid
        ny, nx = grid.shape if grid.periodic else (2 * n for n in grid.shape)
        waves = torch.fft.rfft2(self.rows, s=(ny, nx)) / math.sqrt(ny * nx)
        pairs = torch.full((waves.shape[-1],), math.sqrt(2), dtype=torch.float64)
        pairs[0] = 1.0
        if nx % 2 == 0:
            pairs[-1] = 1.0
        return torch.view_as_real((waves * pairs).flatten(1)).flatten(1)

    def subset(self, chosen: torch.Tensor) -> LinearisedReadings:
        """Return those of some of the readings; `chosen` as of `Observation.subset`."""
        observation = self.observation.subset(chosen)
        rows = {name: getattr(self, name)[chosen] for name in ("rows", "columns", "expected")}
        return replace(self, observation=observation, **rows)

    def gaussian(
        self,
        gram: torch.Tensor,
        noise_std: torch.Tensor | None = None,
        constant_std: float = 0.0,
    ) -> GaussianReadings:
        """Return the readings as Gaussian numbers.

        Arguments:
            gram: J C Jᵀ, (m, m).
            noise_std: of the readings' own noise, (m,); that of the observation if None.
            constant_std: standard deviation of a constant that is added to the latent field.
        """
        o = self.observation
        std = o.noise_std if noise_std is None else noise_std
        nugget = nugget_variance(gram.diagonal(), o, self.nugget)
        covariance = gram + self.columns @ self.columns.T
        if constant_std:
            column = constant_std * self.constant[:, None]
            covariance += column @ column.T
        covariance.diagonal().add_(std**2)
        lower = cholesky_with_nugget(covariance, nugget)
        residual = (o.values - self.expected)[:, None]
        return GaussianReadings(lower, torch.linalg.solve_triangular(lower, residual, upper=False))

    def log_evidence(self, gram: torch.Tensor, noise_std: torch.Tensor | None = None) -> float:
        """Return the logarithm of the density of the readings; arguments as of `gaussian`."""
        return self.gaussian(gram, noise_std).log_evidence


def most_grams(m: int) -> int:
    """Return how many covariances of m readings are kept."""
    return min(200, max(4, int(_KEPT / max(1, m) ** 2)))
