"""Stationary Gaussian fields on a rectangle, as Fourier sums on a torus that holds it."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid
from pdeinv.latent_field import LatentField, Products

__all__ = ["FourierField"]


class FourierField(LatentField):
    """A stationary field: independent waves of a torus around the domain.

    The covariance is that of the torus, Σ S(k) cos(k·r), the same at the centre, the sides and the
    corners of the domain, in any direction. A draw has the shape (2, my, mx): the cosines and the
    sines of the waves with wavenumbers -m ... m along y and 0 ... m along x.

    Arguments:
        domain: the rectangle, with its corner at the origin of the waves.
        periods: (Px, Py) of the torus, at least the domain's width and height; equal to these on a
            periodic domain.
        spectrum: variances S(k) = S(-k) of the waves, (2 my + 1, mx + 1), float64. The table is one
            half of the plane; the waves with negative wavenumbers along x are not in it.

    Reference:
        Dietrich & Newsam, *Fast and exact simulation of stationary Gaussian processes through
        circulant embedding of the covariance matrix*, SIAM J. Sci. Comput. 18, 1997.

    Example:
        >>> spectrum = torch.tensor([[0.0, 0.5], [0.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
        >>> field = FourierField(Domain(), (1.0, 1.0), spectrum)  # the wave 2π (x - y)
        >>> field.shape, field.std
        ((2, 3, 2), 1.0)
        >>> field.sample(4, Grid(16, kind="periodic"), torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 16, 16])
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

    def products(self, grid: Grid) -> Products:
        waves = self._waves(grid, torch.float64, self.spectrum.device)
        return Products(*waves, self._amplitudes[0].square())

    def circulant(self, grid: Grid) -> torch.Tensor:
        self._check(grid)
        (ny, nx), (hy, hx), (px, py) = grid.shape, grid.spacing, self.periods
        middle, double, device = self.shape[1] // 2, torch.complex128, self.spectrum.device
        tall = ny // 2 + 1 if grid.periodic else ny + 1
        wide = nx if grid.periodic else nx + 1
        e_y = _waves(-middle, middle, tall, hy / py, double, device)
        e_x = _waves(0, self.shape[2] - 1, wide, hx / px, double, device)
        table = self._amplitudes[0].square().to(double)
        along = table @ e_x.T
        above, below = (e_y @ along).real, (e_y.conj() @ along).real  # at y and -y, for x >= 0
        if grid.periodic:
            lags = torch.cat([above, below[1 : ny - tall + 1].flip(0)])
        else:  # a node of the other side is as far to the left as to the right
            rows = torch.cat([above, below[1:ny].flip(0)])
            mirrored = torch.cat([rows[:1], rows[1:].flip(0)])[:, 1:nx].flip(1)
            lags = torch.cat([rows, mirrored], dim=1)
        return torch.fft.rfft2(lags).real

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
        """Return the largest wavenumbers whose waves have more than two nodes in each period."""
        self._check(grid)
        most = (self.shape[1] // 2, self.shape[2] - 1)
        my, mx = (
            min(m, math.ceil(period / (2 * h) - 1e-9) - 1)
            for m, period, h in zip(most, self.periods[::-1], grid.spacing, strict=True)
        )
        return my, mx

    def _check(self, grid: Grid) -> None:
        if grid.domain != self.domain:
            raise InputError(
                f"the domain of this random field must be {self.domain}, got a grid on "
                f"{grid.domain}; use the field of its own domain"
            )
        if grid.periodic and self.periods != self.domain.lengths:
            raise InputError(
                f"the grid of this random field must be a vertex grid, got a periodic one on "
                f"{grid.domain}; use the field of a periodic domain"
            )

    def _waves(
        self, grid: Grid, dtype: torch.dtype, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self._check(grid)
        kind = torch.complex64 if dtype == torch.float32 else torch.complex128
        (ny, nx), (hy, hx), (px, py) = grid.shape, grid.spacing, self.periods
        middle = self.shape[1] // 2
        return (
            _waves(-middle, middle, ny, hy / py, kind, device, grid.first),
            _waves(0, self.shape[2] - 1, nx, hx / px, kind, device, grid.first),
        )


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _waves(
    first: int,
    last: int,
    n: int,
    step: float,
    kind: torch.dtype,
    device: torch.device,
    start: float = 0.0,
) -> torch.Tensor:
    """Return exp(2πi k x) for wavenumbers first ... last at n nodes, (n, m): x in periods, of which
    the first node is `start` steps from the corner."""
    x = step * (torch.arange(n, dtype=torch.float64, device=device) + start)
    k = torch.arange(first, last + 1, dtype=torch.float64, device=device)
    angle = 2 * torch.pi * x[:, None] * k
    return torch.polar(torch.ones_like(angle), angle).to(kind)
