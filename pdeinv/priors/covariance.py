"""The posterior covariance of a Gaussian prior's state given that state with noise, as a square
root."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pdeinv.grid import Grid

if TYPE_CHECKING:
    from pdeinv.priors.gaussian import GaussianPrior

__all__ = ["CovarianceRoot"]


class CovarianceRoot:
    """S(σ) = T diag(f(σ)) Tᵀ, the posterior covariance of a state given the state with noise σ.

    T does not depend on σ. It maps coordinates to values at the nodes, in physical units and double
    precision. The first coordinates are those along the eigenvectors of the correlated blocks; the
    others are the diagonal rest, channel by channel.

    Arguments:
        gaussian: the prior.
        grid: the grid of the states.
        device: of the states.
    """

    def __init__(self, gaussian: GaussianPrior, grid: Grid, device: torch.device):
        self.gaussian, self.grid = gaussian, gaussian.check_grid(grid)
        nothing = torch.zeros(0, dtype=torch.float64, device=device)
        tables = gaussian.tables_for(grid, nothing)
        self.diagonal_variances = [t.double() for t in tables.diagonal_variances]
        self.noise_variances = [t.double() for t in tables.noise_variances]
        self.vectors = [(places, vectors.double()) for places, _, vectors in tables.blocks]
        self.ranks = [v.shape[1] for _, v in self.vectors]
        values = [values.double() for _, values, _ in tables.blocks]
        self.values = torch.cat([nothing, *values])
        self.noise_ratio = gaussian.relative_noise_variance(grid)
        self.scale = gaussian.scale.double()[:, None, None].to(device)

    def __len__(self) -> int:
        """Return the number of coordinates."""
        return len(self.values) + sum(t.numel() for t in self.diagonal_variances)

    def variances(self, sigma: float | None = None) -> torch.Tensor:
        """Return f(σ), (coordinates,); the variances of the prior if sigma is None."""
        diagonal = torch.cat([t.flatten() for t in self.diagonal_variances])
        if sigma is None:
            return torch.cat([self.values, diagonal])
        squared = self.noise_ratio * sigma**2
        noise = squared * torch.cat([t.flatten() for t in self.noise_variances])
        return torch.cat(
            [
                squared * self.values / (squared + self.values),
                noise * diagonal / (noise + diagonal),
            ]
        )

    def apply(self, coordinates: torch.Tensor, grid: Grid | None = None) -> torch.Tensor:
        """Return T times coordinates (batch, coordinates): states (batch, channel, ny, nx).

        Arguments:
            coordinates: (batch, coordinates), float64.
            grid: evaluate the same functions on this grid instead.
        """
        g = self.gaussian
        leading, *rests = coordinates.split(
            [len(self.values), *(t.numel() for t in self.diagonal_variances)], dim=1
        )
        rows = coordinates.new_zeros(len(coordinates), g.band_size)
        for (places, vectors), part in zip(
            self.vectors, leading.split(self.ranks, dim=1), strict=True
        ):
            rows[:, places] = part @ vectors.T
        band = g.from_band(rows)
        tables = [
            rest.unflatten(1, noise.shape)
            + b.resize(band[:, c], (noise.shape[0], noise.shape[1])) * noise.sqrt()
            for c, (b, rest, noise) in enumerate(
                zip(g.bases, rests, self.noise_variances, strict=True)
            )
        ]
        return g.synthesis(tables, grid or self.grid) * self.scale

    def adjoint(self, v: torch.Tensor) -> torch.Tensor:
        """Return Tᵀ times states (batch, channel, ny, nx): coordinates (batch, coordinates)."""
        g = self.gaussian
        w = v.double() * self.scale
        tables = [b.synthesis_adjoint(w[:, c], self.grid) for c, b in enumerate(g.bases)]
        band = g.to_band([t * n.sqrt() for t, n in zip(tables, self.noise_variances, strict=True)])
        leading = [band[:, places] @ vectors for places, vectors in self.vectors]
        return torch.cat([*leading, *(t.flatten(1) for t in tables)], dim=1)
