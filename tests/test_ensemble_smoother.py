"""The ensemble smoother: closed forms, few members, spread, solves that fail, two phases."""

import warnings
from contextlib import nullcontext
from dataclasses import replace
from functools import cache

import pytest
import torch
from helpers import distance, normal, observe, rms, seeded
from known_posteriors import at_nodes, linear_posterior

import pdeinv.solvers.ensemble_smoother as module
from pdeinv import GaussianField, InputError, LogNormal, NumericalError, layouts
from pdeinv.datasets import Darcy, NavierStokes, Poisson, Problem
from pdeinv.solvers import EnsembleSmoother, GaussNewton
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.sensitivities import nodewise_sensitivities, regressed_sensitivities
from pdeinv.solvers.tempered_members import LatentMembers

N = 12
FIELD = GaussianField(mean=1.0, std=0.5, length=0.4)
LINEAR = Problem(Poisson(), FIELD)
FLOW = Problem(Darcy(), LogNormal(median=2.0, log_std=1.0, length=0.3))


def read(problem, m, *, channel, noise=0.1, seed=0, n=N):
    points = layouts.random(m, seed, problem.physics.domain)
    return observe(problem, problem.physics.grid(n), points, channel, noise=noise, seed=seed)


def solve(problem, observation, n_samples=8, seed=0, **settings):
    solver = EnsembleSmoother(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return solver(
            problem.physics,
            problem.prior,
            observation,
            n_samples=n_samples,
            generator=seeded(seed),
        )


@cache
def linear(channels=(0, 1)):
    """Return readings of some fields at nodes, and the moments of the posterior."""
    pde, grid = LINEAR.physics, LINEAR.physics.grid(N)
    channel = list(channels) * (24 // len(channels))
    observation = at_nodes(pde, grid, channel, LINEAR.sample(1, grid, seeded(7))[0], 0.1)
    return observation, linear_posterior(LINEAR, observation).moments(observation.grid)


def off(found, known):
    """Return the distance of the mean in standard deviations, root mean square, and the ratio of
    the standard deviations, both over the nodes that are not known."""
    free = known.std > 0.05 * known.std.amax(dim=(1, 2), keepdim=True)
    z = (found.mean - known.mean)[free] / known.std[free]
    return rms(z), float((found.std / known.std)[free].mean())


def test_the_posterior_of_a_linear_problem_is_approached_with_more_members():
    observation, known = linear()
    few, some, many = (
        [off(solve(LINEAR, observation, members=k, rounds=3, seed=s), known) for s in range(3)]
        for k in (25, 100, 400)
    )
    mean = [sum(d for d, _ in found) / 3 for found in (few, some, many)]
    assert mean[0] > 1.5 * mean[1] > 2 * mean[2] and mean[2] < 0.15
    for _, ratio in many:
        assert abs(ratio - 1) < 0.06


def test_the_spread_is_that_of_the_errors_at_any_number_of_members():
    """Truths drawn from the prior: the share within the 90 % interval, over fields and truths."""
    for members, low in ((25, 0.83), (100, 0.86)):
        inside = []
        for seed in range(8):
            state, observation = read(LINEAR, 24, channel=[0, 1] * 12, seed=20 + seed)
            found = solve(LINEAR, observation, members=members, rounds=3, seed=seed)
            free = found.std > 1e-9 * found.std.amax(dim=(1, 2), keepdim=True)
            error = (found.mean - state[0]).abs()
            inside.append((error <= 1.6449 * found.std)[free].double())
        assert low < float(torch.cat(inside).mean()) < 0.97


def test_readings_of_a_gaussian_coefficient_take_no_regression_and_no_round():
    observation, known = linear((0,))
    found = solve(LINEAR, observation, members=16, rounds=5)
    assert found.record["solver_calls"] == 16  # of the result
    assert torch.allclose(found.std[0], known.std[0], atol=1e-3 * float(known.std[0].max()))
    assert rms((found.mean[0] - known.mean[0]) / known.std[0]) < 3 / 16**0.5


@pytest.mark.parametrize("rounds", [1, 3])
def test_a_round_takes_a_solve_for_each_member_and_so_does_the_result(rounds):
    _, observation = read(FLOW, 10, channel=1)
    record = solve(FLOW, observation, members=20, rounds=rounds).record
    assert record["solver_calls"] == 20 * (rounds + 1)
    assert record["members_left_out"] == 0 and record["inflation"] >= 1


def sample_covariances(xi, values, eigenvalues):
    """Sensitivities that move the members as the covariances of the sample do."""
    return regressed_sensitivities(xi, values, torch.ones_like(eigenvalues))


def test_few_members_need_smooth_sensitivities(monkeypatch):
    """The error of the logarithm of the coefficient, on the same truths from the same draws."""
    gains = []
    for seed in range(6):
        state, observation = read(FLOW, 24, channel=1, noise=0.02, seed=seed, n=16)
        errors = []
        for kind in (regressed_sensitivities, sample_covariances):
            monkeypatch.setattr(module, "regressed_sensitivities", kind)
            mean = solve(FLOW, observation, members=24, rounds=3, seed=seed).mean[0]
            errors.append(rms(mean.log() - state[0, 0].log()))
        gains.append(errors[1] - errors[0])
    gains = torch.tensor(gains)
    assert float(gains.mean()) > 2 * float(gains.std()) / len(gains) ** 0.5


def test_inflation_restores_the_spread_of_the_covariance():
    latent, grid = LINEAR.latent, LINEAR.physics.grid(N)
    members = LatentMembers(latent.white(400, seeded()).flatten(1), latent, seeded())
    white = members.xi.clone()
    members.xi = 0.5 * white + 3.0
    assert members.inflate(grid) == pytest.approx(2.0, rel=0.05)
    spread = latent.square_root(members.tables, grid).var(dim=0).mean()
    assert float(spread) == pytest.approx(float(latent.variance(grid).mean()), rel=1e-6)
    assert torch.allclose(members.xi.mean(dim=0), (0.5 * white + 3.0).mean(dim=0))
    members.xi = 2 * white
    assert members.inflate(grid) == 1.0 and torch.allclose(members.xi, 2 * white)


def test_a_linear_model_is_recovered_from_more_members_than_functions():
    xi, rows = normal(60, 5, 4, seed=1), normal(3, 20, seed=2)
    model = regressed_sensitivities(xi, xi.flatten(1) @ rows.T + 7.0, torch.ones(5, 4))
    assert distance(model.rows, rows) < 1e-3
    assert bool((model.error < 1e-6 * rows.square().sum(dim=1)).all())


def test_the_error_of_the_regression_is_that_of_members_left_out():
    xi, eigenvalues = normal(12, 30, seed=3), 1 / torch.arange(1, 31).double()
    values = xi.square().sum(dim=1, keepdim=True) + xi @ normal(30, 2, seed=4)
    model = regressed_sensitivities(xi, values, eigenvalues)
    left = []
    for i in range(12):
        others = torch.arange(12) != i
        x, y = xi[others] - xi[others].mean(dim=0), values[others] - values[others].mean(dim=0)
        scaled = x * eigenvalues**2
        whole = xi - xi.mean(dim=0)
        ridge = 1e-5 * (whole * eigenvalues**2 * whole).sum(dim=1).mean()
        weights = torch.linalg.solve(scaled @ x.T + ridge * torch.eye(11), y)
        rows = weights.T @ scaled
        left.append(values[i] - values[others].mean(dim=0) - rows @ (xi[i] - xi[others].mean(0)))
    expected = 0.1 * torch.stack(left).square().mean(dim=0)
    assert torch.allclose(model.error, expected, rtol=1e-6)


def test_sensitivities_of_readings_of_the_coefficient_are_local_and_exact_where_affine():
    _, observation = read(LINEAR, 6, channel=0)
    forward = LatentMap(LINEAR, observation)
    xi = LINEAR.latent.white(20, seeded())
    model = nodewise_sensitivities(forward, xi, forward(forward.coefficient(xi)))
    assert torch.allclose(model.rows, forward.whitened_jacobian(LINEAR.latent.origin()))
    assert float(model.error.max()) < 1e-20


def test_readings_that_contradict_the_prior_have_the_misfit_of_gauss_newton():
    """Of the coefficient and of the solution, which is read at three times its values."""
    for channel, factor in ((0, 10.0), (1, 3.0)):
        _, observation = read(LINEAR, 12, channel=channel, noise=0.02)
        for times in (1.0, factor):
            given = replace(observation, values=times * observation.values)
            chi2 = [
                solver(Poisson(), FIELD, given, generator=seeded()).record["reduced_chi_squared"]
                for solver in (EnsembleSmoother(), GaussNewton())
            ]
            assert chi2[0] == pytest.approx(chi2[1], rel=0.15)
            assert (chi2[0] > 3) == (times > 1)


@pytest.mark.parametrize("value", [0.05, 1.0, 30.0])
def test_readings_of_a_log_normal_coefficient_are_met_like_those_of_its_logarithm(value):
    """One reading of K with a noise of a tenth, at a node: ln K has about that noise too."""
    _, observation = read(FLOW, 1, channel=0)
    node = replace(
        observation,
        points=torch.full((1, 2), 4.0 / (N - 1), dtype=torch.float64),
        values=torch.tensor([value]).double(),
        noise_std=torch.tensor([0.1 * value]).double(),
    )
    found, known = (
        s(FLOW.physics, FLOW.prior, node, generator=seeded())
        for s in (EnsembleSmoother(members=100), GaussNewton())
    )
    for moment in ("mean", "std"):
        mine, other = (float(getattr(x, moment)[0, 4, 4]) for x in (found, known))
        assert mine == pytest.approx(other, rel=0.05)
    assert float(found.std[0, 4, 4]) == pytest.approx(0.1 * value, rel=0.15)
    chi2 = [x.record["reduced_chi_squared"] for x in (found, known)]
    assert chi2[0] == pytest.approx(chi2[1], rel=0.01, abs=1e-3)


def test_readings_of_the_coefficient_beyond_all_numbers_are_refused():
    _, observation = read(FLOW, 4, channel=0)
    for value, message in ((1000.0, ""), (-1000.0, ""), (1e29, "must not be too far from its pr")):
        far = replace(observation, values=torch.full((4,), value, dtype=torch.float64))
        with pytest.raises(NumericalError, match=message) if message else nullcontext():
            found = EnsembleSmoother()(FLOW.physics, FLOW.prior, far, generator=seeded())
            assert found.record["reduced_chi_squared"] > 10


class Fragile(Poisson):
    """Its solve fails where the source is large, by an exception or by nan."""

    limit = 2.0
    raises = False

    def solve(self, a):
        large = a.flatten(1).amax(dim=1) > self.limit
        if self.raises and bool(large.any()):
            raise NumericalError("the source is too large; use a smaller one")
        return super().solve(a).masked_fill(large[:, None, None, None], torch.nan)


class Raising(Fragile):
    raises = True


class Hopeless(Raising):
    limit = 0.0


@pytest.mark.parametrize(
    ("kind", "reason"), [(Fragile, "gave nan or inf"), (Raising, "source is too large")]
)
def test_members_whose_solve_fails_are_left_out_with_a_warning(kind, reason):
    _, observation = read(LINEAR, 12, channel=1)
    with pytest.warns(UserWarning, match=f"members of the ensemble were left out, .*{reason}"):
        found = EnsembleSmoother(members=60, rounds=2)(
            kind(), FIELD, observation, n_samples=80, generator=seeded()
        )
    assert found.record["members_left_out"] > 0
    assert float(found.samples[:, 0].max()) <= Fragile.limit
    assert bool(found.samples.isfinite().all()) and len(found.samples) == 80


def test_too_few_members_are_an_error_with_the_reason():
    _, observation = read(LINEAR, 12, channel=1)
    with pytest.raises(NumericalError, match=r"60 of 60 members were unstable: the source is too"):
        EnsembleSmoother(members=60)(Hopeless(), FIELD, observation, generator=seeded())


def test_a_medium_of_two_phases_is_found_from_its_pressure():
    """The darcy problem: the error of the coefficient falls below that of the prior's mean."""
    problem = Problem(Darcy())
    errors, blind = [], []
    for seed in range(4):
        state, observation = read(problem, 40, channel=1, noise=0.01, seed=seed, n=16)
        found = solve(problem, observation, members=80, rounds=4, seed=seed)
        low, high = problem.prior.phases
        assert torch.isin(found.samples[:, 0], torch.tensor([low, high]).double()).all()
        share = (found.mean[0] - low) / (high - low)
        assert torch.allclose(found.probability, share)
        errors.append(rms(found.mean[0] - state[0, 0]))
        blind.append(rms((low + high) / 2 - state[0, 0]))
    assert sum(errors) < 0.75 * sum(blind)


def test_an_unstable_flow_keeps_its_other_members():
    pde = NavierStokes(time=0.2)
    problem = Problem(pde, pde.default_prior.with_numbers(modes=16))
    state, observation = read(problem, 40, channel=1, noise=0.02, n=16)
    found = solve(problem, observation, members=60, rounds=3)
    assert distance(found.mean[0], state[0, 0]) < 0.5


def test_a_flat_mean_is_refused():
    flat = GaussianField(mean=0.0, std=1.0, length=0.3, mean_std=float("inf"))
    _, observation = read(LINEAR, 5, channel=0)
    with pytest.raises(InputError, match="whose mean must not be flat"):
        EnsembleSmoother()(Poisson(), flat, observation)
