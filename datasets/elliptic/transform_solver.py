"""Constant coefficients: trigonometric transforms that diagonalise the Laplacian.

Each direction takes the transform of its two sides: sines between values (DST-I), cosines between
fluxes (DCT-I), quarter waves between a value and a flux (DST-III and DST-II). Four transforms
therefore solve the problem exactly, to rounding.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

import torch

from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.transforms import dct1, dst1, dst2, dst3

__all__ = [
    "Discretisation",
    "InverseByWaves",
    "inverse_by_waves",
    "laplacian",
    "laplacian_eigenvalues",
    "solve_shifted_laplacian",
]

Discretisation = Literal["five-point", "spectral"]
"""Five-point finite differences, of second order, or the exact eigenvalues of the waves."""


class InverseByWaves(NamedTuple):
    """The solution of a right-hand side f (my, mx): synthesis_y (factors · (analysis_y f
    analysis_xᵀ)) synthesis_xᵀ, with waves along y and x.

    Arguments:
        analysis_y, analysis_x: from nodes to waves, (my, my) and (mx, mx).
        synthesis_y, synthesis_x: from waves to nodes.
        factors: (my, mx).
    """

    analysis_y: torch.Tensor
    analysis_x: torch.Tensor
    synthesis_y: torch.Tensor
    synthesis_x: torch.Tensor
    factors: torch.Tensor


def laplacian(
    volumes: Volumes, u: torch.Tensor, discretisation: Discretisation = "five-point"
) -> torch.Tensor:
    """Return the Laplacian (..., my, mx) of u (..., ny, nx) at the free nodes.

    The spectral one is that of the waves through the free values: values and fluxes on the sides
    must be 0.
    """
    if discretisation == "spectral":
        eigenvalues = laplacian_eigenvalues(volumes, u.dtype, u.device, discretisation)
        return _by_waves(volumes, volumes.inside(u), eigenvalues / _norm(volumes))
    return volumes.laplacian(u)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def laplacian_eigenvalues(
    volumes: Volumes,
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
    discretisation: Discretisation = "five-point",
) -> torch.Tensor:
    """Return the eigenvalues (my, mx) of the Laplacian, none positive, longest waves first."""
    y = _eigenvalues(volumes.ny, volumes.height, volumes.bottom, volumes.top, discretisation)
    x = _eigenvalues(volumes.nx, volumes.width, volumes.left, volumes.right, discretisation)
    return (y[:, None] + x[None, :]).to(dtype=dtype, device=device)


def solve_shifted_laplacian(
    volumes: Volumes,
    f: torch.Tensor,
    shift: float = 0.0,
    discretisation: Discretisation = "five-point",
) -> torch.Tensor:
    """Return u with (Laplacian + shift) u = f, both (..., my, mx) at the free nodes.

    Values and fluxes on the sides are 0; `Conditions` brings others to the right-hand side.
    """
    eigenvalues = laplacian_eigenvalues(volumes, f.dtype, f.device, discretisation)
    return _by_waves(volumes, f, 1 / ((eigenvalues + shift) * _norm(volumes)))


def inverse_by_waves(
    volumes: Volumes, shift: float, discretisation: Discretisation
) -> InverseByWaves:
    """Return the matrices of `solve_shifted_laplacian`, float64."""
    my, mx = (torch.eye(m, dtype=torch.float64) for m in volumes.shape)
    y, x = (volumes.bottom, volumes.top), (volumes.left, volumes.right)
    eigenvalues = laplacian_eigenvalues(volumes, discretisation=discretisation)
    return InverseByWaves(
        _analysed(my, -2, *y),
        _analysed(mx, -2, *x),
        _synthesised(my, -2, *y),
        _synthesised(mx, -2, *x),
        1 / ((eigenvalues + shift) * _norm(volumes)),
    )


def _eigenvalues(
    n: int, length: float, first: bool, last: bool, discretisation: Discretisation
) -> torch.Tensor:
    """Return the eigenvalues of the second derivative between two sides."""
    k = torch.arange(int(first), n - int(last), dtype=torch.float64)  # half waves along the side
    if first != last:
        k = torch.arange(n - 1, dtype=torch.float64) + 0.5
    if discretisation == "spectral":
        return -((torch.pi * k / length) ** 2)
    return -4.0 * ((n - 1) / length) ** 2 * torch.sin(torch.pi * k / (2 * (n - 1))) ** 2


def _norm(volumes: Volumes) -> int:
    """Return the factor by which both transforms and their inverses multiply a field."""
    return 4 * (volumes.nx - 1) * (volumes.ny - 1)


def _by_waves(volumes: Volumes, f: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Multiply the transform of f by factors, and transform back without a scale."""
    x, y = (volumes.left, volumes.right), (volumes.bottom, volumes.top)
    waves = _analysed(_analysed(f, -1, *x), -2, *y)
    return _synthesised(_synthesised(waves * factors, -1, *x), -2, *y)


def _analysed(f: torch.Tensor, dim: int, first: bool, last: bool) -> torch.Tensor:
    """Return the amplitudes of the waves between two sides, along a dimension."""
    if first and last:
        return dst1(f, dim)
    if not first and not last:
        return dct1(f, dim)
    return dst3(f if first else f.flip(dim), dim)


def _synthesised(amplitudes: torch.Tensor, dim: int, first: bool, last: bool) -> torch.Tensor:
    """Invert `_analysed`, up to twice the number of cells along the dimension."""
    if first and last:
        return dst1(amplitudes, dim)
    if not first and not last:
        return dct1(amplitudes, dim)
    u = dst2(amplitudes, dim)
    return u if first else u.flip(dim)
