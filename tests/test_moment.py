"""The moment solver: exact for Gaussians, near the limit for the PDEs' own priors."""

from dataclasses import replace

import pytest
import torch
from helpers import gaussian_prior, observe, seeded, tuning_task

from pdeinv import Channels, InputError, Problem, layouts
from pdeinv.datasets import Darcy, Helmholtz, pde_by_name
from pdeinv.metrics import error_rate
from pdeinv.solvers import GaussianSolver, GaussNewton, LevelSet, Moment, OptimalInterpolation
from pdeinv.solvers.linear_algebra import count_informative, nugget_variance

N = 16


def fitted(name="helmholtz", channels=1):
    return gaussian_prior(name, N, 1000, channels=channels)


# A Gaussian prior: the posterior is known


@pytest.mark.parametrize(("noise", "bias"), [(0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0)])
def test_on_a_gaussian_prior_mean_and_covariance_are_those_of_the_posterior(noise, bias):
    prior, draws = fitted(channels=2), 2000
    _, o = tuning_task("helmholtz", "both", grid=N, sensors=6, noise=noise).instance(0)
    if bias:  # one for the readings of each field
        each = torch.stack([o.channel == 0, o.channel == 1], dim=1).double()
        o = replace(o, common=bias * each * (o.values[:, None] * each).std(dim=0))
    found = Moment(steps=15, batch=draws)(
        Helmholtz(), prior, o, n_samples=draws, generator=seeded()
    )
    m = len(o)
    eye = torch.eye(2 * N * N, dtype=torch.float64).reshape(-1, 2, N, N)
    covariance = prior.covariance(eye).flatten(1)
    h = o.adjoint(torch.eye(m, dtype=torch.float64)).flatten(1)
    gram = h @ covariance @ h.T
    told, judged = (
        count_informative(gram.diagonal(), o),
        o.noise_covariance() + torch.diag(nugget_variance(gram.diagonal(), o, 1e-6)),
    )
    judged = judged + gram
    nugget = torch.diag(nugget_variance(gram.diagonal(), o, 1e-10))
    gram = gram + o.noise_covariance() + nugget
    posterior = covariance - covariance @ h.T @ torch.linalg.solve(gram, h @ covariance)
    centre = prior.mean(o.grid)
    residual = (o.values - o(centre))[0]
    mean = centre.flatten() + covariance @ h.T @ torch.linalg.solve(gram, residual)
    chi2 = float(residual @ torch.linalg.solve(judged, residual)) / told
    assert found.record["reduced_chi_squared"] == pytest.approx(chi2, rel=1e-4)
    std = posterior.diagonal().clamp(min=1e-30).sqrt()
    # Neither read exactly nor held at the boundary
    moving = std > 1e-3 * covariance.diagonal().clamp(min=1e-20).sqrt()
    samples = found.samples.flatten(1)
    # Antithetic pairs: no sampling error in the mean, which is exact as far as the denoiser and S
    # are of one Gaussian.
    assert float(((found.mean.flatten() - mean) / std)[moving].abs().max()) < 0.05
    ratio = samples.var(dim=0)[moving] / std[moving] ** 2
    assert float((ratio - 1).abs().max()) < 5 * (2 / (draws / 2)) ** 0.5
    standard = (samples - samples.mean(dim=0))[:, moving] / std[moving]
    expected = posterior[moving][:, moving] / (std[moving][:, None] * std[moving])
    off = standard.T @ standard / draws - expected
    assert float(off.square().mean().sqrt()) < 1.5 * (2 / draws) ** 0.5


@pytest.mark.parametrize("kind", ["forward", "inverse", "both"])
@pytest.mark.parametrize("channels", [1, 2])
def test_its_mean_is_the_exact_one_of_a_linear_pde(kind, channels):
    prior, ours, best = fitted(channels=channels), 0.0, 0.0
    for i in range(4):
        task = tuning_task("helmholtz", kind, grid=N, sensors=25, seed=1)
        truth, o = task.instance(i)
        found = Moment(steps=4)(Helmholtz(), prior, o, n_samples=4, generator=seeded(i))
        exact = GaussianSolver()(Helmholtz(), None, o, n_samples=1, generator=seeded())
        for c in task.scored:
            ours += float((found.mean[c] - truth[c]).norm() / truth[c].norm())
            best += float((exact.mean[c] - truth[c]).norm() / truth[c].norm())
    assert ours < 1.1 * best


def test_samples_2i_and_2i_plus_1_are_antithetic_in_every_batch():
    _, o = tuning_task("helmholtz", "inverse", grid=N, sensors=25).instance(0)
    solver = Moment(steps=4, batch=4)
    found = solver(Helmholtz(), fitted(), o, n_samples=17, generator=seeded())
    assert found.pairs and len(found.samples) == 17
    middles = (found.samples[0:16:2] + found.samples[1:16:2]) / 2
    scale = 1e-6 * found.samples.abs().amax(dim=(0, 2, 3))[:, None, None]
    assert bool(((middles - middles[0]).abs() < scale).all())
    with pytest.raises(InputError, match="batch of moment must be an even integer, got 5"):
        Moment(batch=5)


def test_noisy_readings_count_by_their_noise():
    _, o = tuning_task("helmholtz", "inverse", grid=N, sensors=25, noise=0.1).instance(0)
    exact = GaussianSolver()(Helmholtz(), None, o, n_samples=1, generator=seeded())
    found = Moment(steps=4)(Helmholtz(), fitted(), o, n_samples=8, generator=seeded())
    assert float((found.mean[0] - exact.mean[0]).norm() / exact.mean[0].norm()) < 0.1
    assert float((o.values - o(found.mean[None])[0]).abs().mean()) > 0.3 * float(
        o.noise_std.mean()
    )  # not followed blindly


# Nonlinear PDEs


def test_navier_stokes_is_as_good_as_gauss_newton():
    pde, prior, ours, theirs = pde_by_name("navier-stokes"), fitted("navier-stokes"), 0.0, 0.0
    for i in range(3):
        truth, o = tuning_task("navier-stokes", "inverse", grid=N, sensors=40).instance(i)
        found = Moment(steps=4)(pde, prior, o, n_samples=16, generator=seeded(i))
        reference = GaussNewton()(pde, None, o, n_samples=16, generator=seeded(i))
        ours += float((found.mean[0] - truth[0]).norm() / truth[0].norm())
        theirs += float((reference.mean[0] - truth[0]).norm() / truth[0].norm())
        assert float((o.values - o(found.samples)).abs().max() / o.values.std()) < 0.02
    assert ours < 1.15 * theirs


def test_darcy_is_better_than_the_best_linear_estimate():
    pde, ours, linear = Darcy(), 0.0, 0.0
    for i in range(2):
        truth, o = tuning_task("darcy", "inverse", grid=N, sensors=50).instance(i)
        found = Moment()(pde, fitted("darcy"), o, n_samples=8, generator=seeded(i))
        reference = OptimalInterpolation(members=300)(pde, None, o, generator=seeded(i))
        ours += float(error_rate(found.mean[None, :1], truth[None, :1], 7.5).mean())
        linear += float(error_rate(reference.mean[None, :1], truth[None, :1], 7.5).mean())
        assert set(found.samples[:, 0].unique().tolist()) == {3.0, 12.0}
        assert torch.allclose(found.probability, (found.mean[0] - 3) / 9)
        assert found.record["reduced_chi_squared"] < 2
    assert ours < linear


def test_darcys_solution_from_a_permeability_that_is_read_is_near_that_of_the_level_set():
    pde, ours, theirs = Darcy(), 0.0, 0.0
    for i in range(4):
        truth, o = tuning_task("darcy", "forward", grid=N, sensors=50).instance(i)
        found = Moment(steps=6)(pde, fitted("darcy"), o, n_samples=16, generator=seeded(i))
        reference = LevelSet(draws=64)(pde, None, o, n_samples=16, generator=seeded(i))
        ours += float((found.mean[1] - truth[1]).norm() / truth[1].norm())
        theirs += float((reference.mean[1] - truth[1]).norm() / truth[1].norm())
        assert set(found.samples[:, 0].unique().tolist()) == {3.0, 12.0}
        assert float((o(found.samples) == o.values).double().mean()) > 0.95
    assert ours < 1.3 * theirs


def test_a_thorough_anneal_meets_the_readings_with_two_values():
    _, o = tuning_task("darcy", "inverse", grid=N, sensors=30).instance(1)
    found = Moment(thorough=True)(Darcy(), fitted("darcy"), o, n_samples=4, generator=seeded(1))
    assert found.record["reduced_chi_squared"] < 2 and found.samples[:, 0].unique().numel() == 2


# The misfit


@pytest.mark.parametrize("kind", ["forward", "inverse"])
@pytest.mark.parametrize("name", ["helmholtz", "navier-stokes"])
def test_its_reduced_chi_squared_is_that_of_the_solvers_that_know_the_prior(name, kind):
    pde, prior, exact = pde_by_name(name), fitted(name), GaussNewton()
    for i in range(2):
        _, o = tuning_task(name, kind, grid=N, sensors=30, noise=0.05).instance(i)
        ours, theirs = (
            s(pde, p, o, n_samples=2, generator=seeded()).record["reduced_chi_squared"]
            for s, p in ((Moment(steps=2), prior), (exact, None))
        )
        assert ours == pytest.approx(theirs, rel=0.1)


def test_a_medium_of_two_values_that_is_no_threshold_is_denoised():
    problem = Problem(Darcy(), Channels())
    grid = problem.physics.grid(16)
    _, observation = observe(problem, grid, layouts.random(10, 1), 1, noise=0.1)
    solver = Moment(steps=6)
    found = solver(problem.physics, problem.prior, observation, n_samples=2, generator=seeded())
    assert found.record["network_evaluations"] == 6
    assert found.record["prior"] == "the shipped channels-coefficient"
    assert found.samples.shape == (2, 2, 16, 16) and found.probability.shape == (16, 16)
    # Its threshold would be another medium
    grouped = Moment(group_average=True)
    grouped.check(problem.physics, problem.prior)
    with pytest.raises(InputError, match="does not evaluate the denoiser for a two-valued"):
        grouped.check(Darcy(), Darcy().default_prior)
