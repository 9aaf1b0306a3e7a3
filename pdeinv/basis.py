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
from pdeinv.grid import Domain, Grid

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
    """Return the values of eigenfunctions that are orthonormal on [0, 1], (p, m).

    Arguments:
        boundary: kind of the eigenfunctions.
        k: (m,), their wavenumbers.
        x: (p,), coordinates in shares of the side.
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
    """A basis of scalar fields on a rectangle; coefficients are (..., my, mx), [ky, kx].

    The eigenfunctions are orthonormal on the rectangle whose sides are in units of the shorter one,
    so that they and their frequencies do not depend on the unit of length.

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
        """Return the basis that suits fields (batch, ny, nx), from their values near the
        boundary."""
        if grid.periodic:
            return cls("periodic")

        def size(ring: int) -> float:  # root mean square at this distance from the boundary
            inner = fields[:, ring : grid.ny - ring, ring : grid.nx - ring]
            edges = (inner[:, 0], inner[:, -1], inner[:, :, 0], inner[:, :, -1])
            return float(torch.cat([e.flatten() for e in edges]).square().mean().sqrt())

        typical = float(fields.square().mean().sqrt())
        if size(0) > 1e-6 * typical:
            return cls("neumann")
        # A smooth field that vanishes at the boundary grows in proportion to the distance from it
        return cls("dirichlet") if size(1) < 0.75 * size(2) else cls("neumann", masked=True)

    def capacity(self, grid: Grid) -> tuple[int, int]:
        """Return the largest numbers of modes (my, mx) that the grid resolves."""
        my, mx = (self._resolved(n) for n in grid.shape)
        return (my, mx)

    def _resolved(self, n: int) -> int:
        if self.boundary == "periodic":
            return n - 1 + n % 2
        return n if self.boundary == "neumann" and not self.masked else n - 2

    def frequencies(self, modes: tuple[int, int], domain: Domain) -> torch.Tensor:
        """Return |κ| of each pair of modes, (my, mx), in units of 1 / shorter side of the domain.

        It is the square root of the negative Laplacian's eigenvalue.
        """
        factor = torch.pi * (2 if self.boundary == "periodic" else 1)
        ky, kx = (
            wavenumbers(self.boundary, m) * factor / length
            for m, length in zip(modes, domain.aspect[::-1], strict=True)
        )
        return (ky[:, None] ** 2 + kx[None, :] ** 2).sqrt()

    def synthesis(self, c: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the field (..., ny, nx) of coefficients (..., my, mx).

        Coefficients that the grid does not resolve are left out.
        """
        my, mx = (min(m, most) for m, most in zip(c.shape[-2:], self.capacity(grid), strict=True))
        c = self.resize(c, (my, mx))
        (phi_y, _), (phi_x, _) = self._both(grid, (my, mx), c)
        return phi_y @ c @ phi_x.T

    def synthesis_adjoint(self, v: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Apply the transpose of `synthesis`: (..., ny, nx) to (..., my, mx), all modes of the
        grid."""
        (phi_y, _), (phi_x, _) = self._both(grid, self.capacity(grid), v)
        return phi_y.T @ v @ phi_x

    def analysis(self, field: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return all coefficients (..., my, mx) that the grid resolves, of a field (..., ny, nx).

        This inverts `synthesis`.
        """
        (_, inverse_y), (_, inverse_x) = self._both(grid, self.capacity(grid), field)
        return inverse_y @ field @ inverse_x.T

    def mean_squares(self, grid: Grid, like: torch.Tensor) -> torch.Tensor:
        """Return the mean over the nodes of each squared eigenfunction, (my, mx).

        The eigenfunctions are those that the grid resolves; type and device are those of `like`.
        """
        (phi_y, _), (phi_x, _) = self._both(grid, self.capacity(grid), like)
        return phi_y.square().mean(dim=0)[:, None] * phi_x.square().mean(dim=0)

    def resize(self, c: torch.Tensor, modes: tuple[int, int]) -> torch.Tensor:
        """Return the coefficients of the first `modes` eigenfunctions along y and x.

        New ones are zero.
        """
        have = (c.shape[-2], c.shape[-1])
        if modes == have:
            return c
        kept = [min(m, n) for m, n in zip(modes, have, strict=True)]
        rows, columns = (self._places(m, n).to(c.device) for m, n in zip(kept, have, strict=True))
        c = c[..., rows[:, None], columns]
        if modes == (c.shape[-2], c.shape[-1]):
            return c
        rows, columns = (self._places(m, n).to(c.device) for m, n in zip(kept, modes, strict=True))
        larger = c.new_zeros(*c.shape[:-2], *modes)
        larger[..., rows[:, None], columns] = c
        return larger

    def _places(self, few: int, many: int) -> torch.Tensor:
        """Return the indices of the first `few` eigenfunctions among `many`."""
        if self.boundary != "periodic":
            return torch.arange(few)
        half, other = (few - 1) // 2, (many - 1) // 2
        return torch.cat([torch.arange(half + 1), torch.arange(1, half + 1) + other])

    def _both(
        self, grid: Grid, modes: tuple[int, int], like: torch.Tensor
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        if self.boundary == "periodic" and not grid.periodic:
            raise InputError(
                f"the grid of a periodic field must be periodic, got a {grid.kind} grid; use "
                f"Grid(n, kind='periodic')"
            )
        if grid.kind == "cell":
            raise InputError(
                f"the grid of {self.boundary} waves must have nodes on its sides, got a cell grid; "
                f"use a vertex grid"
            )
        return [
            _matrices(self, n, cells, m, length, like.dtype, like.device)
            for n, cells, m, length in zip(
                grid.shape, grid.cells, modes, grid.domain.aspect[::-1], strict=True
            )
        ]


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _matrices(
    basis: Basis,
    n: int,
    cells: int,
    modes: int,
    length: float,
    dtype: torch.dtype,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenfunctions at the nodes of one direction, (n, modes), and the least-squares
    inverse."""
    x = torch.arange(n, dtype=torch.float64) / cells
    phi = eigenfunctions(basis.boundary, wavenumbers(basis.boundary, modes), x) / length**0.5
    if basis.masked:
        phi[0] = phi[-1] = 0.0
    return phi.to(device, dtype), torch.linalg.pinv(phi).to(device, dtype)
