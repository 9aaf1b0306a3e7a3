"""Members of a smoother, moved to readings by a linear model, and the covariance that they have."""

from __future__ import annotations

import torch

from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.sensitivities import Sensitivities

__all__ = ["LatentMembers", "TemperedMembers"]

_CHUNK = 32  # fields transformed at a time


class TemperedMembers:
    """Members ξ, standard normal a priori, and their covariance C after updates.

    Arguments:
        xi: draws of the prior, (N, size).
        generator: source of all randomness.

    Attributes:
        xi: the members.
        lost: how many were left out.
        factor: (k, size), C = 1 - factorᵀ factor.
    """

    def __init__(self, xi: torch.Tensor, generator: torch.Generator | None):
        self.xi, self.generator, self.lost = xi, generator, 0
        self.factor = xi.new_zeros(0, xi.shape[1])

    def keep(self, values: torch.Tensor) -> torch.Tensor:
        """Leave out members of which a value is not finite; return the values of the others.

        Arguments:
            values: of the members, (N, ...).
        """
        finite = values.flatten(1).isfinite().all(dim=1)
        self.lost += int((~finite).sum())
        self.xi = self.xi[finite]
        return values[finite]

    def assimilate(
        self,
        values: torch.Tensor,
        model: Sensitivities,
        data: torch.Tensor,
        noise: torch.Tensor,
        tempering: float,
    ) -> None:
        """Move the members towards readings.

        Arguments:
            values: readings of the members, (N, m).
            model: of the readings.
            data: the readings, (m,).
            noise: their variances, (m,), positive.
            tempering: factor of the variances of the noise and of the model's error, at least 1.
        """
        moved = self._moved(model)
        lower = cholesky_with_nugget(model.rows @ moved.T, tempering * (noise + model.error))
        # The members' own values have the model's error once
        std = (tempering * noise + (tempering - 1) * model.error).sqrt()
        draws = torch.randn(values.shape, dtype=values.dtype, generator=self.generator)
        draws = draws.to(values)
        weights = torch.cholesky_solve((data + std * draws - values).T, lower).T
        self.xi = self.xi + weights @ moved
        added = torch.linalg.solve_triangular(lower, moved, upper=False)
        self.factor = torch.cat([self.factor, added])

    def distance(
        self, values: torch.Tensor, model: Sensitivities, data: torch.Tensor, noise: torch.Tensor
    ) -> float:
        """Return rᵀ (J C Jᵀ + R + D)⁻¹ r, with r the readings less the mean of the members' values:
        before an update, a chi-squared of as many degrees of freedom as there are readings.

        Arguments are as of `assimilate`.
        """
        lower = cholesky_with_nugget(model.rows @ self._moved(model).T, noise + model.error)
        residual = (data - values.mean(dim=0))[:, None]
        return float(torch.linalg.solve_triangular(lower, residual, upper=False).square().sum())

    def _moved(self, model: Sensitivities) -> torch.Tensor:
        """J C, (m, size)."""
        return model.rows - (model.rows @ self.factor.T) @ self.factor


class LatentMembers(TemperedMembers):
    """Members whose first numbers are the draw of a latent field; behind them are the further ones
    of a `WhitenedProblem`.

    Arguments:
        xi, generator: as of `TemperedMembers`.
        latent: the field.
    """

    def __init__(self, xi: torch.Tensor, latent: LatentField, generator: torch.Generator | None):
        super().__init__(xi, generator)
        self.latent = latent

    @property
    def tables(self) -> torch.Tensor:
        """The draws of the latent field, (N, *shape)."""
        return self._tables(self.xi)

    def variance(self, grid: Grid) -> torch.Tensor:
        """Return the variance (ny, nx) of the latent field that C gives."""
        return self.latent.changed_variance(grid, self._tables(self.factor))

    def number_variance(self) -> torch.Tensor:
        """Return the variances (size,) of all numbers that C gives."""
        return 1 - self.factor.square().sum(dim=0)

    def inflate(self, grid: Grid) -> float:
        """Multiply the deviations from the mean, so that the latent field has the variance of C on
        average over the nodes; return the factor, at least 1."""
        parts = self.tables.split(_CHUNK)
        fields = torch.cat([self.latent.square_root(part, grid) for part in parts])
        own = float(fields.var(dim=0).mean())
        wanted = float(self.variance(grid).mean())
        factor = max(1.0, (wanted / own) ** 0.5) if own > 0 else 1.0
        mean = self.xi.mean(dim=0)
        self.xi = mean + factor * (self.xi - mean)
        return factor

    def _tables(self, xi: torch.Tensor) -> torch.Tensor:
        return xi[:, : self.latent.size].unflatten(1, self.latent.shape)
