"""Gaussian random fields on a rectangle as Karhunen–Loève sums.

A draw is a table of independent standard normals, one for each eigenfunction. It therefore means
the same function on every grid. The eigenfunctions are products of one-dimensional ones, so that a
transform is two small matrix products, between any grids.

Lengths are in units of the shorter side of the domain: a change of its unit changes no draw.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated

import torch

from pdeinv.annotations import check_fields
from pdeinv.basis import Basis, Boundary, eigenfunctions, wavenumbers
from pdeinv.checks import EXTREME, Bounds, Positive, integer
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.latent_field import LatentField, Products

__all__ = ["GaussianRandomField", "RandomField", "TabulatedField"]

Aspect = tuple[float, float]

_MOST_MODES = 2048  # per direction; a draw holds their square


class RandomField(LatentField):
    """A zero-mean Gaussian field: independent coefficients of orthonormal eigenfunctions.

    A draw has the shape (1, m, m), indexed [ky, kx].

    Attributes:
        boundary: `"neumann"`, `"dirichlet"` or `"periodic"`.
        aspect: width and height of the domain, in units of the shorter one.
    """

    boundary: Boundary
    aspect: Aspect

    @property
    @abstractmethod
    def modes(self) -> int:
        """Wavenumbers per direction, as in `GaussianRandomField`."""

    @property
    @abstractmethod
    def eigenvalues(self) -> torch.Tensor:
        """Variance of each coefficient, (m, m), indexed [ky, kx]."""

    @cached_property
    @torch.inference_mode(False)
    def wavenumbers(self) -> torch.Tensor:
        """Wavenumber of each one-dimensional eigenfunction, (m,)."""
        return wavenumbers(self.boundary, self.modes)

    @property
    def shape(self) -> tuple[int, int, int]:
        m = len(self.wavenumbers)
        return (1, m, m)

    @property
    def std(self) -> float:
        return float((self.eigenvalues / math.prod(self.aspect)).sum()) ** 0.5

    def resolved(self, grid: Grid) -> torch.Tensor:
        most = wavenumbers(self.boundary, min(self.modes, *grid.shape)).max()
        kept = (self.wavenumbers <= most).double()
        return (kept[:, None] * kept)[None]

    def truncated(self, grid: Grid) -> RandomField:
        kept = len(wavenumbers(self.boundary, min(self.modes, *grid.shape)))
        eigenvalues = Basis(self.boundary).resize(self.eigenvalues, (kept, kept))
        return TabulatedField(self.boundary, eigenvalues, self.aspect)

    def square_root(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the fields (batch, 1, ny, nx) of coefficients xi (batch, 1, m, m).

        The covariance of the grid values is square_root · square_rootᵀ.

        Raises:
            InputError: the grid's domain has another aspect.
        """
        phi_y, phi_x = self._on(grid, xi.dtype, xi.device)
        return phi_y @ (self._amplitudes(xi) * xi) @ phi_x.T

    def square_root_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Apply the transpose of `square_root`: (batch, 1, ny, nx) to (batch, 1, m, m)."""
        phi_y, phi_x = self._on(grid, v.dtype, v.device)
        return self._amplitudes(v) * (phi_y.T @ v @ phi_x)

    def variance(self, grid: Grid) -> torch.Tensor:
        """Return the pointwise variance, (ny, nx), float64."""
        phi_y, phi_x = self._on(grid, torch.float64, torch.device("cpu"))
        return phi_y**2 @ self.eigenvalues @ (phi_x**2).T

    def products(self, grid: Grid) -> Products:
        return Products(*self._on(grid, torch.float64, torch.device("cpu")), self.eigenvalues)

    def _amplitudes(self, like: torch.Tensor) -> torch.Tensor:
        return self.eigenvalues.sqrt().to(like)

    def _on(
        self, grid: Grid, dtype: torch.dtype, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if max(abs(a - b) for a, b in zip(grid.domain.aspect, self.aspect, strict=True)) > 1e-6:
            width, height = self.aspect
            raise InputError(
                f"the domain of this random field must have the aspect {width:g} to {height:g}, "
                f"got a grid on {grid.domain}; use the field of its own domain"
            )
        if grid.kind == "cell":
            raise InputError(
                "the grid of this random field must have nodes on its sides, got a cell grid; use "
                "a gaussian-field prior, or a vertex grid"
            )
        y, x = (
            _eigenfunctions(self.boundary, self.modes, n, cells, length, dtype, device)
            for n, cells, length in zip(grid.shape, grid.cells, self.aspect[::-1], strict=True)
        )
        return y, x


@dataclass(frozen=True)
class GaussianRandomField(RandomField):
    """A zero-mean field of covariance c τ^(2α-2) (-Δ + τ²)^-α, without a constant mode.

    The eigenvalue of the L2-orthonormal eigenfunction with squared frequency κ² is c τ^(2α-2) (κ² +
    τ²)^-α. For `neumann` (cosines) and `dirichlet` (sines), κ² = π²|k|² and c = 1. For `periodic`
    (cosines and sines of full periods), κ² = 4π²|k|² and c = 2, as in the generator of the
    published data. On a rectangle the components of k are divided by the sides.

    Arguments:
        boundary: `"neumann"`, `"dirichlet"` or `"periodic"`.
        alpha: smoothness, above 1 for a finite variance.
        tau: inverse correlation length in units of 1 / shorter side, positive.
        modes: wavenumbers per direction: 0 to modes-1 for cosines, 1 to modes for sines, |k| <
            modes/2 for full periods.
        aspect: width and height of the domain, in units of the shorter one.

    Reference:
        Li et al., *Fourier neural operator for parametric PDEs*, ICLR 2021, appendix A.3 (arXiv
        2010.08895).

    Example:
        >>> field = GaussianRandomField("neumann", alpha=2.0, tau=3.0)
        >>> field.sample(4, Grid(64), torch.Generator().manual_seed(0)).shape
        torch.Size([4, 1, 64, 64])
    """

    boundary: Boundary
    alpha: Annotated[float, Bounds(above=1)]
    tau: Positive
    modes: int = 128
    aspect: Aspect = (1.0, 1.0)

    def __post_init__(self) -> None:
        check_fields(self, "{} of a random field")
        fewest = 3 if self.boundary == "periodic" else 2  # fewer leave just the constant mode
        integer("modes of a random field", self.modes, Bounds(fewest, _MOST_MODES))
        # The lowest modes, which hold most of the variance
        std = math.nan
        if abs(math.log(self.tau)) < math.log(EXTREME):
            std = math.sqrt(float(self._eigenvalues(min(self.modes, 16)).sum()))
        if not 1 / EXTREME < std < EXTREME:
            raise InputError(
                f"alpha and tau of a random field must give it a standard deviation between "
                f"{1 / EXTREME:g} and {EXTREME:g}, got alpha = {self.alpha:g} and tau = "
                f"{self.tau:g}, which make it {std:.3g}; use alpha = 2 and tau = 3"
            )

    @cached_property
    @torch.inference_mode(False)
    def eigenvalues(self) -> torch.Tensor:
        """Variance of each coefficient, (m, m), indexed [ky, kx]."""
        return self._eigenvalues(self.modes)

    def _eigenvalues(self, modes: int) -> torch.Tensor:
        k = wavenumbers(self.boundary, modes)
        factor = 2 if self.boundary == "periodic" else 1
        ax, ay = self.aspect
        kappa2 = (factor * torch.pi) ** 2 * ((k[:, None] / ay) ** 2 + (k[None, :] / ax) ** 2)
        # The formula of the docstring, without overflow
        eigenvalues = factor / self.tau**2 * (1 + kappa2 / self.tau**2) ** (-self.alpha)
        if self.boundary != "dirichlet":
            eigenvalues[0, 0] = 0.0
        return eigenvalues


class TabulatedField(RandomField):
    """A field with any eigenvalues, such as learned ones.

    Arguments:
        boundary: as in `GaussianRandomField`.
        eigenvalues: variance of each coefficient, (m, m), indexed [ky, kx].
        aspect: as in `GaussianRandomField`.
    """

    def __init__(
        self, boundary: Boundary, eigenvalues: torch.Tensor, aspect: Aspect = (1.0, 1.0)
    ) -> None:
        self.boundary, self.aspect = boundary, aspect
        self._eigenvalues = eigenvalues

    @property
    def modes(self) -> int:
        """Number of eigenfunctions per direction."""
        return len(self._eigenvalues)

    @property
    def eigenvalues(self) -> torch.Tensor:
        """Variance of each coefficient, (m, m)."""
        return self._eigenvalues


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _eigenfunctions(
    boundary: Boundary,
    modes: int,
    n: int,
    cells: int,
    length: float,
    dtype: torch.dtype,
    device: torch.device,
) -> torch.Tensor:
    """Return the eigenfunctions of one direction at its nodes, (n, m)."""
    x = torch.arange(n, dtype=torch.float64, device=device) / cells
    return (eigenfunctions(boundary, wavenumbers(boundary, modes), x) / length**0.5).to(dtype)
