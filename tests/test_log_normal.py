"""Flow through a log-normal medium by Gauss–Newton, against posteriors that are known."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import seeded

from pdeinv import Grid, InputError, LogNormal, Observation, Problem, layouts, reconstruct
from pdeinv.benchmarks.studies.media import MediumTask
from pdeinv.benchmarks.studies.reference import compare
from pdeinv.coefficients import GaussianField, Transformed
from pdeinv.datasets import Darcy, Flux, NoFlux, Sides, Value
from pdeinv.solvers import GaussNewton
from pdeinv.solvers.members import draw_around_mode
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.nodewise import moments_through
from pdeinv.solvers.whitened_problem import WhitenedProblem

ACROSS = Darcy(
    source=0.0,
    boundary=Sides(Value(1.0), Value(0.0), NoFlux(), NoFlux()),
    outputs=("log_permeability",),
)
GRID = Grid(16)
HEAD, LOG = 1, 2


def medium(log_std, length=0.3, **numbers):
    return Problem(ACROSS, LogNormal(2.0, log_std, length, **numbers), GRID)


def readings(problem, channels, noise, seed=1, grid=GRID):
    """Return a state of the prior and its readings at random points; `noise` is relative to the
    field's deviation."""
    points = torch.from_numpy(layouts.random(len(channels), seed))
    channel, zeros = torch.tensor(channels), torch.zeros(len(channels), dtype=torch.float64)
    order = tuple(f.interpolation_order for f in problem.physics.fields)
    truth = problem.sample(1, grid, seeded(seed))
    values = Observation(grid, points, channel, zeros, zeros, order)(truth)[0]
    std = noise * truth[0].flatten(1).std(dim=1)[channel]
    values = values + std * torch.randn(len(std), dtype=torch.float64, generator=seeded(seed + 1))
    return truth[0], Observation(grid, points, channel, values, std, order)


def solve(problem, observation, **settings):
    return GaussNewton(**settings)(
        problem.physics, problem.prior, observation, generator=seeded(), n_samples=8
    )


def linear_posterior(problem, observation, jacobian, values):
    """Return mean and standard deviation of the latent field if the readings are linear in ξ."""
    gram = jacobian @ jacobian.T + observation.noise_std.square().diag()
    latent, grid = problem.latent, observation.grid
    residual = observation.values - values
    mean = (torch.linalg.solve(gram, residual) @ jacobian).reshape(1, *latent.shape)
    half = torch.linalg.solve(torch.linalg.cholesky(gram), jacobian)
    explained = latent.square_root(half.reshape(-1, *latent.shape), grid).square().sum(dim=(0, 1))
    return latent.square_root(mean, grid)[0, 0], (latent.variance(grid) - explained).sqrt()


def test_a_medium_that_hardly_varies_has_the_posterior_of_the_linear_problem():
    problem = medium(1e-3)
    _, observation = readings(problem, [HEAD] * 12, noise=1e-5)
    white = WhitenedProblem(problem, observation)
    mean, std = linear_posterior(
        problem, observation, white.jacobian(white.zero), white.values(white.zero)[0]
    )
    found = solve(problem, observation)
    centre = torch.log(torch.tensor(2.0))
    assert found.record["converged"] == 1
    assert float((found.mean[LOG] - centre - mean).abs().max() / std.max()) < 0.02
    torch.testing.assert_close(found.std[LOG], std, rtol=0.01, atol=0.0)


@pytest.mark.parametrize("log_std", [0.5, 2.0])
def test_readings_of_the_logarithm_alone_have_the_gaussian_posterior_and_take_no_solve(log_std):
    problem = medium(log_std)
    _, observation = readings(problem, [LOG] * 8, noise=0.1)
    latent, order = problem.latent, observation.order
    unit = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    of_field = Observation(
        GRID, observation.points, torch.zeros(8).long(), observation.values, observation.noise_std,
        order[LOG:],
    )  # fmt: skip
    jacobian = of_field(latent.square_root(unit, GRID)).T
    centre = torch.log(torch.tensor(2.0, dtype=torch.float64))
    mean, std = linear_posterior(problem, observation, jacobian, centre.expand(8))
    found = solve(problem, observation)
    torch.testing.assert_close(found.mean[LOG], centre + mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.std[LOG], std, rtol=1e-6, atol=1e-8)
    # The conductivity is log-normal at every node
    torch.testing.assert_close(found.mean[0], 2 * (mean + std**2 / 2).exp(), rtol=1e-6, atol=0.0)
    torch.testing.assert_close(
        found.std[0], found.mean[0] * torch.expm1(std**2).sqrt(), rtol=1e-6, atol=0.0
    )
    assert found.record["solver_calls"] == 32  # the members' states alone


def test_an_unknown_constant_has_the_posterior_of_quadrature():
    """A flux through a medium of one unknown permeability: the pressure is q (1 - x) / a."""
    flux, std = 1.0, 0.04
    physics = dataclasses.replace(
        ACROSS, boundary=Sides(Flux(flux), Value(0.0), NoFlux(), NoFlux())
    )
    problem = Problem(physics, LogNormal(2.0, 1.0, 300.0), GRID)
    point = torch.tensor([[0.25, 0.5]], dtype=torch.float64)
    exact, reading = torch.tensor([0.75]), 0.9
    observation = Observation(
        GRID, point, torch.tensor([HEAD]), exact.double() * reading, torch.tensor([std]).double(),
        (3, 3, 3),
    )  # fmt: skip
    log = torch.linspace(-6, 6, 20001, dtype=torch.float64)
    centre = torch.log(torch.tensor(2.0, dtype=torch.float64))
    misfit = (exact * reading - exact * flux * torch.exp(-log)) / std
    density = torch.exp(-((log - centre) ** 2 + misfit**2) / 2)
    density /= density.sum()
    mean = float((density * log).sum())
    spread = float((density * (log - mean) ** 2).sum().sqrt())
    found = solve(problem, observation, ensemble=64)
    assert float((found.mean[LOG] - mean).abs().max()) < 0.15 * spread
    assert float((found.std[LOG] / spread - 1).abs().max()) < 0.15


@pytest.mark.parametrize("contrast", [1e2, 1e6])
def test_the_jacobian_is_the_derivative_at_any_contrast(contrast):
    problem = medium(1.0)
    _, observation = readings(problem, [0, HEAD, HEAD, HEAD, LOG], noise=0.1)
    white = WhitenedProblem(problem, observation)
    xi, direction = (white.white(1, seeded(s)) for s in (3, 4))
    field = problem.latent.square_root(white.tables(xi), GRID)
    xi = xi * float(torch.log(torch.tensor(contrast)) / (field.max() - field.min()))
    step = 1e-5
    ahead, behind = white.values(xi + step * direction), white.values(xi - step * direction)
    product = white.jacobian(xi) @ direction.flatten()
    torch.testing.assert_close(product, (ahead - behind)[0] / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_search_converges_in_media_of_high_contrast(noise):
    problem = medium(2.0)
    truth, observation = readings(problem, [0] * 4 + [HEAD] * 20, noise)
    found = solve(problem, observation, ensemble=8)
    assert float(truth[0].max() / truth[0].min()) > 300
    assert found.record["converged"] == 1 and found.record["final_gradient"] < 1e-3
    assert found.record["members_left_out"] == 0
    assert found.record["reduced_chi_squared"] < 2
    if not noise:
        misfit = (observation(found.samples) - observation.values)[:, observation.channel == HEAD]
        assert float(misfit.abs().max()) < 1e-3


def test_members_meet_their_own_readings():
    """With the mode's Jacobian alone they do not."""
    problem = medium(2.0)
    _, observation = readings(problem, [HEAD] * 20, noise=0.02)
    search = ModeSearch(WhitenedProblem(problem, observation), 10, 3, 0.1, False)
    mode = search(1e-13)
    ensemble = draw_around_mode(search, mode, 16, seeded(), False)
    assert ensemble.states.shape == (16, 3, 16, 16) and ensemble.left_out == 0
    misfit = (observation(ensemble.states) - observation.values) / observation.noise_std
    # Each is that of the noise, and of the member's own draw of it
    assert float(misfit.square().mean(dim=1).max()) < 6


def test_a_users_map_is_served_as_the_ready_made_one():
    """An exponential that the solver is not given as one."""
    usual = medium(1.5)
    own = Problem(ACROSS, Transformed(GaussianField(0.0, 1.5, 0.3), lambda g: 2 * g.exp()), GRID)
    _, observation = readings(usual, [HEAD] * 12, noise=0.05)
    expected, found = (solve(p, observation) for p in (usual, own))
    torch.testing.assert_close(found.mean, expected.mean)
    torch.testing.assert_close(found.std, expected.std)


def test_truths_fall_within_the_stated_intervals():
    problem, inside, count = medium(1.5), [], 6
    for i in range(count):
        truth, observation = readings(problem, [HEAD] * 15 + [LOG] * 3, noise=0.03, seed=10 + i)
        found = solve(problem, observation, ensemble=16)
        free = found.std[1:] > 1e-9 * found.std[1:].amax(dim=(1, 2), keepdim=True)
        within = ((found.mean - truth).abs() <= 1.645 * found.std)[1:]
        inside.append(
            torch.stack([w[f].double().mean() for w, f in zip(within, free, strict=True)])
        )
    covered = torch.stack(inside).mean(dim=0)
    assert bool((covered > 0.8).all()) and bool((covered < 0.98).all()), covered


def test_the_logarithm_is_a_field_of_the_result_where_the_prior_states_it():
    table = {"field": ["pressure"], "x": [0.4], "y": [0.5], "value": [0.6], "noise_std": [0.1]}
    settings = {"grid": 16, "n_samples": 2, "solver": GaussNewton(ensemble=4)}
    result = reconstruct(table, ACROSS, prior=LogNormal(2.0, 1.0, 0.3), **settings)
    assert bool((result.permeability_mean > np.exp(result.log_permeability_mean)).all())
    twice = [dataclasses.replace(ACROSS, outputs=()), Darcy()]
    both = reconstruct(
        {**table, "experiment": ["1"]}, twice, prior=LogNormal(2.0, 1.0, 0.3), **settings
    )
    assert "log_permeability_mean" in both
    assert "log_permeability_mean" not in reconstruct(table, "darcy", grid=16, n_samples=2)


@pytest.mark.parametrize("std", [0.3, 2.0, 3.5])
def test_moments_of_an_exponential_are_those_of_the_log_normal_distribution(std):
    std = torch.tensor([[std]], dtype=torch.float64)
    mean, spread = moments_through(torch.exp, torch.ones_like(std), std**2)
    expected = (1 + std**2 / 2).exp()
    torch.testing.assert_close(mean[0], expected)
    torch.testing.assert_close(spread[0], expected * torch.expm1(std**2).sqrt())


def test_media_are_compared_with_chains():
    task = MediumTask(1.0, grid=12, sensors=14)
    truth, observation = task.instance(0)
    assert observation.channel.tolist() == [0] * 2 + [1] * 12
    assert torch.equal(truth, task.instance(0)[0]) and not torch.equal(truth, task.instance(1)[0])
    assert (observation.noise_std > 0).all()
    record = compare(task, 0, chains=4, steps=80)
    assert record["field"] == "log_conductivity"
    assert record["variant"] == "log-normal, standard deviation 1"
    assert 0 < record["spread_solver"] < 200
    with pytest.raises(InputError, match="the seed of a task must be from 0"):
        MediumTask(1.0, seed=-1)
