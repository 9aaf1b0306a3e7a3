"""Five-point finite differences on the interior of a vertex grid with u = 0 on the boundary.

Interior fields have shape (..., n-2, n-2). The sine transform diagonalises the Laplacian. Two
transforms therefore solve the constant-coefficient problem exactly, to rounding.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch.nn.functional import pad

from pdeinv.transforms import dst1

__all__ = [
    "dirichlet_residual",
    "interior",
    "laplacian",
    "laplacian_eigenvalues",
    "solve_shifted_laplacian",
    "zero_boundary",
]


def interior(x: torch.Tensor) -> torch.Tensor:
    """Return the values at the interior nodes, (..., n-2, n-2)."""
    return x[..., 1:-1, 1:-1]


def zero_boundary(x: torch.Tensor) -> torch.Tensor:
    """Return interior values surrounded by zeros, (..., n, n)."""
    return pad(x, (1, 1, 1, 1))


def laplacian(u: torch.Tensor) -> torch.Tensor:
    """Return the five-point Laplacian of u (..., n, n) at the interior nodes."""
    h = 1.0 / (u.shape[-1] - 1)
    neighbours = u[..., 2:, 1:-1] + u[..., :-2, 1:-1] + u[..., 1:-1, 2:] + u[..., 1:-1, :-2]
    return (neighbours - 4 * interior(u)) / h**2


@lru_cache(maxsize=16)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def laplacian_eigenvalues(
    n: int, dtype: torch.dtype = torch.float64, device: torch.device | None = None
) -> torch.Tensor:
    """Return the eigenvalues of the five-point Laplacian on n x n nodes, (n-2, n-2), all negative.

    The grid is of the vertex kind.
    """
    k = torch.arange(1, n - 1, dtype=torch.float64)
    one = -4.0 * (n - 1) ** 2 * torch.sin(torch.pi * k / (2 * (n - 1))) ** 2
    return (one[:, None] + one[None, :]).to(dtype=dtype, device=device)


def solve_shifted_laplacian(f: torch.Tensor, shift: float = 0.0) -> torch.Tensor:
    """Return the interior u with (Laplacian + shift) u = f, for f (..., n-2, n-2)."""
    n = f.shape[-1] + 2
    inverse = 1 / ((laplacian_eigenvalues(n, f.dtype, f.device) + shift) * (2 * (n - 1)) ** 2)
    return dst1(dst1(dst1(dst1(f, -1), -2) * inverse, -1), -2)


def dirichlet_residual(equation: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    """Return one field of both residuals, (..., n, n).

    Arguments:
        equation: (..., n-2, n-2), residual of the equation at the interior nodes.
        u: (..., n, n), the solution, which is its own residual on the boundary.
    """
    boundary = u - zero_boundary(interior(u))
    return zero_boundary(equation) + boundary
