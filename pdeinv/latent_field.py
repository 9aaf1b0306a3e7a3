"""The contract of a latent Gaussian field: a linear map of independent standard normals."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch

from pdeinv.grid import Grid

__all__ = ["LatentField", "Products"]

_CHUNK = 32  # fields transformed at a time


class Products(NamedTuple):
    """Functions of y times functions of x, whose covariance is that of a field.

    It is Σ v_pq Re(f_p(y) g_q(x) conj(f_p(y') g_q(x'))).

    Arguments:
        along_y: f at the nodes, (ny, p), real or complex.
        along_x: g at the nodes, (nx, q).
        variances: v, (p, q), float64.
    """

    along_y: torch.Tensor
    along_x: torch.Tensor
    variances: torch.Tensor


class LatentField(ABC):
    """A zero-mean Gaussian field on a domain, as a sum of functions times standard normals.

    A *draw* is a table ξ of independent standard normals, one for each function. It therefore means
    the same function on every grid of the domain.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Shape of the table of one draw."""

    @property
    def size(self) -> int:
        """Numbers in the table of one draw."""
        return math.prod(self.shape)

    @property
    @abstractmethod
    def std(self) -> float:
        """Root of the variance's mean over the domain."""

    @property
    @abstractmethod
    def eigenvalues(self) -> torch.Tensor:
        """Variance of each function's coefficient; as many numbers, in the order of a draw."""

    @abstractmethod
    def square_root(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the fields (batch, 1, ny, nx) of draws xi (batch, *shape); differentiable.

        The covariance of the grid values is square_root · square_rootᵀ.

        Raises:
            InputError: the grid is on another domain.
        """

    @abstractmethod
    def square_root_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Apply the transpose of `square_root`: (batch, 1, ny, nx) to (batch, *shape)."""

    @abstractmethod
    def variance(self, grid: Grid) -> torch.Tensor:
        """Return the pointwise variance, (ny, nx), float64."""

    def changed_variance(
        self, grid: Grid, less: torch.Tensor, more: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the pointwise variance, (ny, nx), of draws whose covariance is not 1 but
        1 - lessᵀ less + moreᵀ more; at least 0.

        Arguments:
            grid: of the values.
            less, more: tables, (k, *shape) each.
        """
        variance = self.variance(grid)
        for sign, tables in ((-1, less), (1, more)):
            for part in () if tables is None else tables.split(_CHUNK):
                change = self.square_root(part, grid).square().sum(dim=(0, 1))
                variance = variance.to(change.device) + sign * change
        return variance.clamp(min=0)

    @abstractmethod
    def resolved(self, grid: Grid) -> torch.Tensor:
        """Return which functions the nodes of a grid tell apart, a table of 0 and 1, float64."""

    @abstractmethod
    def truncated(self, grid: Grid) -> LatentField:
        """Return the field of no more functions than the nodes of a grid tell apart."""

    def circulant(self, grid: Grid) -> torch.Tensor | None:
        """Return the eigenvalues of the covariance of the grid values, if it depends on the
        distance alone: those of the discrete Fourier transform on a torus of twice as many nodes,
        (2 ny, nx + 1), or of a periodic grid, (ny, nx // 2 + 1). Else None.

        Values that are zero on the further nodes have this covariance exactly.
        """
        return None

    def products(self, grid: Grid) -> Products | None:
        """Return the field as a sum of products of functions of y and x, where it is one."""
        return None

    def white(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n draws (n, *shape), float64: fields without a grid."""
        return torch.randn(n, *self.shape, dtype=torch.float64, generator=generator)

    def origin(self) -> torch.Tensor:
        """Return the table (1, *shape) of zeros, whose field is zero."""
        return torch.zeros(1, *self.shape, dtype=torch.float64)

    def covariance(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the covariance matrix of the grid values times v, both (batch, 1, ny, nx)."""
        return self.square_root(self.square_root_adjoint(v, grid), grid)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n independent fields (n, 1, ny, nx), float64.

        One seed gives the same functions on every grid.
        """
        return self.square_root(self.white(n, generator), grid)
