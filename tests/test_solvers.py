"""Each solver against closed forms that are computed another way: dense matrices, scikit-learn,
repeated experiments."""

import dataclasses

import numpy as np
import pytest
import torch
from helpers import observe, seeded, tuning_task
from scipy.stats import chi2, norm

from pdeinv import Ensemble, InputError, Observation
from pdeinv.datasets import Darcy, Helmholtz, Poisson, Problem, pde_by_name
from pdeinv.errors import NumericalError
from pdeinv.metrics import relative_l2
from pdeinv.priors import load
from pdeinv.solvers import GaussianSolver, Kriging, OptimalInterpolation
from pdeinv.solvers.linear_algebra import cholesky_with_nugget

LINEAR = [Problem.named("poisson", modes=8), Problem.named("helmholtz", k=2.0, modes=8)]


def scattered(problem, n, m, noise=0.0, channels=(0, 1)):
    """Return a truth and m random off-grid readings over the channels."""
    generator = seeded(1)
    points = torch.rand(m, 2, dtype=torch.float64, generator=generator)
    channel = torch.tensor(channels)[torch.randint(len(channels), (m,), generator=generator)]
    return observe(problem, problem.physics.grid(n), points, channel, noise=noise)


def dense_posterior(problem, observation):
    """Mean and covariance of the flattened state from explicit matrices: one column of T for each
    Karhunen–Loève mode."""
    latent = problem.latent
    modes = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    a = problem.coefficient(latent.square_root(modes, observation.grid))
    T = torch.cat([a, problem.physics.solve(a)], dim=1).flatten(1).T.numpy()
    H = observation.adjoint(torch.eye(len(observation), dtype=torch.float64)).flatten(1).numpy()
    A = H @ T
    R = np.diag(observation.noise_std.numpy() ** 2)
    gain = T @ A.T @ np.linalg.inv(A @ A.T + R)
    return gain @ observation.values.numpy(), T @ T.T - gain @ A @ T.T


@pytest.mark.parametrize("problem", LINEAR, ids=lambda p: p.physics.name)
@pytest.mark.parametrize("channels", [(0,), (1,), (0, 1)], ids=["forward", "inverse", "both"])
def test_gaussian_posterior_is_the_dense_one(problem, channels):
    _, observation = scattered(problem, 11, 12, noise=0.05, channels=channels)
    posterior = GaussianSolver()(
        problem.physics, problem.prior, observation, n_samples=4000, generator=seeded(1)
    )
    mean, covariance = dense_posterior(problem, observation)
    std = np.sqrt(np.diag(covariance).clip(0))
    assert np.allclose(posterior.mean.flatten(), mean, atol=1e-8 * np.abs(mean).max())
    assert np.allclose(posterior.std.flatten(), std, atol=1e-6 * std.max())
    # The samples' own mean and covariance, to Monte-Carlo error, node by node and pair by pair.
    draws = posterior.samples.flatten(1).numpy()
    free = std > 1e-6 * np.repeat([std[:121].max(), std[121:].max()], 121)
    z = (draws.mean(0) - mean)[free] / (std[free] / len(draws) ** 0.5)
    assert np.abs(z).max() < 5
    correlation = covariance[np.ix_(free, free)] / np.outer(std[free], std[free])
    empirical = np.cov(draws[:, free].T) / np.outer(std[free], std[free])
    assert np.abs(empirical - correlation).max() < 6 * (2 / len(draws)) ** 0.5


def test_gaussian_posterior_honours_exact_readings_however_they_are_placed():
    pde = Poisson()
    truth, observation = scattered(Problem(pde), 24, 40, channels=(0, 1))
    # Once more the same sensors, a hair away from them, and some on the boundary where u is held to
    # 0.
    points = torch.cat(
        [
            observation.points,
            observation.points + 1e-7 * (0.5 - observation.points),
            observation.points[:3],
        ]
    )
    points[-3:, 0] = 0.0
    channel = torch.cat([observation.channel, observation.channel, torch.tensor([1, 1, 1])])
    zeros = torch.zeros(len(points), dtype=torch.float64)
    crowd = Observation(observation.grid, points, channel, zeros, zeros)
    crowd = dataclasses.replace(crowd, values=crowd(truth)[0])
    posterior = GaussianSolver()(pde, None, crowd, generator=seeded())
    misfit = crowd(torch.cat([posterior.mean[None], posterior.samples])) - crowd.values
    scale = truth[0].flatten(1).std(dim=1)[channel]
    assert float((misfit.abs() / scale).max()) < 1e-4
    assert posterior.record["reduced_chi_squared"] < 2


def test_gaussian_intervals_cover_and_the_misfit_is_chi_squared():
    instances, m = 24, 30
    inside, halved, misfits = [], [], []
    for i in range(instances):
        truth, observation = tuning_task(
            "poisson", "inverse", grid=24, sensors=m, noise=0.02, seed=3
        ).instance(i)
        posterior = GaussianSolver()(Poisson(), None, observation, n_samples=1, generator=seeded())
        for shares, std in ((inside, posterior.std), (halved, posterior.std / 2)):
            inner = (posterior.mean - truth).abs()[0] <= norm.ppf(0.95) * std[0]
            shares.append(float(inner.double().mean()))
        misfits.append(posterior.record["reduced_chi_squared"] * m)
    # An interval half as wide is seen to be too narrow
    assert 0.85 < np.mean(inside) < 0.95 and np.mean(halved) < 0.7
    low, high = chi2.ppf([1e-4, 1 - 1e-4], instances * m)
    assert low < sum(misfits) < high


def test_gaussian_refuses_what_it_cannot_do():
    pde = Darcy()
    _, observation = scattered(Problem(pde), 16, 4)
    with pytest.raises(
        InputError,
        match=r"not made for darcy with the two-phase prior: it needs a PDE that is linear.*; "
        r"choose the solver 'auto'",
    ):
        GaussianSolver()(pde, None, observation)
    linear = Poisson()
    _, observation = scattered(Problem(linear), 16, 4)
    with pytest.raises(InputError, match=r"needs a prior of pdeinv.coefficients, got Ensemble"):
        GaussianSolver()(linear, Ensemble(torch.randn(2, 2, 16, 16)), observation)


@pytest.mark.parametrize("kind", ["forward", "inverse"])
def test_optimal_interpolation_approaches_the_exact_posterior_of_a_linear_pde(kind):
    pde = Poisson()
    task = tuning_task("poisson", kind, grid=20, sensors=25, seed=1)
    ensemble = Ensemble(Problem(pde).sample(1500, pde.grid(20), seeded(9)))
    errors = {"oi": [], "exact": []}
    for i in range(6):
        truth, observation = task.instance(i)
        oi = OptimalInterpolation(members=1500)(pde, ensemble, observation, generator=seeded())
        exact = GaussianSolver()(pde, None, observation, generator=seeded())
        channel = task.scored[0]
        for name, posterior in (("oi", oi), ("exact", exact)):
            errors[name].append(float(relative_l2(posterior.mean[None], truth[None])[0, channel]))
        # Where something is left to be known, both spreads agree, and the samples have the spread
        # that is reported.
        left = exact.std[channel] > 0.2 * exact.std[channel].max()
        assert abs(float((oi.std[channel][left] / exact.std[channel][left]).mean()) - 1) < 0.15
        spread = oi.samples[:, channel].std(dim=0)[left].mean() / oi.std[channel][left].mean()
        assert 0.7 < float(spread) < 1.3
    assert np.mean(errors["oi"]) < 1.1 * np.mean(errors["exact"])


def test_optimal_interpolation_gains_from_symmetric_copies():
    pde = Poisson()
    task = tuning_task("poisson", "forward", grid=16, sensors=30, seed=2)
    states = Problem(pde).sample(64, pde.grid(16), seeded(9))
    ensemble, unknown = Ensemble(states, pde.default_prior), Ensemble(states)
    errors = {1: 0.0, 8: 0.0}
    for i in range(8):
        truth, observation = task.instance(i)
        for copies in errors:
            posterior = OptimalInterpolation(members=64, copies=copies)(
                pde, ensemble, observation, generator=seeded()
            )
            errors[copies] += float(relative_l2(posterior.mean[None], truth[None])[0, 1])
    assert errors[8] < 0.9 * errors[1]
    # Examples of an unknown distribution may lack the symmetries of the PDE
    alone, copied = (
        OptimalInterpolation(members=64, copies=copies)(
            pde, unknown, observation, generator=seeded()
        )
        for copies in (1, 8)
    )
    assert torch.equal(alone.mean, copied.mean)


def test_optimal_interpolation_keeps_a_permeability_within_its_bounds():
    pde = Darcy()
    truth, observation = tuning_task("darcy", "inverse", grid=16, sensors=40).instance(0)
    posterior = OptimalInterpolation(members=64)(pde, None, observation, generator=seeded())
    states, (low, high) = torch.cat([posterior.mean[None], posterior.samples]), (3.0, 12.0)
    assert float(states[:, 0].min()) >= low and float(states[:, 0].max()) <= high
    assert float(relative_l2(posterior.mean[None], truth[None])[0, 0]) < 0.5


@pytest.mark.parametrize("name", ["poisson", "navier-stokes"])
def test_kriging_interpolates_and_its_samples_scatter_as_stated(name):
    task = tuning_task(name, "both", grid=16, sensors=60)
    truth, observation = task.instance(1)
    posterior = Kriging()(task.physics, None, observation, n_samples=400, generator=seeded())
    scale = truth.flatten(1).std(dim=1)[observation.channel]
    for state in (posterior.mean, posterior.samples[0]):
        assert (
            float(((observation(state[None])[0] - observation.values).abs() / scale).max()) < 1e-2
        )
    for channel in (0, 1):
        left = posterior.std[channel] > 0.3 * posterior.std[channel].max()
        ratio = posterior.samples[:, channel].std(dim=0)[left] / posterior.std[channel][left]
        assert 0.9 < float(ratio.mean()) < 1.1
        assert float(relative_l2(posterior.mean[None], truth[None])[0, channel]) < 0.5


def test_kriging_distance_wraps_around_on_the_torus():
    task = tuning_task("navier-stokes", "both", grid=16, sensors=40)
    _, observation = task.instance(0)
    moved = Observation(
        observation.grid,
        (observation.points + torch.tensor([0.25, 0.5])) % 1.0,
        observation.channel,
        observation.values,
        observation.noise_std,
    )
    solve = Kriging(smoothness=1.5)
    here, there = (
        solve(task.physics, None, o, n_samples=1, generator=seeded()) for o in (observation, moved)
    )
    assert torch.allclose(
        here.mean.roll((8, 4), dims=(-2, -1)), there.mean, atol=1e-6 * float(here.mean.abs().max())
    )


def test_kriging_solves_the_pde_where_only_the_coefficient_was_seen():
    task = tuning_task("darcy", "forward", grid=16, sensors=60)
    truth, observation = task.instance(0)
    posterior = Kriging()(task.physics, None, observation, generator=seeded())
    permeability = posterior.mean[None, :1].clamp(*task.problem.prior.bounds)
    assert torch.allclose(task.physics.solve(permeability)[0, 0], posterior.mean[1])
    assert float(relative_l2(posterior.mean[None], truth[None])[0, 1]) < 0.3


def test_an_ensemble_member_is_drawn_once():
    ensemble = Ensemble(torch.arange(10.0)[:, None, None, None].expand(10, 2, 8, 8))
    drawn = ensemble.sample(6, Poisson().grid(8), seeded())[:, 0, 0, 0]
    assert len(set(drawn.tolist())) == 6
    assert len(ensemble.sample(99, Poisson().grid(8))) == 10
    with pytest.raises(InputError, match="reconstruct with grid=8"):
        ensemble.sample(2, Poisson().grid(16))


def test_the_nugget_grows_until_the_factorisation_stands():
    gram = torch.ones(5, 5, dtype=torch.float64) - 1e-9 * torch.eye(5, dtype=torch.float64)
    lower = cholesky_with_nugget(gram, torch.full((5,), 1e-12, dtype=torch.float64))
    assert torch.allclose(lower @ lower.T, gram, atol=1e-6)
    with pytest.raises(
        NumericalError, match=r"must be positive semi-definite.*check the covariance"
    ):
        cholesky_with_nugget(-gram, torch.full((5,), 1e-20, dtype=torch.float64))


def test_a_single_copy_is_the_members_as_they_are():
    """Flows about one flow: a translated one would be another prior."""
    pde = pde_by_name("navier-stokes", time=0.1)
    _, observation = tuning_task("navier-stokes", "both", grid=16, sensors=8).instance(0)
    base, other = (Problem(pde).sample(k, pde.grid(16), seeded(k)) for k in (1, 40))
    scattered = Ensemble(base + 0.05 * other)
    found = [
        OptimalInterpolation(members=40, copies=1)(
            pde, scattered, observation, generator=seeded(seed)
        ).mean
        for seed in (0, 1)
    ]
    assert torch.allclose(*found, rtol=1e-6, atol=1e-6 * float(base.std()))


def test_a_prior_of_another_pde_is_refused_by_the_linear_estimate_too():
    with pytest.raises(
        InputError,
        match="must be of source and wavefield for helmholtz, got one of source and",
    ):
        OptimalInterpolation().check(Helmholtz(), load("poisson"))
    with pytest.raises(
        InputError, match=r"trained for the wavefield of helmholtz .* with k = 1.0, not 2.0"
    ):
        OptimalInterpolation().check(Helmholtz(k=2.0), load("helmholtz"))
