"""Stationary Gaussian fields on a rectangle, as Fourier sums on a torus that holds it."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid
from pdeinv.latent_field import LatentField

__all__ = ["FourierField"]


class FourierField(LatentField):
    """A stationary field: independent waves of a torus around the domain.

    The covariance is that of the torus, Σ S(k) cos(k·r), the same at the centre, the sides and the
    corners of the domain, in any direction. A draw has the shape (2, my, mx): the cosines and the
    sines of the waves with wavenumbers -m ... m along y and 0 ... m along x.

    Arguments:
        domain: the rectangle, with its corner at the origin of the waves.
        periods: (Px, Py) of the torus, at least the domain's width and height.
        spectrum: variances S of the waves, (2 my + 1, mx + 1), float64, as of the full plane: S(-k)
            = S(k). Rows with wavenumbers below 0 in the first column repeat the others.
    """

    def __init__(
        self, domain: Domain, periods: tuple[float, float], spectrum: torch.Tensor
    ) -> None:
        self.domain, self.periods, self.spectrum = domain, periods, spectrum
        middle = len(spectrum) // 2
        half = 2 * spectrum  # of a wave and its negative
        half[:middle, 0] = 0.0
        half[middle, 0] /= 2
        sines = half.clone()
        sines[middle, 0] = 0.0
        self._amplitudes = torch.stack([half, sines]).sqrt()

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._amplitudes.shape)

    @property
    def std(self) -> float:
        return math.sqrt(float(self._amplitudes[0].square().sum()))

    @property
    def eigenvalues(self) -> torch.Tensor:
        return self._amplitudes.square()

    def square_root(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        e_y, e_x = self._waves(grid, xi.dtype, xi.device)
        weighted = self._amplitudes.to(xi) * xi
        table = torch.complex(weighted[:, 0], -weighted[:, 1])
        return (e_y @ table @ e_x.T).real[:, None]

    def square_root_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        e_y, e_x = self._waves(grid, v.dtype, v.device)
        table = e_y.T @ v[:, 0].to(e_y.dtype) @ e_x
        return self._amplitudes.to(v) * torch.stack([table.real, table.imag], dim=1)

    def variance(self, grid: Grid) -> torch.Tensor:
        self._check(grid)
        return torch.full(grid.shape, self.std**2, dtype=torch.float64)

    def resolved(self, grid: Grid) -> torch.Tensor:
        my, mx = self._kept(grid)
        table = torch.zeros(self.shape, dtype=torch.float64)
        middle = self.shape[1] // 2
        table[:, middle - my : middle + my + 1, : mx + 1] = 1.0
        return table

    def truncated(self, grid: Grid) -> FourierField:
        my, mx = self._kept(grid)
        middle = self.shape[1] // 2
        kept = self.spectrum[middle - my : middle + my + 1, : mx + 1]
        return FourierField(self.domain, self.periods, kept)

    def _kept(self, grid: Grid) -> tuple[int, int]:
        """Return the largest wavenumbers whose waves have two nodes in each period."""
        self._check(grid)
        most = (self.shape[1] // 2, self.shape[2] - 1)
        my, mx = (
            min(m, int(period / (2 * h)))
            for m, period, h in zip(most, self.periods[::-1], grid.spacing, strict=True)
        )
        return my, mx

    def _check(self, grid: Grid) -> None:
        if grid.domain != self.domain:
            raise InputError(
                f"the domain of this random field must be {self.domain}, got a grid on "
                f"{grid.domain}; use the field of its own domain"
            )

    def _waves(
        self, grid: Grid, dtype: torch.dtype, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self._check(grid)
        kind = torch.complex64 if dtype == torch.float32 else torch.complex128
        (ny, nx), (hy, hx), (px, py) = grid.shape, grid.spacing, self.periods
        middle = self.shape[1] // 2
        return (
            _waves(-middle, middle, ny, hy / py, kind, device),
            _waves(0, self.shape[2] - 1, nx, hx / px, kind, device),
        )


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _waves(
    first: int, last: int, n: int, step: float, kind: torch.dtype, device: torch.device
) -> torch.Tensor:
    """Return exp(2πi k x) for wavenumbers first ... last at n nodes, (n, m); x in periods."""
    x = step * torch.arange(n, dtype=torch.float64, device=device)
    k = torch.arange(first, last + 1, dtype=torch.float64, device=device)
    angle = 2 * torch.pi * x[:, None] * k
    return torch.polar(torch.ones_like(angle), angle).to(kind)
