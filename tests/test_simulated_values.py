"""Values of phases from simulations."""

import dataclasses

import pytest
import torch
from helpers import normal, seeded, vector
from test_unknown_phases import FIELD, HIGH, LOW, UNKNOWN, instance

from pdeinv import Grid, Observation, Problem, TwoPhase
from pdeinv.datasets import Darcy
from pdeinv.errors import NumericalError
from pdeinv.solvers import LevelSet, annealing, simulated_values
from pdeinv.solvers.annealing import values_given, values_of
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.phase_readings import linearise_phases
from pdeinv.solvers.phase_values import PhaseValues
from pdeinv.solvers.simulated_values import World, normal_given
from pdeinv.unknown import Unknown


def linear(k):
    """Numbers, estimates that are linear in them with correlated errors, and the exact posterior
    of the numbers given the estimates of 0."""
    slope, errors = normal(3, 2, seed=1), normal(3, 3, seed=2)
    z = normal(k, 2, seed=3)
    estimates = 0.7 + z @ slope.T + normal(k, 3, seed=4) @ errors.T
    weighted = slope.T @ torch.linalg.inv(errors @ errors.T)
    covariance = torch.linalg.inv(weighted @ slope + torch.eye(2, dtype=torch.float64))
    own = torch.zeros(3, dtype=torch.float64)
    return z, estimates, own, covariance @ weighted @ (own - 0.7), covariance


def test_the_posterior_of_linear_estimates_is_the_exact_one():
    *given, mean, covariance = linear(20_000)
    found = normal_given(*given)
    assert float((found.z - mean).abs().max()) < 0.03
    assert torch.allclose(found.root @ found.root.T, covariance, rtol=0.05, atol=0.01)


def test_few_simulations_widen_the_posterior():
    *given, _, covariance = linear(12)
    few = normal_given(*given)
    assert float(torch.linalg.det(few.root)) ** 2 > float(torch.linalg.det(covariance))


def test_estimates_without_information_leave_what_was_stated():
    nothing = torch.zeros(40, 4, dtype=torch.float64)
    found = normal_given(normal(40, 2, seed=6), nothing, nothing[0])
    assert torch.equal(found.z, torch.zeros(2, dtype=torch.float64))
    assert torch.allclose(found.root @ found.root.T, torch.eye(2, dtype=torch.float64))


def test_readings_without_information_leave_the_law_of_the_values(monkeypatch):
    monkeypatch.setattr(simulated_values, "SIMULATIONS", 16)
    grid, points = Grid(16), torch.rand(3, 2, dtype=torch.float64, generator=seeded(6))
    points[:, 0] = 0.0  # a side of which the pressure is stated
    values, channel = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.long)
    observation = Observation(grid, points, channel, values, values + 0.01, (0, 1))
    problem = Problem(Darcy(), UNKNOWN)
    world = World(problem, observation)
    law = values_given(LatentMap(problem, observation), [world], seeded(7), without_bar)
    assert float(law.mean.abs().max()) < 0.01
    assert torch.allclose(law.root @ law.root.T, torch.eye(2, dtype=torch.float64), atol=0.01)


def test_media_beyond_the_range_of_the_numbers_have_no_solution():
    observation = instance()[1]
    problem = Problem(Darcy(), TwoPhase(FIELD, low=(1e-29, 1.0), high=(1.0, 1e29)))
    values = values_of(problem, observation)
    z = torch.tensor([[1.9, -1.9], [-6.0, -1.9], [1.9, 6.0]], dtype=torch.float64)
    centred = values.narrowed(z[0], torch.eye(2, dtype=torch.float64))
    added = simulated_values._added(centred, z - z[0], World(problem, observation), seeded(8))
    assert added.isfinite().all(dim=1).tolist() == [True, False, False]


def without_bar(items, **_):
    return items


def test_what_the_estimates_are_off_by_does_not_matter():
    z, estimates, own, _, _ = linear(200)
    mixing = torch.eye(3, dtype=torch.float64) + 0.2 * normal(3, 3, seed=5)
    bias = torch.tensor([5.0, -2.0, 0.3], dtype=torch.float64)
    plain = normal_given(z, estimates, own)
    biased = normal_given(z, estimates @ mixing.T + bias, mixing @ own + bias)
    assert torch.allclose(plain.z, biased.z, atol=1e-6) and float(plain.z.norm()) > 0.1
    assert torch.allclose(plain.root @ plain.root.T, biased.root @ biased.root.T, atol=1e-6)


def test_the_law_holds_the_truth_and_narrows_what_is_stated():
    observation, problem = instance()[1], Problem(Darcy(), TwoPhase(FIELD))
    forward = LatentMap(problem, observation)
    law = values_given(forward, [World(problem, observation)], seeded(3), without_bar)
    (low, high), before = problem.coefficient_prior.phases, values_of(problem, observation)
    truth = torch.tensor([low.white(LOW), high.white(HIGH)], dtype=torch.float64)
    away = torch.linalg.solve(law.root, truth - law.mean)
    assert float(away.square().sum()) < 9.2  # 99 per cent
    assert float(torch.linalg.det(law.root).abs()) < 0.5 * float(torch.linalg.det(before.root))


def stand_in_of(values, forward):
    seen = forward.observing(forward.observation.subset(forward.observation.channel >= 1))
    return values.narrowed(*linearise_phases(seen, values).most_likely(seen.problem))


def test_media_without_solutions_leave_the_law_of_the_stand_in_with_a_warning(monkeypatch):
    def none(function, a, shape):
        return torch.full((len(a), *shape), torch.inf, dtype=torch.float64), "none"

    monkeypatch.setattr(simulated_values, "solved_or_infinite", none)
    observation, problem = instance()[1], Problem(Darcy(), UNKNOWN)
    forward, world = LatentMap(problem, observation), World(problem, observation)
    with pytest.warns(UserWarning, match="must be found by simulations, .* 40 of 40 have") as given:
        law = values_given(forward, [world], seeded(4), without_bar)
    expected = stand_in_of(values_of(problem, observation), forward)
    assert len(given) == 1
    assert torch.equal(law.mean, expected.mean) and torch.equal(law.root, expected.root)


def test_a_solve_that_fails_in_a_later_round_leaves_the_law_of_the_one_before(monkeypatch):
    observation, problem = instance()[1], Problem(Darcy(), UNKNOWN)
    forward, world = LatentMap(problem, observation), World(problem, observation)
    values, rounds, simulated = values_of(problem, observation), [], simulated_values._simulated

    def once(tried, *given):
        rounds.append(tried)
        if len(rounds) == 2:
            raise NumericalError("the solve must end, and did not; wait")
        return simulated(tried, *given)

    monkeypatch.setattr(simulated_values, "_simulated", once)
    monkeypatch.setattr(simulated_values, "SIMULATIONS", 16)
    monkeypatch.setattr(simulated_values, "_FAR", 0.0)  # so that there is another round
    with pytest.warns(UserWarning, match="since the solve must end"):
        law = values_given(forward, [world], seeded(4), without_bar)
    stand_in = stand_in_of(values, forward)
    assert len(rounds) == 2 and not torch.equal(law.mean, stand_in.mean)
    assert torch.allclose(rounds[1].mean, law.mean)
    assert torch.allclose(rounds[1].root, simulated_values._WIDENED * law.root)


def test_no_medium_is_simulated_with_low_above_high(monkeypatch):
    prior = TwoPhase(FIELD, low=(1.0, 9.0), high=(3.0, 12.0))
    values, drawn = PhaseValues.of(Problem(Darcy(), prior)), []

    def added(values, z, world, generator):
        return torch.zeros(len(z), 3, dtype=torch.float64)

    monkeypatch.setattr(simulated_values, "_added", added)
    world = World(Problem(Darcy(), prior), instance()[1])
    for seed in range(5):
        z, _ = simulated_values._simulated(values, [world], seeded(seed))
        low, high = values.at(z).T
        assert len(z) == simulated_values.SIMULATIONS and bool((low < high).all())
        drawn.append(z)
    first = normal(simulated_values.SIMULATIONS, 2, seed=0)
    low, high = values.at(first).T
    assert bool((low >= high).any())
    assert torch.equal(drawn[0][low < high], first[low < high])
    crossed = values.narrowed(vector(8.0, -8.0), 0.1 * torch.eye(2, dtype=torch.float64))
    with pytest.raises(NumericalError, match="a low below their high, and 40 of 40 have not"):
        simulated_values._simulated(crossed, [world], seeded(1))


def test_the_law_is_found_once_for_all_points_of_other_numbers(monkeypatch):
    seen = []

    def found(forward, values, worlds, *_):
        seen.append([problem.coefficient_prior.numbers["length"] for problem, *_ in worlds])
        return values.narrowed(vector(0.1, 0.2), 0.1 * torch.eye(2, dtype=torch.float64))

    monkeypatch.setattr(annealing, "infer_values", found)
    prior = TwoPhase(
        dataclasses.replace(FIELD, length=Unknown(0.05, 1.5)), UNKNOWN.low, UNKNOWN.high
    )
    result = LevelSet(ensemble=4, stages="brief")(
        Darcy(), prior, instance()[1], n_samples=4, generator=seeded(5)
    )
    assert len(seen) == 1 and len(set(seen[0])) == len(seen[0]) > 1
    assert set(result.parameters.names) == {"length", "low", "high"}
    where = [result.parameters.names.index(name) for name in ("low", "high")]
    expected = [UNKNOWN.low.at(0.1), UNKNOWN.high.at(0.2)]
    assert result.parameters.mean[where].tolist() == pytest.approx(expected, rel=0.05)


def test_worlds_have_simulations_by_their_weight(monkeypatch):
    drawn = []

    def added(values, z, world, generator):
        drawn.extend([world.problem.coefficient_prior.numbers["length"]] * len(z))
        return torch.zeros(len(z), 3, dtype=torch.float64)

    monkeypatch.setattr(simulated_values, "_added", added)
    worlds = [
        World(Problem(Darcy(), dataclasses.replace(UNKNOWN, field=field)), instance()[1], weight)
        for length, weight in ((0.1, 0.1), (0.2, 0.7), (0.3, 0.2))
        for field in [dataclasses.replace(FIELD, length=length)]
    ]
    simulated_values._simulated(PhaseValues.of(worlds[0].problem), worlds, seeded(1))
    assert [drawn.count(length) for length in (0.1, 0.2, 0.3)] == [4, 28, 8]


def test_members_that_leave_a_law_have_one_of_their_own():
    values = PhaseValues.of(Problem(Darcy(), UNKNOWN))
    near, far = 0.3 * normal(50, 2, seed=1), 0.3 * normal(50, 2, seed=1) + vector(4.0, -1.0)
    assert values.moved(near) is values
    own = values.moved(far)
    assert torch.allclose(own.mean, far.mean(dim=0)) and torch.allclose(
        own.root @ own.root.T, torch.cov(far.T)
    )
