"""Darcy at a high contrast: draws are solved and inverted as at a low one."""

import pandas as pd
import pytest
import torch
from helpers import seeded

from pdeinv import NumericalError, reconstruct
from pdeinv.datasets import Darcy, Problem
from pdeinv.solvers import LevelSet

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
def test_draws_of_a_high_contrast_are_solved(contrast):
    problem = Problem.named("darcy", low=1.0, high=contrast)
    pde = problem.physics
    states = problem.sample(2, pde.grid(16), seeded())
    assert pde.residual(states[:, :1], states[:, 1:]).abs().max() < 1e-6


@pytest.mark.parametrize(
    "solver", [LevelSet(ensemble=4, draws=16, stages="brief"), "optimal-interpolation"]
)
def test_a_high_contrast_is_reconstructed(solver):
    problem = Problem.named("darcy", low=1.0, high=1e3)
    result = reconstruct(TABLE, problem=problem, grid=16, n_samples=1, solver=solver)
    assert bool(result["pressure_mean"].notnull().all())


@pytest.mark.parametrize("contrast", [4.0, 90.0, 110.0, 1e5])
def test_the_surrogate_is_close_at_any_contrast(contrast):
    problem = Problem.named("darcy", low=1.0, high=contrast)
    pde = problem.physics
    a = problem.sample_coefficient(1, pde.grid(16), seeded())
    gap = pde.surrogate(a) - pde.solve(a)
    assert gap.abs().max() < 0.1 * pde.solve(a).abs().max()
    assert bool(gap.any()) == (contrast < 100)


def test_what_cannot_be_solved_names_the_contrast():
    a = torch.exp(12 * torch.randn(1, 1, 33, 33, dtype=torch.float64, generator=seeded()))
    with pytest.raises(NumericalError, match=r"residual .* lower the contrast"):
        Darcy().solve(a)
    with pytest.raises(NumericalError, match=r"400 iterations, .* of contrast \d"):
        Darcy(method="iterative").solve(a)
