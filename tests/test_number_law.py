"""The law of a few numbers, against dense algebra and quadrature."""

import math

import pytest
import torch
from helpers import normal, observe, seeded
from torch.distributions import MultivariateNormal, Normal

from pdeinv import GaussianField, Problem
from pdeinv.datasets import NavierStokes
from pdeinv.solvers import GaussNewton
from pdeinv.solvers.number_law import _principal_axes
from pdeinv.solvers.whitened_problem import WhitenedProblem
from pdeinv.unknown import Unknown


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


@pytest.mark.parametrize("seed", [0, 1])
def test_the_law_of_a_viscosity_is_that_of_quadrature(seed):
    """Of a vorticity so faint that it only decays: readings given the viscosity are linear."""
    unknown = NavierStokes(viscosity=Unknown(1e-3, 3e-2))
    prior, number = GaussianField(0.0, 1e-4, 0.2), Unknown(1e-3, 3e-2)
    truth = Problem(NavierStokes(viscosity=1e-2), prior)
    grid = truth.physics.grid(16)
    points = torch.rand(40, 2, dtype=torch.float64, generator=seeded(5))
    _, o = observe(truth, grid, points, 1, noise=0.01, seed=seed)
    places = torch.linspace(0.0, 1.2, 31, dtype=torch.float64)
    logarithms = torch.stack([log_joint(prior, o, number, z) for z in places])
    exact = float(logarithms.logsumexp(dim=0)) + math.log(float(places[1] - places[0]))
    viscosity = torch.tensor([number.at(float(z)) for z in places], dtype=torch.float64)
    density = logarithms.softmax(dim=0)
    mean = float(density @ viscosity)
    std = float((density @ (viscosity - mean).square()).sqrt())
    found = GaussNewton(ensemble=4)(unknown, prior, o, n_samples=2)
    assert found.record["log_evidence"] == pytest.approx(exact, abs=0.1)
    assert float(found.parameters.mean[0]) == pytest.approx(mean, abs=0.1 * std)
    assert float(found.parameters.std[0]) == pytest.approx(std, rel=0.1)
    assert 0.6 < found.record["reduced_chi_squared"] < 1.6


def log_joint(prior, o, number, z):
    """Return log p(y, z), by dense algebra."""
    problem = WhitenedProblem(Problem(NavierStokes(viscosity=number.at(float(z))), prior), o)
    problem.forward.exact_derivatives = True
    rows = problem.jacobian(problem.zero)
    covariance = rows @ rows.T + o.noise_std.square().diag()
    readings = MultivariateNormal(torch.zeros_like(o.values), covariance)
    return readings.log_prob(o.values) + Normal(0.0, 1.0).log_prob(z)
