"""Censored readings: against long chains with the exact likelihood, and what limits must leave."""

import dataclasses
import math
from functools import cache
from typing import NamedTuple

import pytest
import torch
from helpers import normal, rms, seeded
from known_posteriors import Gaussian, at_nodes, latent, prior_mean, response, rows_of

from pdeinv import (
    GaussianField,
    InputError,
    LogNormal,
    NumericalError,
    Observation,
    Problem,
    reconstruct,
)
from pdeinv.datasets import Darcy, Poisson
from pdeinv.solvers import (
    EnsembleSmoother,
    GaussianSolver,
    GaussNewton,
    Kriging,
    truncated_gaussian,
)
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.truncated_gaussian import (
    chain_diagnostics,
    nearest_above,
    sample_above,
)

N = 12
LINEAR = Problem(Poisson(), GaussianField(mean=1.0, std=0.5, length=0.4))
FLOW = Problem(Darcy(), LogNormal(median=2.0, log_std=0.7, length=0.4))
SOLVERS = {"gaussian": GaussianSolver(), "gauss-newton": GaussNewton(ensemble=600)}


def read(problem, channel, noise=0.1, seed=0, n=N):
    """Return a state and plain readings of it."""
    pde, grid = problem.physics, problem.physics.grid(n)
    state = problem.sample(1, grid, seeded(seed))[0]
    return state, at_nodes(pde, grid, channel, state, noise, seed)


def censor(o, below=None, above=None):
    """Return readings of which those below or above a limit of their channel are censored.

    Arguments:
        below, above: limits by channel; where it is None, none is.
    """
    values, censored = o.values.clone(), torch.zeros(len(o), dtype=torch.long)
    for side, limits in ((-1, below), (1, above)):
        for channel, limit in (limits or {}).items():
            mine = (o.channel == channel) & (side * (o.values - limit) > 0)
            values[mine], censored[mine] = limit, side
    return dataclasses.replace(o, values=values, censored=censored)


def halves(o, channel=1):
    """Censor the half of a channel's readings that is below their median."""
    return censor(o, below={channel: float(o.values[o.channel == channel].median()) + 1e-9})


def solve(solver, problem, o, n_samples=8, seed=0):
    return solver(problem.physics, problem.prior, o, n_samples=n_samples, generator=seeded(seed))


def log_likelihood(o, values, b):
    """The exact one of readings without noise (n, m) and biases (n, k)."""
    if o.common is not None:
        values = values + b @ o.common.T
    z = (o.values - values) / o.noise_std
    side = torch.zeros(len(o)) if o.censored is None else o.censored
    return torch.where(side == 0, -z.square() / 2, torch.special.log_ndtr(-side * z)).sum(dim=1)


class Chain(NamedTuple):
    """Moments (channel, ny, nx) of long chains, and the error of the mean in standard deviations,
    root mean square, from the spread of the chains."""

    mean: torch.Tensor
    std: torch.Tensor
    error: float


def elliptical(x, evaluate, steps, generator):
    """Yield points (chains, k) and what was evaluated there, by elliptical slice sampling (Murray,
    Adams & MacKay, 2010), of numbers that are standard normal a priori; the first fifth is dropped.

    Arguments:
        x: where the chains start.
        evaluate: from points to log-likelihoods (chains,) and anything (chains, ...).
    """
    chains = len(x)
    height, found = evaluate(x)
    for step in range(steps):
        nu = torch.randn(x.shape, dtype=torch.float64, generator=generator)
        level = height + torch.rand(chains, dtype=torch.float64, generator=generator).log()
        angle = 2 * math.pi * torch.rand(chains, dtype=torch.float64, generator=generator)
        low, high, waiting = angle - 2 * math.pi, angle.clone(), torch.arange(chains)
        x, found, centre = x.clone(), found.clone(), x
        while len(waiting):
            t = angle[waiting][:, None]
            trial = centre[waiting] * t.cos() + nu[waiting] * t.sin()
            value, there = evaluate(trial)
            good = value > level[waiting]
            done, waiting = waiting[good], waiting[~good]
            x[done], found[done], height[done] = trial[good], there[good], value[good]
            negative = angle[waiting] < 0
            low[waiting] = torch.where(negative, angle[waiting], low[waiting])
            high[waiting] = torch.where(negative, high[waiting], angle[waiting])
            share = torch.rand(len(waiting), dtype=torch.float64, generator=generator)
            angle[waiting] = low[waiting] + share * (high[waiting] - low[waiting])
        if step >= steps // 5:
            yield x, found


def moments_of(walk):
    """Return the moments of chains of states (chains, channel, ny, nx)."""
    total = squares = 0.0
    count = 0
    for _, states in walk:
        count, total, squares = count + 1, total + states, squares + states.square()
    own, mean = total / count, (total / count).mean(dim=0)
    std = (squares.mean(dim=0) / count - mean**2).clamp(min=0).sqrt()
    free = std > 0.05 * std.amax(dim=(1, 2), keepdim=True)
    return Chain(mean, std, rms(((own.var(dim=0) / len(own)).sqrt() / std)[free]))


def linear_chain(problem, o, chains=128, steps=400):
    """Return the posterior of a linear problem by chains of the readings without noise, with exact
    moments of the state given these.

    The plain readings are in the Gaussian from which the chains draw, in closed form, so that the
    limits alone are left to the slices.
    """
    grid, generator, m = o.grid, seeded(11), len(o)
    matrix, offset = response(problem.physics, grid)
    mean = torch.full((grid.nodes,), prior_mean(problem.prior), dtype=torch.float64)
    state = Gaussian(mean, latent(problem.prior, grid).covariance).mapped(matrix, offset)
    rows = rows_of(o)
    root = torch.linalg.cholesky(rows @ state.covariance @ rows.T)
    gain = torch.linalg.solve_triangular(root, rows @ state.covariance, upper=False).T
    rest = state.covariance.diagonal() - gain.square().sum(dim=1)

    plain, k = o.censored == 0, m + o.biases
    effects = root if o.common is None else torch.cat([root, o.common], dim=1)
    unit = Gaussian(torch.zeros(k, dtype=torch.float64), torch.eye(k, dtype=torch.float64))
    off_mean = (o.values - rows @ state.mean)[plain]
    known = unit.given(effects[plain], off_mean, o.noise_std[plain].square())
    spread, limits = torch.linalg.cholesky(known.covariance), o.subset(~plain)

    def evaluate(z):
        x = known.mean + z @ spread.T
        values = rows @ state.mean + x[:, :m] @ root.T
        return log_likelihood(limits, values[:, ~plain], x[:, m:]), x

    start = torch.randn(chains, k, dtype=torch.float64, generator=generator)
    walk = torch.stack([x for _, x in elliptical(start, evaluate, steps, generator)])[..., :m]
    means, x = walk.mean(dim=0), walk.flatten(0, 1)
    std = (rest + ((gain @ x.T.cov()) * gain).sum(dim=1)).clamp(min=0).sqrt()
    error = (means @ gain.T).std(dim=0) / chains**0.5
    mean = state.mean + gain @ x.mean(dim=0)
    shape, free = (-1, *grid.shape), std > 1e-3 * std.max()
    return Chain(mean.reshape(shape), std.reshape(shape), rms((error / std)[free]))


def flow_chain(problem, o, start, steps):
    """Return the posterior of any problem by chains of its latent field, from draws (chains, *)."""
    forward, shape = LatentMap(problem, o), problem.latent.shape

    def evaluate(x):
        states = forward.state(x.unflatten(1, shape))
        return log_likelihood(o, o(states), x[:, :0]), states

    return moments_of(elliptical(start, evaluate, steps, seeded(11)))


def off(found, chain):
    """Return the distance of the means in standard deviations, root mean square, and the relative
    distance of the standard deviations, both over the nodes that are not known."""
    free = chain.std > 0.05 * chain.std.amax(dim=(1, 2), keepdim=True)
    distance = ((found.mean - chain.mean) / chain.std)[free]
    return rms(distance), rms((found.std / chain.std)[free] - 1)


# Against long chains


def as_stated(kind):
    """Return a linear problem's readings, some of them censored."""
    _, o = read(LINEAR, [0] * 4 + [1] * 12)
    if kind == "half":
        return halves(o)
    if kind == "all, both sides":
        middle = {c: float(o.values[o.channel == c].median()) for c in (0, 1)}
        return censor(o, below=middle, above={c: x - 1e-9 for c, x in middle.items()})
    common = torch.zeros(16, 1, dtype=torch.float64)
    common[6:, 0] = 10 * o.noise_std[6:]
    values = o.values + 1.3 * common[:, 0]
    return halves(dataclasses.replace(o, values=values, common=common))


@cache
def known(kind):
    return linear_chain(LINEAR, as_stated(kind))


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("kind", ["half", "all, both sides", "half, with a bias"])
def test_a_linear_problem_has_the_posterior_of_long_chains(kind, name):
    o, chain = as_stated(kind), known(kind)
    found = solve(SOLVERS[name], LINEAR, o)
    distance, spread = off(found, chain)
    assert chain.error < 0.06 and distance < 0.1
    assert spread < 0.05
    assert found.record["r_hat"] < 1.1 and found.record["effective_sample_size"] > 500
    # Not that of the plain readings, nor that of limits as readings
    others = [dataclasses.replace(o, censored=None)]
    others += [o.subset(~o.below_or_above)] if kind != "all, both sides" else []
    for other in others:
        assert off(solve(SOLVERS[name], LINEAR, other), chain)[0] > 3 * distance


def test_samples_have_the_moments_that_are_stated():
    o = as_stated("half")
    for name, solver in SOLVERS.items():
        found = solve(solver, LINEAR, o, 600)
        own = found.samples.mean(dim=0), found.samples.std(dim=0)
        distance, spread = off(found, Chain(*own, 0.0))
        assert distance < 0.15 and spread < 0.1, name
        # Each meets the limits as well as its noise allows
        excess = (o(found.samples) - o.values)[:, o.below_or_above] / o.noise_std[o.below_or_above]
        assert float((excess < 3).double().mean()) > 0.98


@pytest.mark.filterwarnings("ignore:.*members of the ensemble were left out")
def test_the_constant_of_a_nonlinear_problem_has_the_posterior_of_quadrature():
    """The pressure is inversely proportional to one unknown permeability."""
    problem = Problem(Darcy(), LogNormal(2.0, 1.0, 300.0))
    grid = problem.physics.grid(N)
    points = torch.tensor([[0.5, 0.5], [0.3, 0.4], [0.7, 0.3]], dtype=torch.float64)
    order = tuple(f.interpolation_order for f in problem.physics.fields)
    blank = Observation(
        grid, points, torch.ones(3, dtype=torch.long), torch.zeros(3).double(),
        torch.full((3,), 0.004).double(), order,
    )  # fmt: skip
    one = problem.physics.solve(torch.ones(1, 1, *grid.shape, dtype=torch.float64))
    of_one = blank(torch.cat([torch.ones_like(one), one], dim=1))[0]
    o = dataclasses.replace(
        blank, values=of_one / torch.tensor([3.0, 1.5, 2.5]), censored=torch.tensor([-1, -1, 0])
    )
    for reading in (o, o.subset(torch.tensor([0, 1]))):
        log = torch.linspace(-5, 7, 20001, dtype=torch.float64)
        values = of_one[: len(reading)] / log.exp()[:, None]
        prior = -((log - math.log(2.0)) ** 2) / 2
        density = (prior + log_likelihood(reading, values, None)).exp()
        density /= density.sum()
        mean = float((density * log).sum())
        std = float((density * (log - mean) ** 2).sum().sqrt())
        found = solve(GaussNewton(ensemble=200), problem, reading, 200)
        ours = found.samples[:, 0].mean(dim=(1, 2)).log()
        # The posterior is skew, which a linearisation at the mode neglects
        assert abs(float(ours.mean()) - mean) < 0.2 * std
        assert float(ours.std()) == pytest.approx(std, rel=0.15)
        assert found.record["converged"] == 1


def test_flow_through_a_medium_has_the_posterior_of_chains():
    """The chains start at the members and are short, and so is their error stated; without the
    limits the mean is at three times that distance."""
    _, o = read(FLOW, [0] * 2 + [1] * 8, noise=0.15, seed=1)
    o = halves(o)
    found, blind = (
        solve(GaussNewton(ensemble=32), FLOW, one, 24) for one in (o, o.subset(~o.below_or_above))
    )
    chain = flow_chain(FLOW, o, found.latent, 40)
    assert off(found, chain)[0] < 0.35 < 0.6 < off(blind, chain)[0]
    assert off(found, chain)[1] < 0.35


def test_a_search_with_limits_counts_its_starting_points_and_settles():
    """One Jacobian is too few for the plain readings, and for what the limits move."""
    _, o = read(FLOW, [0] * 2 + [1] * 8, noise=0.02, seed=1)
    quick = GaussNewton(iterations=1, chords=0, ensemble=4)
    record = solve(quick, FLOW, halves(o), 2).record
    assert record["converged"] == 1 and record["final_gradient"] < 1e-3
    assert record["searches"] > 1


# Draws of the prior


def test_intervals_cover_the_misfit_is_that_of_the_model_and_limits_state_something():
    """Over truths drawn from the prior, with fixed limits."""
    inside, chi2, errors = [], [], []
    grid = LINEAR.physics.grid(N)
    limit = 0.6 * float(LINEAR.state(LINEAR.latent.origin(), grid)[0, 1].mean())
    for seed in range(40):
        state, o = read(LINEAR, [0] + [1] * 12, seed=seed)
        o = censor(o, below={1: limit})
        ways = o, o.subset(~o.below_or_above), dataclasses.replace(o, censored=None)
        found, *others = (solve(SOLVERS["gaussian"], LINEAR, way, 2, seed) for way in ways)
        free = found.std > 1e-3 * found.std.amax(dim=(1, 2), keepdim=True)
        inside.append(((found.mean - state).abs() <= 1.645 * found.std)[free].double().mean())
        chi2.append(found.record["reduced_chi_squared"])
        errors.append([rms((p.mean - state)[1]) for p in (found, *others)])
    assert float(torch.stack(inside).mean()) == pytest.approx(0.9, abs=0.03)
    chi2 = torch.tensor(chi2)
    assert float(chi2.mean()) == pytest.approx(1, abs=3 * float(chi2.std()) / 40**0.5)
    for column in (1, 2):
        gain = torch.tensor([row[column] / row[0] for row in errors]).log()
        assert float(gain.mean()) > 2 * float(gain.std()) / 40**0.5


# What limits leave


def test_auto_takes_censored_readings_where_a_solver_does():
    table = {
        "field": ["potential"] * 3,
        "x": [0.3, 0.5, 0.7],
        "y": [0.4, 0.5, 0.6],
        "value": [-0.06, -0.05, -0.08],
        "censored": ["", "left", "right"],
    }
    result = reconstruct(table, problem=LINEAR, noise=1e-3, grid=16)
    assert result.attrs["solver"] == "gaussian" and result.attrs["r_hat"] < 1.1
    assert list(result["sensor_censored"].values) == ["", "left", "right"]
    flow = reconstruct(
        {**table, "field": ["pressure"] * 3, "value": [0.02, 0.04, 0.01]},
        problem=FLOW,
        noise=1e-3,
        grid=16,
    )
    assert flow.attrs["solver"] == "gauss-newton"
    with pytest.raises(InputError, match=r"level-set .* not be censored .*; choose a prior"):
        reconstruct({**table, "field": ["pressure"] * 3}, "darcy", noise=1e-3, grid=16)


@pytest.mark.parametrize("name", SOLVERS)
def test_limits_that_are_far_leave_the_posterior_as_it_is(name):
    _, o = read(LINEAR, [0] * 4 + [1] * 12)
    o = halves(o)
    far = o.values + 50 * float(o.values.abs().max())
    far = dataclasses.replace(o, values=torch.where(o.below_or_above, far, o.values))
    plain = solve(SOLVERS[name], LINEAR, o.subset(~o.below_or_above))
    distance, spread = off(solve(SOLVERS[name], LINEAR, far), plain)
    assert distance < 0.06 and spread < 0.06


@pytest.mark.parametrize("name", SOLVERS)
def test_exact_readings_with_limits_are_kept_by_every_sample(name):
    _, o = read(LINEAR, [0] * 4 + [1] * 12)
    o = halves(dataclasses.replace(o, noise_std=torch.zeros_like(o.noise_std)))
    found = solve(SOLVERS[name], LINEAR, o, 20)
    excess = (o(found.samples) - o.values)[:, o.below_or_above]
    assert float(excess.max()) < 1e-3 * float(o.values.std())


@pytest.mark.parametrize("name", SOLVERS)
def test_a_limit_that_contradicts_an_exact_reading_is_refused(name):
    _, o = read(LINEAR, [1] * 3, noise=0.0)
    twice = o.subset(torch.tensor([0, 1, 2, 2]))
    values = twice.values + torch.tensor([0, 0, 0, -0.1 * float(o.values.abs().max())])
    twice = dataclasses.replace(twice, values=values, censored=torch.tensor([0, 0, 0, -1]))
    x, y = o.points[2].tolist()
    words = rf"must not contradict the others, got one at \({x:g}, {y:g}\) that must be below"
    with pytest.raises(InputError, match=words):
        solve(SOLVERS[name], LINEAR, twice)


def test_limits_that_exclude_one_another_are_refused(monkeypatch):
    monkeypatch.setattr(truncated_gaussian, "_MOST", 2000)
    _, o = read(LINEAR, [1] * 3, noise=0.0)
    twice = o.subset(torch.tensor([0, 1, 2, 2]))
    for gap, error in ((0.1, InputError), (-1e-9, NumericalError)):
        values = twice.values + torch.tensor([0, 0, gap, -gap]) * float(o.values.abs().max())
        limits = dataclasses.replace(twice, values=values, censored=torch.tensor([0, 0, 1, -1]))
        with pytest.raises(error, match=r"contradict|must not vanish"):
            solve(SOLVERS["gaussian"], LINEAR, limits)


def test_a_solver_that_is_suggested_supports_all_readings_and_the_prior():
    """The samplers with the shipped prior support biases, but neither limits nor this prior."""
    o = as_stated("half, with a bias")
    for solver in (Kriging(), EnsembleSmoother()):
        with pytest.raises(InputError, match=r"choose one of gauss-newton, gaussian, or"):
            solve(solver, LINEAR, o)
    plain = dataclasses.replace(o, censored=None)
    able = "choose one of ensemble-smoother, gauss-newton, gaussian, optimal-interpolation, or"
    with pytest.raises(InputError, match=able):
        solve(Kriging(), LINEAR, plain)


# The sampler


def test_draws_above_thresholds_have_the_law_of_rejection():
    factor = torch.linalg.qr(normal(3, 3))[1]
    factor = factor / factor.norm(dim=0)
    correlation, threshold = factor.T @ factor, torch.tensor([0.3, -0.5, -3.0]).double()
    found = sample_above(correlation, threshold, 32, 400, seeded()).flatten(0, 1)
    assert bool((found >= threshold).all())
    free = normal(400_000, 3, seed=1) @ torch.linalg.cholesky(correlation).T
    kept = free[(free >= threshold).all(dim=1)]
    torch.testing.assert_close(found.mean(dim=0), kept.mean(dim=0), rtol=0, atol=0.03)
    torch.testing.assert_close(found.T.cov(), kept.T.cov(), rtol=0, atol=0.03)


@pytest.mark.parametrize("threshold", [2.0, 3.0, 6.0])
def test_a_tail_has_its_closed_form(threshold):
    t = torch.tensor([threshold], dtype=torch.float64)
    chains = sample_above(torch.ones(1, 1, dtype=torch.float64), t, 64, 200, seeded())[..., 0]
    density = math.exp(-(threshold**2) / 2) / math.sqrt(2 * math.pi)
    mean = density / float(torch.special.ndtr(-t))
    std = (1 + mean * (threshold - mean)) ** 0.5
    assert float(chains.mean()) == pytest.approx(mean, abs=0.1 * std)
    assert float(chains.std()) == pytest.approx(std, rel=0.1)
    # A chain forgets the distance that it began at
    assert chain_diagnostics(chains[..., None])["r_hat"] < 1.05


def test_the_nearest_point_is_stationary():
    root = torch.linalg.cholesky(normal(6, 8) @ normal(6, 8).T)
    threshold = normal(6, seed=2)
    point, contribution = nearest_above(root, threshold)
    multiplier = torch.cholesky_solve(point[:, None], root)[:, 0]
    assert float(multiplier.min()) > -1e-8 and float((point - threshold).min()) > -1e-8
    assert float((multiplier * (point - threshold)).abs().max()) < 1e-8
    least = float(point @ multiplier)
    assert float(contribution.sum()) == pytest.approx(least)
