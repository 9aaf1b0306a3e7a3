"""Batched, differentiable trigonometric transforms on `torch.fft`.

The sine transform, the hot path of every elliptic solve, is a product with a dense matrix on short
axes. It is exact to rounding, as an FFT of twice the length would be.
"""

from __future__ import annotations

from functools import lru_cache

import torch

__all__ = [
    "dst1",
    "fourier_coefficients",
    "fourier_resample",
    "fourier_synthesis",
    "wavenumbers",
]

# About where an FFT overtakes the dense sine transform
_DENSE_UP_TO = 320


def dst1(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Return the DST-I of x along a dimension: y_k = 2 Σ x_j sin(π (k+1) (j+1) / (N+1)).

    It follows `scipy.fft.dst` with `norm=None`, and is its own inverse up to the factor 2(N+1).

    Arguments:
        x: real, with N entries along the dimension.
        dim: the dimension.
    """
    n = x.shape[dim]
    if n <= _DENSE_UP_TO:
        matrix = _sine_matrix(n, x.dtype, x.device)
        return matrix @ x if dim == -2 else (x.movedim(dim, -1) @ matrix).movedim(-1, dim)
    x = x.movedim(dim, -1)
    zero = torch.zeros_like(x[..., :1])
    extended = torch.cat([zero, x, zero, -x.flip(-1)], dim=-1)
    return -torch.fft.rfft(extended).imag[..., 1:-1].movedim(-1, dim)


def fourier_coefficients(x: torch.Tensor) -> torch.Tensor:
    """Return the Fourier series of real fields (..., ny, nx) on a periodic grid, in the half plane.

    The coefficients are (..., ny, nx // 2 + 1).
    """
    return torch.fft.rfft2(x, norm="forward")


def fourier_synthesis(c: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Return the fields of coefficients c on ny x nx nodes; inverts `fourier_coefficients`.

    Arguments:
        c: (..., ny, nx // 2 + 1).
        shape: (ny, nx).
    """
    return torch.fft.irfft2(c, s=shape, norm="forward")


def fourier_resample(x: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """Resample real fields (..., my, mx) on a periodic grid to another number of nodes.

    This cuts or pads their Fourier series, without the Nyquist mode of the coarser grid.

    Arguments:
        x: (..., my, mx).
        shape: (ny, nx).
    """
    have = (x.shape[-2], x.shape[-1])
    if have == shape:
        return x
    # Wavenumbers below the coarser grid's Nyquist wavenumber
    half_y, half_x = ((min(m, n) + 1) // 2 for m, n in zip(have, shape, strict=True))
    c = fourier_coefficients(x)[..., :half_x]
    rows = torch.cat([c[..., :half_y, :], c[..., have[0] - half_y + 1 :, :]], dim=-2)
    full = rows.new_zeros(*rows.shape[:-2], shape[0], shape[1] // 2 + 1)
    full[..., :half_y, :half_x] = rows[..., :half_y, :]
    full[..., shape[0] - half_y + 1 :, :half_x] = rows[..., half_y:, :]
    return fourier_synthesis(full, shape)


def wavenumbers(
    shape: tuple[int, int],
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the integer wavenumbers (ky, kx) of `fourier_coefficients` on ny x nx nodes.

    Their shapes are (ny, 1) and (1, nx // 2 + 1).
    """
    ny, nx = shape
    ky = torch.fft.fftfreq(ny, 1 / ny, dtype=dtype, device=device)[:, None]
    kx = torch.fft.rfftfreq(nx, 1 / nx, dtype=dtype, device=device)[None, :]
    return ky, kx


@lru_cache(maxsize=32)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _sine_matrix(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    k = torch.arange(1, n + 1, dtype=torch.float64)
    # Reduce the integer product first: sin of a large argument loses digits
    product = torch.outer(k, k) % (2 * (n + 1))
    return (2 * torch.sin(torch.pi * product / (n + 1))).to(dtype=dtype, device=device)
