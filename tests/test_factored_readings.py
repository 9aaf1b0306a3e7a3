"""A linear posterior in the space of draws is that in the space of states."""

import pytest
import torch
from helpers import observe, seeded

from pdeinv import GaussianField, SpectralField, layouts
from pdeinv.datasets import Poisson, Problem
from pdeinv.datasets.sides import NoFlux, Sides
from pdeinv.grid import Domain
from pdeinv.solvers import factored_readings as module
from pdeinv.solvers.gaussian import GaussianSolver

WIDE = Poisson(domain=Domain((0.0, 300.0, 0.0, 100.0)), boundary=Sides(left=NoFlux()))
CASES = {
    "smooth": (Problem(WIDE, GaussianField(mean=1.0, std=2.0, length=80.0)), 36, 30),
    "few waves": (Problem(Poisson(), SpectralField("neumann", modes=6)), 12, 90),
}


def readings(problem, nodes, m):
    physics = problem.physics
    points = physics.domain.absolute(torch.as_tensor(layouts.random(m, 3)))
    channel = torch.arange(m) % len(physics.fields)
    grid = physics.grid(nodes)
    _, observation = observe(physics, grid, points, channel, noise=0.05, seed=4)
    return observation


def posterior(problem, observation):
    solver = GaussianSolver()
    return solver(problem.physics, problem.prior, observation, n_samples=5, generator=seeded(1))


@pytest.mark.parametrize("name", CASES)
def test_it_is_the_posterior_of_states(name, monkeypatch):
    problem, nodes, m = CASES[name]
    observation = readings(problem, nodes, m)
    given = problem.physics, problem.prior, observation, 1e-12, False
    few = module.factored_readings(*given)
    found = posterior(problem, observation)
    monkeypatch.setattr(module, "in_draws", lambda *_: False)
    assert not module.factored_readings(*given).of_draws
    wanted = posterior(problem, observation)
    assert few.of_draws and few.rows.shape == (m, problem.latent.size)
    scale = wanted.std.amax(dim=(1, 2), keepdim=True)
    for one, other in ((found.mean, wanted.mean), (found.std, wanted.std)):
        assert float(((one - other) / scale).abs().max()) < 1e-6
    assert float(((found.samples - wanted.samples) / scale).abs().max()) < 1e-6
    keys = ("reduced_chi_squared", "degrees_of_freedom", "log_evidence")
    assert all(found.record[k] == pytest.approx(wanted.record[k], rel=1e-6) for k in keys)
    ours, theirs = found.leave_one_out, wanted.leave_one_out
    assert torch.allclose(ours.mean, theirs.mean, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_posterior_without_samples_has_the_same_mean_and_spread(name):
    problem, nodes, m = CASES[name]
    observation = readings(problem, nodes, m)
    given = problem.physics, problem.prior, observation
    none, some = (GaussianSolver()(*given, n_samples=n, generator=seeded(1)) for n in (0, 2))
    assert none.samples.shape == (0, *some.mean.shape)
    assert torch.equal(none.mean, some.mean) and torch.equal(none.std, some.std)
