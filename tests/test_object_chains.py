"""Markov chains over objects, and mixtures, against posteriors that are found in other ways."""

import json
import math
import warnings
from dataclasses import replace

import pytest
import torch
from helpers import accepts, observe, quick_solver, rms, seeded

from pdeinv import (
    Channels,
    GaussianField,
    Grid,
    Inclusions,
    InputError,
    Problem,
    Scenarios,
    Spikes,
    layouts,
    reconstruct,
)
from pdeinv.coefficients.objects import Scenes
from pdeinv.datasets import Darcy, Poisson
from pdeinv.solvers import SOLVERS, Mixture, ObjectChains
from pdeinv.solvers.parallel_tempering import ParallelTempering
from pdeinv.solvers.scene_archive import SceneArchive
from pdeinv.solvers.scene_likelihood import NormalReadings, SceneLikelihood
from pdeinv.solvers.scene_pool import ScenePool
from pdeinv.solvers.scene_search import fit_scenes
from pdeinv.solvers.selection import solver_for

GRID = Grid(13)
FEW = {"steps": 1000, "levels": 6, "runs": 4}


def readings_of(prior, m, noise, *, channel=0, physics=None, seed=0):
    """A coefficient of a prior, and noisy readings of it."""
    problem = Problem(physics or Poisson(), prior)
    points = layouts.random_nodes(m, GRID, seed)
    return problem, *observe(problem, GRID, points, channel, noise=noise, seed=seed)


def by_importance(problem, observation):
    """Mean and standard deviation of the coefficient, and the evidence, by weighted draws of the
    prior; and the effective number of these."""
    prior, generator, solves = problem.prior, seeded(9), bool(observation.channel.any())
    draws = 20_000 if solves else 200_000
    a = torch.cat([prior.sample(5000, GRID, generator) for _ in range(draws // 5000)])
    u = torch.zeros_like(a)
    if solves:
        u = torch.cat([problem.physics.surrogate(part) for part in a.split(1000)])
    states = torch.cat([a, u], dim=1)
    off = (observation(states) - observation.values) / observation.noise_std
    density = -0.5 * (off**2 + (2 * math.pi * observation.noise_std**2).log()).sum(dim=1)
    weights = density.softmax(dim=0)
    mean = torch.tensordot(weights, a[:, 0], dims=1)
    variance = torch.tensordot(weights, (a[:, 0] - mean) ** 2, dims=1)
    evidence = float(density.logsumexp(dim=0) - math.log(draws))
    return mean, variance.sqrt(), evidence, 1 / float(weights.square().sum())


@pytest.mark.parametrize(
    ("prior", "physics", "m", "noise", "coarse"),
    [
        (Spikes(fewest=0, most=2), Poisson(), 12, 0.6, 16),
        (Inclusions(fewest=1, most=3), Darcy(), 6, 1.0, 16),
        (Inclusions(fewest=1, most=3), Darcy(), 6, 1.0, 5),
    ],
    ids=["spikes", "inclusions", "a coarse grid before"],
)
def test_the_posterior_and_the_evidence_are_those_of_weighted_draws(
    prior, physics, m, noise, coarse
):
    channel = 0 if coarse > 13 else torch.arange(m) % 2
    problem, _, observation = readings_of(prior, m, noise, physics=physics, channel=channel)
    mean, std, evidence, effective = by_importance(problem, observation)
    assert effective > 5_000
    few = FEW if coarse > 13 else FEW | {"steps": 500}  # a step has several moves by the coarse one
    found = ObjectChains(**few, coarse=coarse).condition(
        physics, prior, observation, 5, seeded(), False
    )
    size = found.record["effective_sample_size"]
    assert found.record["r_hat"] < 1.05 and size > 150
    assert found.record["log_evidence"] == pytest.approx(evidence, abs=0.15)
    # Over the field, since some nodes are in few of the draws
    assert rms(found.mean[0] - mean) < 2 * rms(std) / size**0.5
    assert rms(found.std[0] - std) < 0.3 * rms(std)
    assert found.samples.shape == (5, 2, 13, 13)
    if prior.phases:
        low, high = prior.phases
        torch.testing.assert_close(found.probability, (found.mean[0] - low) / (high - low))


def test_levels_reach_scenes_that_chains_of_one_level_do_not():
    """Two bumps that the readings show far apart: a chain that begins with both in one place stays
    there; several levels find both from the prior."""
    prior = Spikes(fewest=2, most=2, radius=(0.1, 0.1), height=(1.0, 1.0))
    places = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    numbers = torch.tensor([[0.5, 1.0]], dtype=torch.float64).repeat(2, 1)
    truth = Scenes(
        torch.zeros(1, 0, dtype=torch.float64),
        torch.cat([places, numbers], dim=1)[None],
        torch.tensor([2]),
    )
    a = prior.render(truth, GRID)
    _, observation = observe(
        Problem(Poisson(), prior), GRID, GRID.points(), 0, noise=0.02, state=torch.cat([a, a], 1)
    )
    many = ObjectChains(steps=2000, levels=12, runs=2)
    found = many.condition(Poisson(), prior, observation, 4, seeded(), False)
    assert found.record["reduced_chi_squared"] < 1.2
    both = replace(truth, objects=truth.objects[:, :1].repeat(1, 2, 1))
    stuck = ObjectChains(steps=300, levels=1, runs=4, start=both)
    away = stuck.condition(Poisson(), prior, observation, 4, seeded(), False)
    assert away.record["reduced_chi_squared"] > 3
    near = ObjectChains(steps=300, levels=1, runs=4, start=truth)
    near = near.condition(Poisson(), prior, observation, 4, seeded(), False)
    assert near.record["reduced_chi_squared"] < 1.2 and "log_evidence" not in near.record


def test_the_ladder_rejects_alike_between_all_levels_once_it_is_spaced():
    prior = Spikes()
    observation = readings_of(prior, 30, 0.1)[2]

    def read(scenes):
        a = prior.render(scenes, GRID)
        return observation(torch.cat([a, a], dim=1))

    likelihood = NormalReadings(read, observation.values, observation.noise_std**2)
    sampler = ParallelTempering(prior, [likelihood], 8, 8, 200, None, seeded())
    lowest = float(sampler.heights[0])
    assert 0 < lowest < 0.5 and sampler.heights[-1] == 1
    for _ in range(5):
        for _ in range(100):
            sampler.step()
        sampler.respace()
    assert sampler.heights[0] == pytest.approx(lowest) and sampler.heights[-1] == 1
    assert bool((sampler.heights.diff() > 0).all())
    for _ in range(300):
        sampler.step()
    rates = sampler.rejected / sampler.compared
    assert float(rates.max()) < 2.5 * float(rates.mean())


def test_a_mixture_is_the_weighted_sum_of_the_parts():
    physics, prior = Poisson(), Scenarios((0.2, 0.5), (0, 45, 90, 135))
    _, _, observation = readings_of(prior, 15, 0.1, channel=torch.arange(15) % 2)
    found = Mixture().condition(physics, prior, observation, 400, seeded(), False)
    n = GRID.nodes
    unit = torch.eye(n, dtype=torch.float64).reshape(n, 1, 13, 13)
    solution = physics.solve(unit)
    states = torch.cat([unit, solution], dim=1).flatten(1)  # rows: a node's effect on a state
    reads = observation(torch.cat([unit, solution], dim=1)).T
    means, variances, evidences = [], [], []
    for part in prior.parts:
        covariance = part.latent(GRID.domain, GRID.kind).covariance(unit, GRID).reshape(n, n)
        gram = reads @ covariance @ reads.T + observation.noise_std.square().diag()
        cross = states.T @ covariance @ reads.T
        normal = torch.distributions.MultivariateNormal(torch.zeros(15).double(), gram)
        evidences.append(normal.log_prob(observation.values))
        gain = torch.linalg.solve(gram, cross.T).T
        means.append(gain @ observation.values)
        variances.append((states.T @ covariance @ states - gain @ cross.T).diagonal())
    weights = torch.stack(evidences).softmax(dim=0)
    mean = sum(w * m for w, m in zip(weights, means, strict=True))
    second = sum(w * (v + m**2) for w, v, m in zip(weights, variances, means, strict=True))
    assert 0.05 < float(weights.max()) < 0.95
    stated = torch.tensor(json.loads(found.record["part_probabilities"]), dtype=torch.float64)
    torch.testing.assert_close(stated, weights, rtol=0, atol=1e-4)
    expected = float(torch.stack(evidences).logsumexp(dim=0)) - math.log(8)
    assert found.record["log_evidence"] == pytest.approx(expected, abs=1e-3)
    scale = second.reshape(2, -1).amax(dim=1).sqrt()[:, None, None]
    close = {"rtol": 0, "atol": 2e-4}
    torch.testing.assert_close(found.mean / scale, mean.reshape(2, 13, 13) / scale, **close)
    std = (second - mean**2).clamp(min=0).sqrt().reshape(2, 13, 13)
    torch.testing.assert_close(found.std / scale, std / scale, **close)
    spread = (found.samples.mean(dim=0) - found.mean).abs() / (found.std + 1e-3 * scale)
    assert float(spread.max()) < 5 / 400**0.5


def test_auto_takes_the_solver_that_reaches_the_posterior():
    given = {"poisson": (Spikes(), Scenarios((0.3,), (0, 90))), "darcy": (Channels(),)}
    names = {"spikes": "object-chains", "scenarios": "mixture", "channels": "object-chains"}
    for physics in (Poisson(), Darcy()):
        for prior in given[physics.name]:
            assert solver_for("auto", physics, prior).name == names[prior.name]


@pytest.mark.parametrize("name", SOLVERS)
def test_each_solver_accepts_a_prior_of_objects_or_refuses_it_in_a_sentence(name):
    problem, _, observation = readings_of(Spikes(), 6, 0.1)
    solver = quick_solver(name)
    if solver.accepts_prior(problem.prior) and solver.accepts(problem.physics, problem.prior):
        try:
            found = solver(problem.physics, problem.prior, observation, n_samples=3)
        except InputError as error:
            assert name not in ("object-chains", "optimal-interpolation", "kriging"), str(error)
        else:
            assert found.samples.shape == (3, 2, 13, 13)
    else:
        with pytest.raises(InputError, match=rf"the {name} solver .*; choose"):
            solver(problem.physics, problem.prior, observation, n_samples=3)


def test_the_result_of_reconstruct_states_the_scenes():
    prior = Inclusions()
    problem, _, observation = readings_of(prior, 10, 0.05, channel=1, physics=Darcy())
    x, y = observation.points.T.tolist()
    table = {"field": "pressure", "x": x, "y": y, "value": observation.values.tolist()}
    table["noise_std"] = observation.noise_std.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = reconstruct(
            table, problem=problem, grid=16, solver=ObjectChains(steps=40, levels=3, runs=2)
        )
    assert result.attrs["solver"] == "object-chains" and "log_evidence" in result.attrs
    assert "3 with 3 to 6 ellipses of 12" in result.attrs["prior"]
    assert float(result.permeability_probability.min()) >= 0
    assert not accepts(SOLVERS["level-set"](), problem)


def test_a_prior_that_is_no_mixture_is_refused():
    observation = readings_of(Spikes(), 3, 0.1)[2]
    with pytest.raises(InputError, match="mixture solver needs a prior that is one of several"):
        Mixture()(Poisson(), GaussianField(0.0, 1.0, 0.3), observation)


def spikes_read(prior, noise):
    """Likelihood of readings of a coefficient of the prior at all nodes, and its scene."""
    scene = prior.draw_scenes(1, seeded(2))
    points, flat = GRID.points(), lambda scenes: prior.render(scenes, GRID).flatten(1)
    variance = torch.full((len(points),), noise**2, dtype=torch.float64)
    return NormalReadings(flat, flat(scene)[0], variance), scene


def test_fitted_scenes_are_modes_of_the_posterior_with_laplaces_weights():
    prior = Spikes(fewest=1, most=1, radius=(0.15, 0.4))  # as wide as several cells
    likelihood, truth = spikes_read(prior, 0.1)
    drawn = prior.draw_scenes(400, seeded(3))
    fitted = fit_scenes(prior, [likelihood], drawn)
    best = int(fitted.values[:, 0].argmax())
    assert float(fitted.values[best]) > -1e-3  # the truth has 0, the draws are far from it
    assert float(likelihood(drawn).max()) < -1
    torch.testing.assert_close(fitted.scenes.objects[best], truth.objects[0], rtol=0, atol=2e-2)
    assert bool((fitted.values[:, 0] >= likelihood(drawn)).all())
    # The integral of the likelihood over the prior, by draws from a normal about the mode
    powers = torch.tensor([1.0], dtype=torch.float64)
    precision = fitted.curvature[best] + 12 * torch.eye(4, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(
        fitted.scenes.objects[best].flatten(), precision_matrix=precision / 2
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        numbers = normal.sample((20_000,))
    inside = ((numbers >= 0) & (numbers <= 1)).all(dim=1)
    objects = numbers[inside][:, None]
    scenes = Scenes(torch.zeros(len(objects), 0).double(), objects, torch.ones(len(objects)).long())
    weights = likelihood(scenes) - normal.log_prob(numbers[inside])
    integral = float(weights.logsumexp(dim=0)) - math.log(len(numbers))
    assert float(fitted.log_weights(powers)[best]) == pytest.approx(integral, abs=0.5)


def test_past_scenes_give_differences_of_as_many_objects_in_one_order():
    prior = Channels()
    archive, generator = SceneArchive(prior, 3, seeded()), seeded(1)
    chain = torch.arange(3)
    assert not bool(archive.differences(torch.full((3,), 2), chain)[2].any())
    for _ in range(12):
        archive.keep(prior.draw_scenes(3, generator))
    for count in range(2, 5):
        number = torch.full((3,), count)
        common, objects, found = archive.differences(number, chain)
        known = (archive.count[:, :12] == count).sum(dim=1) > 1
        assert torch.equal(found, known)
        assert float(common.abs().max()) <= 0.5 and float(objects[..., 4].abs().max()) <= 0.5
    first = archive.objects[:, :12, :2, 0]  # every channel scene has two at least
    assert bool((first.diff(dim=-1) >= 0).all())


def test_errors_of_the_coarse_grid_are_those_of_the_scenes_it_is_given():
    prior = Inclusions(fewest=1, most=3)
    problem, _, observation = readings_of(prior, 8, 0.05, physics=Darcy(), channel=1)
    target = SceneLikelihood(problem.physics, prior, observation, 1e-6, 5, seeded())
    coarse, exact = target.log_likelihoods
    scenes = prior.draw_scenes(1, seeded(5)).repeated(2000)  # one scene: errors without variance
    assert target.learn_errors(scenes)
    torch.testing.assert_close(coarse.of(coarse.read(scenes)), exact(scenes), rtol=0.1, atol=0.05)
    alone = SceneLikelihood(Poisson(), Spikes(), observation, 1e-6, 5, seeded())
    assert not alone.learn_errors(Spikes().draw_scenes(2, seeded()))


def test_promising_scenes_of_a_pool_are_the_best_and_others_by_their_weights():
    prior = Spikes(fewest=1, most=1, radius=(0.15, 0.4))
    likelihood, _ = spikes_read(prior, 0.1)
    pool = ScenePool(prior, likelihood, 2, 1000, seeded())
    assert pool.suffices(0.0) and not pool.suffices(1.0)
    weights = (pool.lowest_power() * pool.values).softmax(dim=1)
    assert 45 < float((1 / weights.square().sum(dim=1)).min()) < 55
    values = likelihood(pool.promising(20)).reshape(2, 40)
    torch.testing.assert_close(values[:, :20], pool.values.topk(20, dim=1).values)
    assert values.unique().numel() == 80
    # The others are far above the prior's draws, as those by weight are
    usual = (weights * pool.values).sum(dim=1)
    assert bool((values[:, 20:].mean(dim=1) > 3 * usual).all())
    assert bool((values[:, 20:].mean(dim=1) > 0.5 * pool.values.mean(dim=1)).all())
