"""Readings that share a bias: the posterior is that of the closed form, and no bias is taken into
the fields."""

import dataclasses

import pytest
import torch
from helpers import (
    brief_searches,
    gaussian_prior,
    normal,
    observe,
    quick_prior,
    quick_solver,
    seeded,
)

from pdeinv import Ensemble, InputError, Problem, layouts
from pdeinv.coefficients import SpectralField
from pdeinv.datasets import Darcy, Poisson
from pdeinv.solvers import DDIS, SOLVERS, LevelSet, OptimalInterpolation
from pdeinv.solvers.diffusion.conditioning import Dense, Linearised
from pdeinv.solvers.diffusion.mode_draws import GaussianPart, ModeDraws
from pdeinv.solvers.diffusion.noise_levels import PRIOR_LEVEL
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.supported_readings import BIASES
from pdeinv.solvers.whitening import Whitening

N, M = 16, 24
SUPPORTING = [name for name, kind in SOLVERS.items() if BIASES in kind.takes]
JUDGED = [name for name in SUPPORTING if SOLVERS[name].misfit != "none" and name != "level-set"]


def instance(pde, seed, channels=(1,), noise=0.02, bias=0.5):
    """Return a truth, readings with noise alone, and the same readings off by two biases, each that
    of a third of them; in standard deviations of the field."""
    points = torch.as_tensor(layouts.random(M, 100 + seed))
    channel = torch.tensor(channels).repeat(M // len(channels))
    truth, observation = observe(pde, pde.grid(N), points, channel, noise=noise, seed=seed)
    std = truth[0].flatten(1).std(dim=1)[channel]
    of = torch.arange(M) // 2 % 3
    each = torch.stack([(channel == 1) & (of == k) for k in range(2)], dim=1)
    common = bias * std[:, None] * each
    off = observation.values + common @ torch.tensor([1.0, -1.5], dtype=torch.float64)
    return truth[0], observation, dataclasses.replace(observation, values=off, common=common)


def without(observation):
    return dataclasses.replace(observation, common=None)


# The closed form


def test_the_best_linear_estimate_is_that_of_the_whole_noise():
    pde = Poisson()
    _, _, o = instance(pde, 0, channels=(0, 1))
    states = Problem(pde).sample(60, o.grid, seeded(5))
    solver = OptimalInterpolation(members=60, copies=1)
    found = solver(pde, Ensemble(states), o, n_samples=4000, generator=seeded())
    mean, anomalies = states.mean(dim=0), (states - states.mean(dim=0)).flatten(1)
    covariance = anomalies.T @ anomalies / 59
    rows = o.adjoint(torch.eye(M, dtype=torch.float64)).flatten(1)
    gram = rows @ covariance @ rows.T
    nugget = found.record["nugget"] * 59 / 60 * gram.diagonal()
    whole = gram + o.noise_covariance() + torch.diag(nugget)
    gain = covariance @ rows.T @ torch.linalg.inv(whole)
    residual = (o.values - o(mean[None]))[0]
    expected = mean.flatten() + gain @ residual
    assert float((found.mean.flatten() - expected).norm() / expected.norm()) < 1e-6
    chi2 = float(residual @ torch.linalg.solve(whole, residual)) / M
    assert found.record["reduced_chi_squared"] == pytest.approx(chi2, rel=1e-6)
    # Members are updated with draws of the same noise
    drawn = o(found.samples - found.mean).var(dim=0)
    left = torch.eye(M, dtype=torch.float64) - rows @ gain
    analysed = left @ gram @ left.T + rows @ gain @ o.noise_covariance() @ gain.T @ rows.T
    assert float((drawn / drawn.sum() - analysed.diagonal() / analysed.trace()).abs().max()) < 0.02


def dense_mean(pde, o):
    """The exact posterior mean of a linear problem with the biases in R."""
    problem = Problem(pde)
    latent = problem.latent
    tables = torch.eye(latent.size, dtype=torch.float64).reshape(-1, *latent.shape)
    states = (problem.state(tables, o.grid) - problem.state(latent.origin(), o.grid)).flatten(1)
    rows = o.adjoint(torch.eye(len(o), dtype=torch.float64)).flatten(1)
    read = states @ rows.T
    whole = read.T @ read + o.noise_covariance()
    return (states.T @ read @ torch.linalg.solve(whole, o.values)).reshape(2, N, N)


@dataclasses.dataclass(frozen=True)
class Few(Poisson):
    @property
    def default_prior(self):
        return SpectralField(modes=8)


def test_a_large_ensemble_approaches_the_closed_form():
    pde = Few()
    _, _, o = instance(pde, 1)
    exact = dense_mean(pde, o)
    solver = OptimalInterpolation(members=2000)
    found, ignoring = (solver(pde, None, x, generator=seeded()).mean for x in (o, without(o)))
    near, far = (float((x - exact)[1].norm() / exact[1].norm()) for x in (found, ignoring))
    assert near < 0.05 < 0.3 < far


def test_the_search_of_the_moment_solver_finds_the_state_of_its_linearisation():
    pde = Poisson()
    _, _, o = instance(pde, 0)
    prior = gaussian_prior(pde, N, channels=1)
    forward, mean = ForwardMap(pde, o), prior.mean(o.grid)
    root = prior.covariance_root(o.grid)
    part = GaussianPart(forward, root, mean, PRIOR_LEVEL)
    found = part.coefficient(ModeDraws(part).mode.xi)
    linearised = Linearised(root, o, Dense(root, o, forward.jacobian(mean)))
    expected, *_ = linearised.mode(mean, PRIOR_LEVEL, forward)
    assert float((found - expected).norm() / expected.norm()) < 1e-3


@pytest.mark.parametrize("k", [0, 1, 3])
def test_whitened_residuals_have_the_metric_of_the_noise(k):
    std, common = 0.1 + normal(7, seed=1).abs(), 3 * normal(7, k, seed=2)
    white, r, w = Whitening(std, common), normal(4, 7, seed=3), normal(4, 7, seed=4)
    R = torch.diag(std**2) + common @ common.T
    distance = (r * torch.linalg.solve(R, r.T).T).sum(dim=1)
    torch.testing.assert_close(white(r).square().sum(dim=1), distance)
    torch.testing.assert_close((white(r) * w).sum(dim=1), (r * white.adjoint(w)).sum(dim=1))
    if not k:
        assert torch.equal(white(r), r / std)


# Every solver that supports biases


def errors(name, observations):
    """Errors of the solution, summed over paired instances, and the mean reduced chi-squared: with
    noise alone, with the biases ignored, and with them modelled."""
    solver, pde = quick_solver(name), Darcy() if name == "level-set" else Poisson()
    prior = quick_prior(name, pde, N)
    found = torch.zeros(2, 3, dtype=torch.float64)
    for seed in range(observations):
        truth, clean, off = instance(pde, seed)
        for i, o in enumerate((clean, without(off), off)):
            posterior = solver(pde, prior, o, n_samples=4, generator=seeded(seed))
            error = (posterior.mean[1] - truth[1]).norm() / truth[1].norm()
            chi2 = float(posterior.record["reduced_chi_squared"])
            found[:, i] += torch.tensor([float(error), chi2]) / observations
    return found


@pytest.mark.parametrize("name", SUPPORTING)
def test_a_bias_is_not_taken_into_the_fields(name):
    instances = 1 if name == "daps" else 2  # it takes longest
    with brief_searches():
        (clean, ignored, modelled), (usual, large, fitted) = errors(name, instances)
    assert modelled < 0.85 * ignored and modelled < 1.5 * clean
    assert fitted < 0.4 * large and fitted < 2 * usual + 1
    if name in JUDGED:
        assert 0.5 < fitted < 1.6


# The few members of the smoother become others where there are more unknowns
@pytest.mark.parametrize("name", [name for name in SUPPORTING if name != "ensemble-smoother"])
def test_a_bias_without_a_spread_is_none(name):
    solver, pde = quick_solver(name), Darcy() if name == "level-set" else Poisson()
    _, o, _ = instance(pde, 0)
    tiny = 1e-9 * o.noise_std[:, None] * torch.eye(2, dtype=torch.float64)[torch.arange(M) % 2]
    with brief_searches():
        plain, found = (
            solver(pde, quick_prior(name, pde, N), x, n_samples=4, generator=seeded()).mean
            for x in (o, dataclasses.replace(o, common=tiny))
        )
    scale = plain.flatten(1).norm(dim=1)
    assert float(((found - plain).flatten(1).norm(dim=1) / scale).max()) < 0.02


# What is refused


def test_a_bias_of_readings_of_two_values_is_refused_by_the_level_set():
    _, o, _ = instance(Darcy(), 0, channels=(0, 1))
    shared = dataclasses.replace(o, common=(o.channel == 0).double()[:, None])
    words = "readings of the permeability must not share a bias .* got 12 of 12; .* optimal-inter"
    with pytest.raises(InputError, match=words):
        LevelSet(draws=16)(Darcy(), None, shared, generator=seeded())


def test_the_published_samplers_refuse_biases():
    _, _, o = instance(Poisson(), 0)
    with pytest.raises(InputError, match=r"preset of ddis must .*'published'.*; ch"):
        DDIS(preset="published")(Poisson(), None, o, generator=seeded())
