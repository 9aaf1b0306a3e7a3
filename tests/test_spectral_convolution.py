"""The spectral convolution of the U-shaped operator, on any numbers of rows and columns."""

import pytest
import torch
from helpers import seeded

from pdeinv.priors.unet import _filtered, without_wandb

with without_wandb():
    from neuralop.layers.spectral_convolution import SpectralConv


@pytest.fixture
def layer():
    made = SpectralConv(3, 3, (4, 6), separable=True, bias=False).requires_grad_(False)
    for weight in made.parameters():
        weight.copy_(torch.randn(weight.shape, dtype=weight.dtype, generator=seeded()))
    return made


@pytest.mark.parametrize("shape", [(6, 10), (3, 5), (5, 5), (5, 8), (9, 4)], ids=str)
def test_it_is_a_convolution(layer, shape):
    x = torch.randn(2, 3, *shape, generator=seeded(1))
    y = _filtered(layer, x)
    for shift in ((1, 0), (0, 1), (2, 3)):
        moved = _filtered(layer, x.roll(shift, (-2, -1)))
        assert torch.allclose(moved, y.roll(shift, (-2, -1)), atol=1e-6)


def test_its_frequencies_are_those_of_an_even_number_of_rows(layer):
    """Waves that both grids resolve are multiplied by the same weights."""
    for ky, kx in ((0, 1), (1, 0), (1, 2), (-2, 1), (0, 0)):
        rows = []
        for ny in (16, 15):
            y, x = torch.meshgrid(torch.arange(ny) / ny, torch.arange(12) / 12, indexing="ij")
            wave = (2 * torch.pi * (ky * y + kx * x)).cos().expand(1, 3, -1, -1)
            rows.append(_filtered(layer, wave)[..., 0, :])
        assert torch.allclose(*rows, atol=1e-6), (ky, kx)
