"""Fields as tables of coefficients of the Laplacian's eigenfunctions.

The eigenfunctions are products of one-dimensional ones. A table of coefficients means the same
function on every grid: analysis on one grid, synthesis on another. Both maps are small matrix
products.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Basis", "Boundary", "eigenfunctions", "wavenumbers"]

Boundary = Literal["neumann", "dirichlet", "periodic"]


def wavenumbers(boundary: Boundary, modes: int) -> torch.Tensor:
    """Return the wavenumber of each one-dimensional eigenfunction.

    They are 0, 1, ... for cosines, 1, 2, ... for sines, and 0, 1, ..., 1, ... for full periods.
    """
    if boundary == "neumann":
        return torch.arange(modes, dtype=torch.float64)
    if boundary == "dirichlet":
        return torch.arange(1, modes + 1, dtype=torch.float64)
    # Without the Nyquist mode, which has no sine partner
    k = torch.arange(1, (modes + 1) // 2, dtype=torch.float64)
    return torch.cat([k.new_zeros(1), k, k])


def eigenfunctions(boundary: Boundary, k: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the values of orthonormal eigenfunctions, (p, m).

    Arguments:
        boundary: kind of the eigenfunctions.
        k: (m,), their wavenumbers.
        x: (p,), coordinates.
    """
    root2 = 2**0.5
    k = k.to(x)
    if boundary == "neumann":
        phi = root2 * torch.cos(torch.pi * x[:, None] * k)
        phi[:, 0] = 1.0
        return phi
    if boundary == "dirichlet":
        return root2 * torch.sin(torch.pi * x[:, None] * k)
    half = (len(k) - 1) // 2
    angle = 2 * torch.pi * x[:, None] * k[1 : half + 1]
    return torch.cat(
        [torch.ones_like(x)[:, None], root2 * torch.cos(angle), root2 * torch.sin(angle)], dim=1
    )


@dataclass(frozen=True)
class Basis:
    """A basis of scalar fields on the unit square; coefficients are (..., m, m), [ky, kx].

    Arguments:
        boundary: `"neumann"` (cosines), `"dirichlet"` (sines, for a field that falls to zero at the
            boundary) or `"periodic"`.
        masked: whether the field jumps to zero on the boundary nodes; cosines represent its
            interior.
    """

    boundary: Boundary
    masked: bool = False

    @classmethod
    def of(cls, fields: torch.Tensor, grid: Grid) -> Basis:
        """Return the basis that suits fields (batch, n, n), from their values near the boundary."""
        if grid.periodic:
            return cls("periodic")

        def size(ring: int) -> float:  # root mean square at this distance from the boundary
            inner = fields[:, ring : grid.n - ring, ring : grid.n - ring]
            edges = (inner[:, 0], inner[:, -1], inner[:, :, 0], inner[:, :, -1])
            return float(torch.cat([e.flatten() for e in edges]).square().mean().sqrt())

        typical = float(fields.square().mean().sqrt())
        if size(0) > 1e-6 * typical:
            return cls("neumann")
        # A smooth field that vanishes at the boundary grows in proportion to the distance from it
        return cls("dirichlet") if size(1) < 0.75 * size(2) else cls("neumann", masked=True)

    def capacity(self, grid: Grid) -> int:
        """Return the largest number of modes per direction that the grid resolves."""
        if self.boundary == "periodic":
            return grid.n - 1 + grid.n % 2
        return grid.n if self.boundary == "neumann" and not self.masked else grid.n - 2

    def frequencies(self, modes: int) -> torch.Tensor:
        """Return |κ| of each pair of modes, (modes, modes).

        It is the square root of the negative Laplacian's eigenvalue.
        """
        k = wavenumbers(self.boundary, modes) * torch.pi * (2 if self.boundary == "periodic" else 1)
        return (k[:, None] ** 2 + k[None, :] ** 2).sqrt()

    def synthesis(self, c: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the field (..., n, n) of coefficients (..., m, m).

        Coefficients that the grid does not resolve are left out.
        """
        c = self.resize(c, min(c.shape[-1], self.capacity(grid)))
        phi, _ = _matrices(self, grid, c.shape[-1], c.dtype, c.device)
        return phi @ c @ phi.T

    def synthesis_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Apply the transpose of `synthesis`: (..., n, n) to (..., m, m), all modes of the grid."""
        phi, _ = _matrices(self, grid, self.capacity(grid), v.dtype, v.device)
        return phi.T @ v @ phi

    def analysis(self, field: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return all coefficients (..., m, m) that the grid resolves, of a field (..., n, n).

        This inverts `synthesis`.
        """
        _, inverse = _matrices(self, grid, self.capacity(grid), field.dtype, field.device)
        return inverse @ field @ inverse.T

    def mean_squares(self, grid: Grid) -> torch.Tensor:
        """Return the mean over the nodes of each squared eigenfunction, (m, m), float32.

        The eigenfunctions are those that the grid resolves.
        """
        phi, _ = _matrices(self, grid, self.capacity(grid), torch.float32, torch.device("cpu"))
        means = phi.square().mean(dim=0)
        return means[:, None] * means

    def resize(self, c: torch.Tensor, modes: int) -> torch.Tensor:
        """Return the coefficients of the first `modes` eigenfunctions per direction.

        New ones are zero.
        """
        have = c.shape[-1]
        if modes == have:
            return c
        if modes > have:
            places = self._places(have, modes).to(c.device)
            larger = c.new_zeros(*c.shape[:-2], modes, modes)
            larger[..., places[:, None], places] = c
            return larger
        places = self._places(modes, have).to(c.device)
        return c[..., places[:, None], places]

    def _places(self, few: int, many: int) -> torch.Tensor:
        """Return the indices of the first `few` eigenfunctions among `many`."""
        if self.boundary != "periodic":
            return torch.arange(few)
        half, other = (few - 1) // 2, (many - 1) // 2
        return torch.cat([torch.arange(half + 1), torch.arange(1, half + 1) + other])


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _matrices(
    basis: Basis, grid: Grid, modes: int, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenfunctions at the nodes, (n, modes), and the least-squares inverse."""
    if basis.boundary == "periodic" and not grid.periodic:
        raise InputError(
            f"the grid of a periodic field must be periodic, got a {grid.kind} grid; use "
            f"Grid(n, 'periodic')"
        )
    phi = eigenfunctions(basis.boundary, wavenumbers(basis.boundary, modes), grid.coordinates())
    if basis.masked:
        phi[0] = phi[-1] = 0.0
    return phi.to(device, dtype), torch.linalg.pinv(phi).to(device, dtype)
