"""The trigonometric transforms against `scipy.fft`."""

import numpy as np
import pytest
import scipy.fft
import torch
from helpers import seeded

from pdeinv import transforms
from pdeinv.transforms import (
    dct1,
    dst1,
    dst2,
    dst3,
    fourier_coefficients,
    fourier_resample,
    fourier_synthesis,
    wavenumbers,
)

CROSSOVER = transforms._DENSE_UP_TO
QUARTERS = transforms._DENSE_QUARTERS_UP_TO
LENGTHS = [2, 3, 4, 7, 16, 33, CROSSOVER, CROSSOVER + 1, QUARTERS + 1, QUARTERS + 2]


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed)).to(dtype)


TRANSFORMS = {
    "dst1": (dst1, dst1, scipy.fft.dst, 1, 1),
    "dct1": (dct1, dct1, scipy.fft.dct, 1, -1),
    "dst2": (dst2, dst3, scipy.fft.dst, 2, 0),
    "dst3": (dst3, dst2, scipy.fft.dst, 3, 0),
}
"""Transform, inverse, scipy's function and type; the inverse's factor is 2(N + the last)."""

each_transform = pytest.mark.parametrize(
    ("transform", "inverse", "scipys", "kind", "more"), TRANSFORMS.values(), ids=TRANSFORMS
)


@each_transform
@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("dim", [-1, -2, -3, 0, 1, 2, 3])
def test_matches_scipy_along_any_dimension(transform, inverse, scipys, kind, more, n, dim):
    shape = [2, 3, 4, 2]
    shape[dim] = n
    x = normal(*shape)
    expected = scipys(x.numpy(), kind, axis=dim)
    y = transform(x, dim)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-12 * np.abs(expected).max())
    torch.testing.assert_close(inverse(y, dim) / (2 * (n + more)), x, atol=1e-12, rtol=0)


@each_transform
@pytest.mark.parametrize("n", [16, 33, CROSSOVER, CROSSOVER + 1])
def test_float32(transform, inverse, scipys, kind, more, n):
    x = normal(3, n, dtype=torch.float32)
    y = transform(x)
    assert y.dtype == torch.float32
    expected = scipys(x.double().numpy(), kind)
    np.testing.assert_allclose(y.numpy(), expected, atol=2e-6 * np.abs(expected).max())


def dense_up_to(most, monkeypatch):
    """Let transforms of more numbers be FFTs."""
    for limit in ("_DENSE_UP_TO", "_DENSE_QUARTERS_UP_TO"):
        monkeypatch.setattr(transforms, limit, most)


@pytest.mark.parametrize("transform", [dst1, dct1, dst2, dst3])
@pytest.mark.parametrize("n", [6, 7])
@pytest.mark.parametrize("dense", [True, False])
def test_derivatives(transform, n, dense, monkeypatch):
    dense_up_to(CROSSOVER if dense else 0, monkeypatch)
    x = normal(2, n, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: transform(x, 1), x, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda x: transform(x, 1), x)
    seeds = torch.eye(n * 3, dtype=torch.float64).reshape(-1, n, 3)
    (rows,) = torch.autograd.grad(transform(x[0], 0), x, seeds, is_grads_batched=True)
    columns = transform(seeds, 1)  # the images of the unit vectors
    assert torch.allclose(rows[:, 0].flatten(1), columns.flatten(1).T, atol=1e-12)


@pytest.mark.parametrize("transform", [dst1, dct1, dst2, dst3])
def test_both_ways_agree_at_the_crossover(transform, monkeypatch):
    x = normal(2, CROSSOVER)
    dense = transform(x)
    dense_up_to(CROSSOVER - 1, monkeypatch)
    torch.testing.assert_close(transform(x), dense, atol=1e-11, rtol=0)


@pytest.mark.parametrize("transform", [dst1, dct1, dst2, dst3])
def test_gradients_survive_a_first_use_in_inference_mode(transform):
    n = 29  # a length that no other test puts into the cache
    with torch.inference_mode():
        transform(normal(n))
    x = normal(n).requires_grad_()
    y = normal(n, seed=1)
    (transform(x) * y).sum().backward()
    expected = sum(float(t) * float(v) for t, v in zip(transform(x.grad), y, strict=True))
    assert float(x.grad.square().sum()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shape", [(4, 4), (5, 5), (8, 9), (64, 65), (24, 40), (41, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fourier_round_trip(shape, dtype):
    x = normal(2, 1, *shape, dtype=dtype)
    back = fourier_synthesis(fourier_coefficients(x), shape)
    assert back.dtype == dtype
    torch.testing.assert_close(back, x, atol=50 * torch.finfo(dtype).eps, rtol=0)


@pytest.mark.parametrize("shape", [(8, 8), (9, 9), (8, 13)])
def test_fourier_coefficients_are_those_of_the_series(shape):
    """c exp(2πi(kx x + ky y)) and its conjugate, for every wavenumber below Nyquist's, land on one
    coefficient."""
    ny, nx = shape
    y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) / n for n in shape), indexing="ij")
    all_ky, all_kx = wavenumbers(shape)
    assert all_ky.shape == (ny, 1) and all_kx.shape == (1, nx // 2 + 1)
    half_y, half_x = ((n - 1) // 2 for n in shape)
    for ky in range(-half_y, half_y + 1):
        for kx in range(1, half_x + 1):
            angle = 2 * torch.pi * (kx * x + ky * y)
            c = fourier_coefficients(3 * torch.cos(angle) - 4 * torch.sin(angle))
            expected = (1.5 + 2j) * ((all_ky == ky) & (all_kx == kx)).to(c.dtype)
            torch.testing.assert_close(c, expected, atol=1e-14, rtol=0)


@pytest.mark.parametrize(("coarse", "fine"), [(12, 30), (12, 31), (13, 30), (13, 31)])
def test_fourier_resampling_carries_a_band_limited_field_between_any_grids(coarse, fine):
    coarse, fine = (coarse, coarse + 2), (fine, fine - 3)

    def wave(shape):
        y, x = torch.meshgrid(
            *(torch.arange(n, dtype=torch.float64) / n for n in shape), indexing="ij"
        )
        return (
            0.3
            + torch.cos(2 * torch.pi * (5 * x - 4 * y))
            + torch.sin(2 * torch.pi * (3 * x + 5 * y))
        )

    assert torch.allclose(fourier_resample(wave(coarse), fine), wave(fine), atol=1e-12)
    assert torch.allclose(fourier_resample(wave(fine), coarse), wave(coarse), atol=1e-12)
    # What the coarse grid cannot carry is cut, not aliased.
    s = torch.arange(fine[1], dtype=torch.float64) / fine[1]
    too_short = torch.cos(2 * torch.pi * 9 * s).expand(*fine)
    assert fourier_resample(too_short, coarse).abs().max() < 1e-12
