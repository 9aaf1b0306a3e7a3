"""What a noised state leaves open: the covariance of a Gaussian prior at a noise level, as a square
root."""

from __future__ import annotations

import torch

from pdeinv.grid import Grid

__all__ = ["CovarianceRoot"]


class CovarianceRoot:
    """S(σ) = T diag(f(σ)) Tᵀ, the posterior covariance of a Gaussian prior's state given that state
    noised by σ.

    T, which does not depend on σ, maps coordinates to values at the nodes in physical units: first
    those along the eigenvectors of the correlated blocks, then those of the diagonal rest, channel
    by channel. In double precision.

    Arguments:
        gaussian: the prior.
        grid: of the states.
    """

    def __init__(self, gaussian, grid: Grid):
        self.gaussian, self.grid = gaussian, gaussian.check_grid(grid)
        like = torch.zeros(1, dtype=torch.float64)
        _, diagonal_variances, noises = (
            [t.double() for t in group] for group in gaussian.tables_for(grid, like)
        )
        self.diagonal_variances, self.noises = diagonal_variances, noises
        self.vectors = [(places, vectors.double()) for places, _, vectors in gaussian.blocks]
        self.ranks = [v.shape[1] for _, v in self.vectors]
        values = [values.double() for _, values, _ in gaussian.blocks]
        self.values = torch.cat(values) if values else torch.zeros(0, dtype=torch.float64)
        self.relative = gaussian.relative(grid)
        self.scale = gaussian.scale.double()[:, None, None]

    def __len__(self) -> int:
        """Number of coordinates."""
        return len(self.values) + sum(t.numel() for t in self.diagonal_variances)

    def variances(self, sigma: float | None = None) -> torch.Tensor:
        """f(σ), (coordinates,); the prior's without σ."""
        diagonal_variances = torch.cat([t.flatten() for t in self.diagonal_variances])
        if sigma is None:
            return torch.cat([self.values, diagonal_variances])
        squared = self.relative * sigma**2
        noise = squared * torch.cat([t.flatten() for t in self.noises])
        return torch.cat(
            [
                squared * self.values / (squared + self.values),
                noise * diagonal_variances / (noise + diagonal_variances),
            ]
        )

    def apply(self, coordinates: torch.Tensor, grid: Grid | None = None) -> torch.Tensor:
        """T: (batch, coordinates) to (batch, channel, n, n); the same functions on another grid if
        one is given."""
        g = self.gaussian
        leading, *diagonal_variances = coordinates.split(
            [len(self.values), *(t.numel() for t in self.diagonal_variances)], dim=1
        )
        band = coordinates.new_zeros(len(coordinates), len(g.bases) * g.band**2)
        for (places, vectors), part in zip(
            self.vectors, leading.split(self.ranks, dim=1), strict=True
        ):
            band[:, places] = part @ vectors.T
        band = g.unbanded(band)
        tables = [
            rest.unflatten(1, noise.shape) + b.resize(band[:, c], len(noise)) * noise.sqrt()
            for c, (b, rest, noise) in enumerate(
                zip(g.bases, diagonal_variances, self.noises, strict=True)
            )
        ]
        return g.synthesis(tables, grid or self.grid) * self.scale

    def adjoint(self, v: torch.Tensor) -> torch.Tensor:
        """Tᵀ: (batch, channel, n, n) to (batch, coordinates)."""
        g = self.gaussian
        w = v.double() * self.scale
        tables = [b.synthesis_adjoint(w[:, c], self.grid) for c, b in enumerate(g.bases)]
        band = g.banded([t * n.sqrt() for t, n in zip(tables, self.noises, strict=True)])
        leading = [band[:, places] @ vectors for places, vectors in self.vectors]
        return torch.cat([*leading, *(t.flatten(1) for t in tables)], dim=1)
