"""The Laplacian on the interior of a vertex grid with u = 0 on the boundary.

Interior fields have shape (..., n-2, n-2). The sine transform diagonalises the Laplacian, in five
points or spectral. Two transforms therefore solve the constant-coefficient problem exactly, to
rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch.nn.functional import pad

from pdeinv.errors import InputError
from pdeinv.grid import Domain
from pdeinv.transforms import dst1

__all__ = [
    "Discretisation",
    "dirichlet_residual",
    "dispersion_error",
    "interior",
    "laplacian",
    "laplacian_eigenvalues",
    "solve_shifted_laplacian",
    "zero_boundary",
]

Discretisation = Literal["five-point", "spectral"]
"""Five-point finite differences, of second order, or the exact eigenvalues of the sines."""


def interior(x: torch.Tensor) -> torch.Tensor:
    """Return the values at the interior nodes, (..., n-2, n-2)."""
    return x[..., 1:-1, 1:-1]


def zero_boundary(x: torch.Tensor) -> torch.Tensor:
    """Return interior values surrounded by zeros, (..., n, n)."""
    return pad(x, (1, 1, 1, 1))


def laplacian(u: torch.Tensor, discretisation: Discretisation = "five-point") -> torch.Tensor:
    """Return the Laplacian of u (..., n, n) at the interior nodes.

    The spectral one is that of the sines through the interior values: u must be 0 on the boundary.
    """
    if discretisation == "spectral":
        n = u.shape[-1]
        eigenvalues = laplacian_eigenvalues(n, u.dtype, u.device, discretisation)
        return _by_sines(interior(u), eigenvalues / (2 * (n - 1)) ** 2)
    h = 1.0 / (u.shape[-1] - 1)
    neighbours = u[..., 2:, 1:-1] + u[..., :-2, 1:-1] + u[..., 1:-1, 2:] + u[..., 1:-1, :-2]
    return (neighbours - 4 * interior(u)) / h**2


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def laplacian_eigenvalues(
    n: int,
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
    discretisation: Discretisation = "five-point",
) -> torch.Tensor:
    """Return the eigenvalues of the Laplacian on n x n nodes, (n-2, n-2), all negative.

    The grid is of the vertex kind. Entry [j, i] belongs to sin((i+1)πx) sin((j+1)πy).
    """
    k = torch.arange(1, n - 1, dtype=torch.float64)
    if discretisation == "spectral":
        one = -((torch.pi * k) ** 2)
    else:
        one = -4.0 * (n - 1) ** 2 * torch.sin(torch.pi * k / (2 * (n - 1))) ** 2
    return (one[:, None] + one[None, :]).to(dtype=dtype, device=device)


def solve_shifted_laplacian(
    f: torch.Tensor, shift: float = 0.0, discretisation: Discretisation = "five-point"
) -> torch.Tensor:
    """Return the interior u with (Laplacian + shift) u = f, for f (..., n-2, n-2)."""
    n = f.shape[-1] + 2
    eigenvalues = laplacian_eigenvalues(n, f.dtype, f.device, discretisation)
    return _by_sines(f, 1 / ((eigenvalues + shift) * (2 * (n - 1)) ** 2))


def _by_sines(f: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Multiply the sine transform of f by factors, and transform back without a scale."""
    return dst1(dst1(dst1(dst1(f, -1), -2) * factors, -1), -2)


def dispersion_error(n: int, wavenumber: float, alpha: float, tau: float) -> float:
    """Return the error of five points for Δu + k²u = a, relative to u: the root mean square over
    sources whose sine coefficients have variances proportional to (κ² + τ²)^-α.

    Where the grid does not resolve the waves, and the sum over its sines therefore says nothing, it
    is at least the phase error of a wave that crosses the square, k (k h)² / 24, up to 1.

    Arguments:
        n: nodes per side.
        wavenumber: k.
        alpha, tau: of the source, as in `GaussianRandomField`.
    """
    exact, ours = (
        laplacian_eigenvalues(n, discretisation=kind) for kind in ("spectral", "five-point")
    )
    spectrum = ((tau**2 - exact) / (tau**2 - exact.max())) ** -alpha
    u, approximate = 1 / (exact + wavenumber**2), 1 / (ours + wavenumber**2)
    error = float(
        ((spectrum * (approximate - u) ** 2).sum() / (spectrum * u**2).sum()).nan_to_num(1.0).sqrt()
    )
    return max(error, min(1.0, wavenumber**3 / (n - 1) ** 2 / 24))


def zero_on_sides(points: torch.Tensor, domain: Domain) -> torch.Tensor:
    """Return 0 for points (m, 2) on a side of the domain, and nan for the others."""
    shares = domain.relative(points)
    on_side = ((shares <= 1e-9) | (shares >= 1 - 1e-9)).any(dim=1)
    return torch.where(on_side, 0.0, torch.nan)


def dirichlet_residual(equation: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Return one field of both residuals, (..., n, n).

    Arguments:
        equation: (..., n-2, n-2), residual of the equation at the interior nodes.
        u: (..., n, n), the solution, which is its own residual on the boundary.

    Raises:
        InputError: u is not square, so that its mesh widths are not one.
    """
    if u.shape[-1] != u.shape[-2]:
        raise InputError(f"u must be square, (..., n, n), got {tuple(u.shape)}; resample it")
    boundary = u - zero_boundary(interior(u))
    return zero_boundary(equation) + boundary
