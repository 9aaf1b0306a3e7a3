"""Gaussian random fields on the unit square as Karhunen–Loève sums.

A draw is a table of independent standard normals, one for each eigenfunction, so that it means the
same function on every grid and at every point. The eigenfunctions are products of one-dimensional
ones: a transform is two small matrix products, which at up to 256 nodes beat an FFT and need no
matching grid.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

from pdeinv.basis import Basis, Boundary, eigenfunctions, wavenumbers
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["GaussianRandomField", "RandomField", "TabulatedField"]

_MOST_MODES = 2048  # per direction; a draw holds their square


class RandomField:
    """Zero-mean Gaussian field on the unit square: independent coefficients of orthonormal
    eigenfunctions.

    Attributes:
        boundary: `"neumann"`, `"dirichlet"` or `"periodic"`.
        modes: wavenumbers per direction, as in `GaussianRandomField`.
        eigenvalues: variance of each coefficient, (m, m), indexed [ky, kx].
    """

    boundary: Boundary
    modes: int
    eigenvalues: torch.Tensor

    @cached_property
    @torch.inference_mode(False)
    def wavenumbers(self) -> torch.Tensor:
        """Wavenumber of each one-dimensional eigenfunction, shape (m,)."""
        return wavenumbers(self.boundary, self.modes)

    def basis(self, x: torch.Tensor) -> torch.Tensor:
        """One-dimensional orthonormal eigenfunctions at coordinates x (p,), shape (p, m)."""
        return eigenfunctions(self.boundary, self.wavenumbers, x)

    def truncated(self, modes: int) -> RandomField:
        """The part of the field that at most so many wavenumbers per direction carry."""
        kept = len(wavenumbers(self.boundary, min(modes, self.modes)))
        return TabulatedField(self.boundary, Basis(self.boundary).resize(self.eigenvalues, kept))

    def white(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """n tables of standard normal coefficients, shape (n, 1, m, m), float64: the grid-free form
        of n draws."""
        m = len(self.wavenumbers)
        return torch.randn(n, 1, m, m, dtype=torch.float64, generator=generator)

    def square_root(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Field on the grid, (batch, 1, n, n), of coefficients xi (batch, 1, m, m): K = square_root
        · square_root^T."""
        phi = self._on(grid, xi.dtype, xi.device)
        return phi @ (self._amplitudes(xi) * xi) @ phi.T

    def square_root_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Transpose of `square_root`: fields (batch, 1, n, n) to coefficients (batch, 1, m, m)."""
        phi = self._on(grid, v.dtype, v.device)
        return self._amplitudes(v) * (phi.T @ v @ phi)

    def covariance(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Covariance matrix of the grid values times v, both (batch, 1, n, n)."""
        return self.square_root(self.square_root_adjoint(v, grid), grid)

    def variance(self, grid: Grid) -> torch.Tensor:
        """Pointwise variance, shape (n, n), float64."""
        phi2 = self._on(grid, torch.float64, torch.device("cpu")) ** 2
        return phi2 @ self.eigenvalues @ phi2.T

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """n independent fields, shape (n, 1, grid.n, grid.n), float64; one seed gives the same
        functions on every grid."""
        return self.square_root(self.white(n, generator), grid)

    def evaluate(self, xi: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Exact values, (batch, p), of the draws xi (batch, 1, m, m) at points (p, 2) given as (x,
        y)."""
        phi_x, phi_y = self.basis(points[:, 0]), self.basis(points[:, 1])
        return torch.einsum("pi,bij,pj->bp", phi_y, (self._amplitudes(xi) * xi)[:, 0], phi_x)

    def _amplitudes(self, like: torch.Tensor) -> torch.Tensor:
        return self.eigenvalues.sqrt().to(like)

    def _on(self, grid, dtype, device):
        return _grid_basis(self.boundary, self.modes, grid, dtype, device)


@dataclass(frozen=True)
class GaussianRandomField(RandomField):
    """Zero-mean field with covariance c τ^(2α-2) (-Δ + τ²)^-α and the chosen boundary behaviour,
    without a constant mode.

    The eigenvalue of the L2-orthonormal eigenfunction with squared frequency κ² is c τ^(2α-2) (κ² +
    τ²)^-α, where κ² = π²|k|² and c = 1 (`neumann`: cosines; `dirichlet`: sines), or κ² = 4π²|k|²
    and c = 2 (`periodic`: cosines and sines of full periods; c as in the generator of the published
    data).

    Arguments:
        boundary: `"neumann"`, `"dirichlet"` or `"periodic"`.
        alpha: smoothness, above 1 for a finite variance.
        tau: inverse correlation length, positive.
        modes: wavenumbers kept per direction: 0..modes-1 for cosines, 1..modes for sines, |k| <
            modes/2 if periodic.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021, appendix A.3 (arXiv
        2010.08895).

    Example:
        >>> field = GaussianRandomField("neumann", alpha=2.0, tau=3.0)
        >>> field.sample(4, Grid(64), torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 64, 64])
    """

    boundary: Boundary
    alpha: float
    tau: float
    modes: int = 128

    def __post_init__(self):
        if self.boundary not in ("neumann", "dirichlet", "periodic"):
            raise InputError(
                f"boundary {self.boundary!r} is unknown; use 'neumann', 'dirichlet' or 'periodic'"
            )
        if not self.alpha > 1:
            raise InputError(
                f"alpha = {self.alpha} gives a field of infinite variance; use a value above 1"
            )
        if not self.tau > 0:
            raise InputError(f"tau = {self.tau} must be positive")
        fewest = 3 if self.boundary == "periodic" else 2  # below, only the constant mode is left
        if not fewest <= self.modes <= _MOST_MODES:
            raise InputError(f"modes = {self.modes} is out of range; use {fewest} to {_MOST_MODES}")

    @cached_property
    @torch.inference_mode(False)
    def eigenvalues(self) -> torch.Tensor:
        """Variance of each coefficient, shape (m, m), indexed [ky, kx]."""
        k = self.wavenumbers
        factor = 2 if self.boundary == "periodic" else 1
        kappa2 = (factor * torch.pi) ** 2 * (k[:, None] ** 2 + k[None, :] ** 2)
        # The same, without overflow
        eigenvalues = factor / self.tau**2 * (1 + kappa2 / self.tau**2) ** (-self.alpha)
        if self.boundary != "dirichlet":
            eigenvalues[0, 0] = 0.0
        return eigenvalues


@dataclass(frozen=True, eq=False)
class TabulatedField(RandomField):
    """A field with eigenvalues of any kind, such as those that were learned.

    Arguments:
        boundary: as in `GaussianRandomField`.
        eigenvalues: variance of each coefficient, (m, m), indexed [ky, kx].
    """

    boundary: Boundary
    eigenvalues: torch.Tensor = dataclasses.field(repr=False)

    @property
    def modes(self) -> int:
        return len(self.eigenvalues)


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _grid_basis(boundary: Boundary, modes: int, grid: Grid, dtype, device) -> torch.Tensor:
    return eigenfunctions(
        boundary, wavenumbers(boundary, modes), grid.coordinates(device=device)
    ).to(dtype)
