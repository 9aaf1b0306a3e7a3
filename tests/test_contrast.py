"""Darcy at a high contrast: an early error of an inversion; prior draws are solved as ever."""

import re

import pandas as pd
import pytest
import torch
from helpers import seeded

from pdeinv import NumericalError, reconstruct
from pdeinv.datasets import Darcy, darcy

TABLE = pd.DataFrame(
    {
        "field": ["pressure", "pressure", "permeability"],
        "x": [0.3, 0.7, 0.5],
        "y": [0.4, 0.2, 0.8],
        "value": [1e-3, 2e-3, 1.0],
        "noise_std": [1e-4, 1e-4, 0.0],
    }
)


@pytest.mark.parametrize("contrast", [1e3, 1e6])
def test_a_contrast_beyond_conjugate_gradients_ends_an_inversion_at_once(contrast, monkeypatch):
    iterations = []
    apply = darcy._apply
    monkeypatch.setattr(darcy, "_apply", lambda *a: iterations.append(1) or apply(*a))
    with pytest.raises(NumericalError, match=re.escape(f"got {contrast:.4g}; bring low")):
        reconstruct(TABLE, Darcy(low=1.0, high=contrast), grid=16, n_samples=1)
    assert len(iterations) < 2 * darcy._MOST


@pytest.mark.parametrize("contrast", [1e3, 1e6])
def test_draws_of_a_high_contrast_are_solved(contrast):
    pde = Darcy(low=1.0, high=contrast)
    states = pde.sample(2, pde.grid(16), seeded())
    assert pde.residual(states[:, :1], states[:, 1:]).abs().max() < 1e-6


def test_a_high_contrast_is_reconstructed_without_gradients():
    pde = Darcy(low=1.0, high=1e3)
    result = reconstruct(TABLE, pde, grid=16, n_samples=1, solver="optimal-interpolation")
    assert bool(result["pressure_mean"].notnull().all())


@pytest.mark.parametrize("contrast", [4.0, 100.0, 500.0])
def test_a_contrast_of_hundreds_passes(contrast):
    pde = Darcy(low=1.0, high=contrast)
    a = pde.sample_coefficient(1, pde.grid(16), seeded())
    gap = pde.surrogate(a) - pde.solve(a)
    assert gap.abs().max() < 0.1 * pde.solve(a).abs().max()


def test_a_stalled_solve_names_the_contrast():
    a = torch.exp(12 * torch.randn(1, 1, 33, 33, dtype=torch.float64, generator=seeded()))
    with pytest.raises(NumericalError, match=r"400 iterations, .* permeability of contrast \d"):
        Darcy().solve(a)
