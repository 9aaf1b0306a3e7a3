"""Biases that the readings of an instrument share: dense posteriors, and what each solver makes of
them."""

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from helpers import normal, rms, seeded
from known_posteriors import Gaussian, at_nodes, latent, prior_mean, response, rows_of

from pdeinv import GaussianField, InputError, LogNormal, Problem, reconstruct
from pdeinv.datasets import Darcy, Poisson
from pdeinv.plot import plot_reconstruction
from pdeinv.solvers import EnsembleSmoother, GaussianSolver, GaussNewton
from pdeinv.solvers.whitened_problem import WhitenedProblem

N = 12
LINEAR = Problem(Poisson(), GaussianField(mean=1.0, std=0.5, length=0.4))
FLOW = Problem(Darcy(), LogNormal(median=2.0, log_std=0.5, length=0.4))
NAMES = ("probe A", "probe B")


def biased(problem, m, *, bias=1.0, noise=0.05, seed=0, n=N):
    """Return a state, biases and readings at nodes of both fields: two thirds of the solution's are
    of one instrument, a third of the coefficient's of another; `bias` and `noise` are relative to
    the spread of a field."""
    pde, grid = problem.physics, problem.physics.grid(n)
    state = problem.sample(1, grid, seeded(seed))[0]
    channel = [0, 1] * (m // 2)
    o = at_nodes(pde, grid, channel, state, noise)
    scale = bias * o.noise_std / noise
    common = torch.zeros(m, 2, dtype=torch.float64)
    for j, mine in enumerate((slice(m // 2, m // 2 + m // 3), slice(m // 6))):
        common[mine, j] = scale[mine]
    b = normal(1, 2, seed=seed + 100)
    values = o.values + (b @ common.T)[0]
    o = dataclasses.replace(o, values=values, common=common, common_names=NAMES)
    return state, b[0], o


@cache
def known():
    """Return readings of a linear problem, and the posterior of its state and of the biases."""
    _, _, o = biased(LINEAR, 24)
    matrix, offset = response(LINEAR.physics, o.grid)
    mean = torch.full((o.grid.nodes,), prior_mean(LINEAR.prior), dtype=torch.float64)
    state = Gaussian(mean, latent(LINEAR.prior, o.grid).covariance).mapped(matrix, offset)
    k = len(state.mean)
    both = Gaussian(
        torch.cat([state.mean, torch.zeros(2, dtype=torch.float64)]),
        torch.block_diag(state.covariance, torch.eye(2, dtype=torch.float64)),
    )
    rows = torch.cat([rows_of(o), o.common], dim=1)
    found = both.given(rows, o.values, o.noise_std**2)
    deviation = found.covariance.diagonal().sqrt()
    bias = found.mean[k:] * o.common.amax(dim=0), deviation[k:] * o.common.amax(dim=0)
    return o, Gaussian(found.mean[:k], found.covariance[:k, :k]).moments(o.grid), bias


def solve(solver, problem, o, n_samples=8, seed=0):
    return solver(problem.physics, problem.prior, o, n_samples=n_samples, generator=seeded(seed))


def test_the_gaussian_solver_has_the_dense_posterior_of_fields_and_biases():
    o, exact, (bias, std) = known()
    found = solve(GaussianSolver(), LINEAR, o, 4000)
    scale = exact.std.amax(dim=(1, 2), keepdim=True)
    assert float(((found.mean - exact.mean) / scale).abs().max()) < 1e-8
    assert float(((found.std - exact.std) / scale).abs().max()) < 1e-6
    torch.testing.assert_close(found.parameters.mean, bias, rtol=1e-8, atol=0)
    torch.testing.assert_close(found.parameters.std, std, rtol=1e-8, atol=0)
    error = (found.parameters.samples.mean(dim=0) - bias) / std
    assert float(error.abs().max()) < 4 / 4000**0.5
    torch.testing.assert_close(found.parameters.samples.std(dim=0), std, rtol=0.05, atol=0)
    # A sample's own bias explains its readings, up to the noise
    left = o.values - o(found.samples) - found.parameters.samples @ (o.common / o.common.amax(0)).T
    assert rms(left / o.noise_std) == pytest.approx(1, rel=0.2)


def test_gauss_newton_has_it_too():
    o, exact, (bias, std) = known()
    found = solve(GaussNewton(ensemble=1000), LINEAR, o)
    scale = exact.std.amax(dim=(1, 2), keepdim=True)
    assert float(((found.mean - exact.mean) / scale).abs().max()) < 1e-4
    assert float(((found.std - exact.std) / scale)[0].abs().max()) < 1e-4
    torch.testing.assert_close(found.parameters.mean, bias, rtol=1e-4, atol=0)
    torch.testing.assert_close(found.parameters.std, std, rtol=1e-6, atol=0)
    theirs = solve(GaussianSolver(), LINEAR, o).record
    for name in ("reduced_chi_squared", "degrees_of_freedom"):
        assert found.record[name] == pytest.approx(theirs[name], rel=1e-5)


def test_the_ensemble_smoother_has_it_within_the_error_of_its_members():
    o, exact, (bias, std) = known()
    found = solve(EnsembleSmoother(members=400, rounds=3), LINEAR, o)
    free = exact.std > 0.05 * exact.std.amax(dim=(1, 2), keepdim=True)
    assert rms(((found.mean - exact.mean) / exact.std)[free]) < 0.2
    assert float((found.std / exact.std)[free].mean()) == pytest.approx(1, abs=0.06)
    assert float(((found.parameters.mean - bias) / std).abs().max()) < 0.3
    torch.testing.assert_close(found.parameters.std, std, rtol=0.1, atol=0)


@pytest.mark.parametrize("name", ["values", "noise_std", "common"])
def test_single_precision_is_as_good(name):
    o = known()[0]
    single = dataclasses.replace(o, **{name: getattr(o, name).float()})
    for solver in (GaussianSolver(), GaussNewton(ensemble=4), EnsembleSmoother(members=50)):
        found, theirs = (solve(solver, LINEAR, one) for one in (single, o))
        assert float((found.mean - theirs.mean).abs().max()) < 1e-4 * float(theirs.mean.abs().max())


SOLVERS = {
    "gaussian": (GaussianSolver(), LINEAR),
    "gauss-newton": (GaussNewton(ensemble=8), LINEAR),
    "ensemble-smoother": (EnsembleSmoother(members=100, rounds=3), LINEAR),
    "gauss-newton, flow": (GaussNewton(ensemble=4), FLOW),
    "ensemble-smoother, flow": (EnsembleSmoother(members=100, rounds=3), FLOW),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_stating_biases_lowers_the_error_and_the_misfit_is_that_of_the_model(name):
    solver, problem = SOLVERS[name]
    errors, chi2, z = [], [], []
    for seed in range(2 if problem is FLOW else 8):
        state, b, o = biased(problem, 24, seed=seed)
        found, blind = (
            solve(solver, problem, reading, seed=seed)
            for reading in (o, dataclasses.replace(o, common=None, common_names=()))
        )
        errors.append([rms((p.mean - state)[1]) for p in (found, blind)])
        chi2.append([p.record["reduced_chi_squared"] for p in (found, blind)])
        truth = b * o.common.amax(dim=0)
        z.append((found.parameters.mean - truth) / found.parameters.std)
    gain = torch.tensor(errors).log().diff(dim=1)  # of the field that all readings of one share
    assert float(gain.min()) > 0
    ours, theirs = torch.tensor(chi2).T
    assert 0.5 < float(ours.mean()) < 1.6 < float(theirs.mean())
    assert rms(torch.stack(z)) < 1.7


def test_a_bias_of_nothing_leaves_the_posterior_as_it_is():
    o, _, _ = known()
    plain = dataclasses.replace(o, common=None, common_names=())
    none = dataclasses.replace(o, common=torch.zeros_like(o.common))
    for solver in (GaussianSolver(), GaussNewton(ensemble=8)):
        one, other = solve(solver, LINEAR, plain), solve(solver, LINEAR, none)
        torch.testing.assert_close(one.mean, other.mean, rtol=0, atol=1e-5 * float(one.mean.std()))
        assert bool((other.parameters.mean == 0).all() and (other.parameters.std == 0).all())


def test_readings_with_one_large_bias_have_the_posterior_of_their_differences():
    _, _, o = biased(LINEAR, 12, noise=0.05)
    o = o.subset(o.channel == 1)
    large = torch.full((len(o), 1), 1e2, dtype=torch.float64)
    found = solve(
        GaussianSolver(), LINEAR, dataclasses.replace(o, common=large, common_names=("gauge",))
    )
    grid, prior = o.grid, LINEAR.prior
    matrix, offset = response(LINEAR.physics, grid)
    mean = torch.full((grid.nodes,), prior_mean(prior), dtype=torch.float64)
    state = Gaussian(mean, latent(prior, grid).covariance).mapped(matrix, offset)
    contrast = torch.eye(len(o), dtype=torch.float64)[1:] - torch.eye(len(o))[0]
    # Differences share the first reading's noise: whiten them
    root = torch.linalg.cholesky(contrast @ torch.diag(o.noise_std**2) @ contrast.T)
    given = rows_of(o), o.values[:, None]
    rows, values = (torch.linalg.solve(root, contrast @ x) for x in given)
    exact = state.given(rows, values[:, 0], torch.ones_like(values[:, 0])).moments(grid)
    scale = exact.std.amax(dim=(1, 2), keepdim=True)
    assert float(((found.mean - exact.mean) / scale).abs().max()) < 1e-3


def test_further_unknowns_stand_behind_those_of_the_coefficient():
    _, _, o = biased(FLOW, 12)
    problem = WhitenedProblem(FLOW, o)
    xi = problem.white(2, seeded(3))
    assert xi.shape == (2, FLOW.latent.size + 2) == (2, problem.zero.shape[1])
    plain = WhitenedProblem(FLOW, dataclasses.replace(o, common=None, common_names=()))
    expected = plain.values(xi[:, : problem.size]) + problem.biases(xi) @ o.common.T
    torch.testing.assert_close(problem.values(xi), expected)
    direction, step = problem.white(1, seeded(4)), 1e-5
    ahead, behind = (problem.values(xi[:1] + s * direction) for s in (step, -step))
    product = problem.jacobian(xi[:1]) @ direction[0]
    torch.testing.assert_close(product, (ahead - behind)[0] / (2 * step), rtol=1e-4, atol=1e-7)


def test_a_result_has_the_biases_with_interval_and_units():
    o, _, _ = known()
    posterior = solve(GaussianSolver(), LINEAR, o)
    result = posterior.to_xarray()
    assert list(result["parameter"].values) == list(NAMES)
    fields = LINEAR.physics.fields
    assert list(result["parameter_units"].values) == [fields[1].units, fields[0].units]
    half = (result["parameter_high"] - result["parameter_low"]).values / 2
    np.testing.assert_allclose(half, 1.64485 * result["parameter_std"].values, rtol=1e-5)
    assert result["parameter_samples"].dims == ("sample", "parameter")
    unnamed = dataclasses.replace(o, common_names=())
    found = solve(GaussianSolver(), LINEAR, unnamed).parameters
    assert found.names == ("bias 1", "bias 2")


def test_a_figure_has_no_panel_for_biases():
    table = {"field": "potential", "x": [0.3], "y": [0.4], "value": [-0.01]}
    result = reconstruct(table, problem=LINEAR, noise=1e-3, grid=16, n_samples=2)
    found = solve(GaussianSolver(), LINEAR, known()[0], 2).parameters
    figures = [plot_reconstruction(one) for one in (result, result.assign(found.to_xarray()))]
    assert len(figures[0].axes) == len(figures[1].axes)


@pytest.mark.parametrize("solver", ["gaussian", "optimal-interpolation"])
def test_residuals_in_a_figure_are_less_the_bias(solver):
    """One of the solvers estimates biases, the other has them in the noise alone."""
    rng, m = np.random.default_rng(0), 20
    of_probe = np.arange(m) % 2 == 0
    table = {"field": "potential", "x": rng.uniform(size=m), "y": rng.uniform(size=m)}
    table["value"] = 1e-3 * rng.standard_normal(m) + np.where(of_probe, 0.05, 0.0)
    table["instrument"] = np.where(of_probe, "probe", "")
    settings = {"noise": 1e-3, "grid": 16, "n_samples": 4, "solver": solver}
    result = reconstruct(table, "poisson", instruments={"probe": 0.05}, **settings)
    axes = plot_reconstruction(result).axes
    residuals = [a for a in axes if a.get_title().endswith("reading − mean")][1]
    shown = residuals.collections[-1].get_array()
    assert len(shown) == m and 0.1 < np.abs(shown).max() < 4


def test_names_are_one_for_each_bias():
    o, _, _ = known()
    with pytest.raises(InputError, match="one name for each of 2 biases, got 1"):
        dataclasses.replace(o, common_names=("probe A",))
