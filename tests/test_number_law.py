"""The axes of the law of a few numbers, against dense algebra."""

import pytest
import torch
from helpers import normal

from pdeinv.solvers.number_law import _principal_axes


@pytest.mark.parametrize(("m", "k"), [(5, 2), (1, 3)])
@pytest.mark.parametrize("noise", [1.0, 1e-3, 1e-9])
def test_axes_are_those_of_the_linearised_posterior(m, k, noise):
    slope = normal(m, k)
    axes = _principal_axes(noise * torch.eye(m, dtype=torch.float64), slope)
    precision = torch.eye(k, dtype=torch.float64) + slope.T @ slope / noise**2
    along = axes.T @ precision @ axes
    assert along.diagonal().tolist() == pytest.approx([1.0] * k, rel=1e-6) or m < k
    if m < k:  # numbers that the readings do not see keep their law
        assert axes.norm(dim=0).sort().values[1:].tolist() == pytest.approx([1.0] * (k - 1))
        assert (slope @ axes).norm().item() == pytest.approx(
            slope.norm().item() / (1 + slope.norm().item() ** 2 / noise**2) ** 0.5, rel=1e-6
        )
