"""Batched, differentiable trigonometric transforms on `torch.fft`.

The sine and cosine transforms, the hot path of every elliptic solve, are products with dense
matrices on short axes. They are exact to rounding, as FFTs of a longer sequence would be.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

__all__ = [
    "dct1",
    "dst1",
    "dst2",
    "dst3",
    "fourier_coefficients",
    "fourier_resample",
    "fourier_synthesis",
    "wavenumbers",
]

# About where FFTs overtake the dense transforms; those of quarter waves are four times as long
_DENSE_UP_TO = 320
_DENSE_QUARTERS_UP_TO = 640

_Transform = Callable[[torch.Tensor], torch.Tensor]


def dst1(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Return the DST-I of x along a dimension: y_k = 2 Σ x_j sin(π (k+1) (j+1) / (N+1)).

    It follows `scipy.fft.dst` with `norm=None`, and is its own inverse up to the factor 2(N+1).

    Arguments:
        x: real, with N entries along the dimension.
        dim: the dimension.
    """
    n = x.shape[dim]
    if n > _DENSE_UP_TO:
        return _by_fft(x, dim, _long_dst1, _long_dst1)
    matrix = _sine_matrix(n, x.dtype, x.device)
    return matrix @ x if dim == -2 else (x.movedim(dim, -1) @ matrix).movedim(-1, dim)


def dct1(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Return the DCT-I of x along a dimension of N entries, N at least 2.

    y_k = x_0 + (-1)^k x_{N-1} + 2 Σ x_j cos(π k j / (N-1)), with j from 1 to N-2. It follows
    `scipy.fft.dct` with `norm=None`, and is its own inverse up to the factor 2(N-1).
    """
    if x.shape[dim] > _DENSE_UP_TO:
        return _by_fft(x, dim, _long_dct1, _adjoint_dct1)
    return _by_matrix(x, dim, _cosine_matrix)


def dst2(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Return the DST-II of x along a dimension: y_k = 2 Σ x_j sin(π (k+1) (2j+1) / (2N)).

    It follows `scipy.fft.dst` with `norm=None`; `dst3` inverts it up to the factor 2N.
    """
    if x.shape[dim] > _DENSE_QUARTERS_UP_TO:
        return _by_fft(x, dim, _long_dst2, _adjoint_dst2)
    return _by_matrix(x, dim, _quarter_wave_matrix)


def dst3(x: torch.Tensor, dim: int = -1) -> torch.Tensor:
    """Return the DST-III of x along a dimension of N entries.

    y_k = (-1)^k x_{N-1} + 2 Σ x_j sin(π (2k+1) (j+1) / (2N)), with j from 0 to N-2. It follows
    `scipy.fft.dst` with `norm=None`; `dst2` inverts it up to the factor 2N.
    """
    if x.shape[dim] > _DENSE_QUARTERS_UP_TO:
        return _by_fft(x, dim, _long_dst3, _adjoint_dst3)
    return _by_matrix(x, dim, _end_weighted_quarter_wave_matrix)


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


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _cosine_matrix(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    k = torch.arange(n, dtype=torch.float64)
    product = torch.outer(k, k) % (2 * (n - 1))
    matrix = 2 * torch.cos(torch.pi * product / (n - 1))
    matrix[:, [0, -1]] /= 2
    return matrix.to(dtype=dtype, device=device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _quarter_wave_matrix(n: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    k = torch.arange(1, n + 1, dtype=torch.float64)
    product = torch.outer(k, 2 * k - 1) % (4 * n)
    return (2 * torch.sin(torch.pi * product / (2 * n))).to(dtype=dtype, device=device)


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def _end_weighted_quarter_wave_matrix(
    n: int, dtype: torch.dtype, device: torch.device
) -> torch.Tensor:
    matrix = _quarter_wave_matrix(n, torch.float64, torch.device("cpu")).mT.clone()
    matrix[:, -1] /= 2
    return matrix.to(dtype=dtype, device=device)


def _by_matrix(
    x: torch.Tensor,
    dim: int,
    matrix_of: Callable[[int, torch.dtype, torch.device], torch.Tensor],
) -> torch.Tensor:
    """Multiply by the matrix of a transform along a dimension."""
    matrix = matrix_of(x.shape[dim], x.dtype, x.device)
    return matrix @ x if dim == -2 else (x.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)


def _by_fft(x: torch.Tensor, dim: int, transform: _Transform, adjoint: _Transform) -> torch.Tensor:
    """Apply a transform of the last dimension along another one."""
    found: torch.Tensor = _WithAdjoint.apply(x.movedim(dim, -1), transform, adjoint)
    return found.movedim(-1, dim)


class _WithAdjoint(torch.autograd.Function):
    """A real linear map whose derivative is its stated adjoint: torch's own takes complex FFTs of
    the padded length."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, transform: _Transform, adjoint: _Transform
    ) -> torch.Tensor:
        ctx.transform, ctx.adjoint = transform, adjoint
        return transform(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.adjoint(gradients[0]), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> torch.Tensor:
        return ctx.transform(tangents[0])


def _long_dst1(x: torch.Tensor) -> torch.Tensor:
    zero = torch.zeros_like(x[..., :1])
    return -torch.fft.rfft(torch.cat([zero, x, zero, -x.flip(-1)], dim=-1)).imag[..., 1:-1]


def _long_dct1(x: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfft(torch.cat([x, x[..., 1:-1].flip(-1)], dim=-1)).real


def _adjoint_dct1(y: torch.Tensor) -> torch.Tensor:
    ends = torch.ones_like(y[..., :1])
    weights = torch.cat([ends / 2, torch.ones_like(y[..., 1:-1]), ends / 2], dim=-1)
    return weights * _long_dct1(y / weights)


def _long_dst2(x: torch.Tensor) -> torch.Tensor:
    n = x.shape[-1]
    odd = torch.stack([torch.zeros_like(x), x], dim=-1).reshape(*x.shape[:-1], 2 * n)
    return -2 * torch.fft.rfft(odd, 4 * n).imag[..., 1 : n + 1]


def _adjoint_dst2(y: torch.Tensor) -> torch.Tensor:
    return _long_dst3(torch.cat([y[..., :-1], 2 * y[..., -1:]], dim=-1))


def _long_dst3(x: torch.Tensor) -> torch.Tensor:
    n = x.shape[-1]
    shifted = torch.cat([torch.zeros_like(x[..., :1]), x[..., :-1], x[..., -1:] / 2], dim=-1)
    return -2 * torch.fft.rfft(shifted, 4 * n).imag[..., 1 : 2 * n : 2]


def _adjoint_dst3(y: torch.Tensor) -> torch.Tensor:
    x = _long_dst2(y)
    return torch.cat([x[..., :-1], x[..., -1:] / 2], dim=-1)
