"""Media of two phases whose values, length or share are unknown."""

import dataclasses
from functools import cache

import pytest
import torch
from helpers import normal, seeded, vector

from pdeinv import GaussianField, Grid, InputError, Observation, Problem, TwoPhase
from pdeinv.datasets import Darcy
from pdeinv.datasets.sides import Value
from pdeinv.solvers import LevelSet
from pdeinv.solvers.annealing import values_of
from pdeinv.solvers.indicator import indicator_covariance
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.phase_readings import linearise_phases
from pdeinv.solvers.phase_values import PhaseValues
from pdeinv.solvers.signs import Signs
from pdeinv.solvers.smoothed_problem import SmoothedProblem
from pdeinv.solvers.whitening import Whitening
from pdeinv.unknown import Unknown

FIELD = GaussianField(0.0, 1.0, length=0.3, smoothness=2.5)
LOW, HIGH = 2.0, 20.0
RIGHT = TwoPhase(FIELD, low=LOW, high=HIGH)
UNKNOWN = TwoPhase(FIELD, low=(0.2, 8.0), high=(4.0, 200.0))
BRIEF = LevelSet(ensemble=6, stages="brief")


def read(truth, grid, points, channel, noise=0.0):
    zeros = torch.zeros(len(channel), dtype=torch.float64)
    observation = Observation(grid, points, channel, zeros, zeros, (0, 1))
    values = observation(truth)[0]
    pressures = values[channel == 1]
    std = torch.where(channel == 1, noise * pressures.std() if len(pressures) else 0.0, zeros)
    values = values + std * normal(len(channel), seed=4)
    return dataclasses.replace(observation, values=values, noise_std=std)


@cache
def instance(n=16, m=50):
    """A truth and its pressures."""
    grid = Grid(n)
    truth = Problem(Darcy(), RIGHT).sample(1, grid, seeded(3))
    points = torch.rand(m, 2, dtype=torch.float64, generator=seeded(4))
    return truth, read(truth, grid, points, torch.ones(m, dtype=torch.long), noise=0.01)


@cache
def solved(prior):
    return BRIEF(Darcy(), prior, instance()[1], n_samples=6, generator=seeded(5))


def wrong(found):
    return float(((found.probability > 0.5) != (instance()[0][0, 0] == HIGH)).double().mean())


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_the_covariance_of_the_indicator_is_that_of_draws(share):
    grid = Grid(6, extent=(0, 2, 0, 1))
    shape = dataclasses.replace(FIELD, anisotropy=0.4, angle=30.0)
    prior = TwoPhase(shape, low=0.0, high=1.0, share=share)
    latent = prior.latent(grid.domain, grid.kind)
    covariance, mean = indicator_covariance(prior, latent, grid)
    draws = prior.sample(5_000, grid, seeded(1)).flatten(1)
    assert mean == pytest.approx(share) and float((draws.mean(dim=0) - share).abs().max()) < 0.04
    assert float((torch.cov(draws.T) - covariance).abs().max()) < 0.02


def test_values_follow_their_readings():
    values = PhaseValues.of(Problem(Darcy(), UNKNOWN))
    read = vector(2.1, 19.0, 1.9, 21.0, 20.0)
    given = values.given(read, torch.full_like(read, 0.5), 0.01)
    middle = given.at(torch.zeros(1, 2, dtype=torch.float64))[0]
    assert middle.tolist() == pytest.approx([2.0, 20.0], rel=0.05)
    spread = (given.at(torch.ones(1, 2, dtype=torch.float64))[0] - middle).tolist()
    expected = [0.5 / 2**0.5, 0.5 / 3**0.5]  # of means of the readings of either phase
    assert spread == pytest.approx(expected, rel=0.15)


def test_one_reading_belongs_to_the_phase_that_it_is_probable_for():
    values = PhaseValues.of(Problem(Darcy(), UNKNOWN))
    for reading, i in ((0.5, 0), (100.0, 1)):
        given = values.given(vector(reading), vector(0.0), 0.01)
        found = given.at(torch.zeros(1, 2, dtype=torch.float64))[0]
        assert float(found[i]) == pytest.approx(reading, rel=0.01)
        other = values.at(torch.zeros(1, 2, dtype=torch.float64))[0, 1 - i]
        assert float(found[1 - i]) == pytest.approx(float(other))


def test_a_step_of_a_member_solves_the_problem_linearised_by_differences():
    observation, std = instance(12, 10)[1], 0.3
    problem = Problem(Darcy(method="direct"), UNKNOWN)
    values, size = PhaseValues.of(problem), problem.latent.size
    known = LatentMap(problem.at(values.middle), observation)
    moved = known.problem.latent.resolved(observation.grid).flatten().nonzero()[:, 0]
    moved = torch.cat([moved, size + torch.arange(2)])
    noise = std * torch.ones(10, dtype=torch.float64) * observation.values.std()
    centre, xi = (0.5 * normal(1, size + 2, seed=s) for s in (1, 2))
    stage = SmoothedProblem(
        *(known, known, Signs(known.problem, observation), 0.5),
        *(Whitening(noise, observation.shared), centre, normal(1, 10, seed=3)),
        *(torch.eye(10, dtype=torch.float64), values),
    )
    reached = stage.objective(xi, torch.zeros(1, dtype=torch.long))
    system = stage._linearised(xi, reached)[0]
    found = stage._steps(xi, reached, [system])[0]
    step, columns = 1e-5, []
    for i in moved[-12:].tolist():  # waves, and the two values
        ahead, behind = xi.clone(), xi.clone()
        ahead[0, i] += step
        behind[0, i] -= step
        both = stage.objective(torch.cat([ahead, behind]), torch.zeros(2, dtype=torch.long))
        columns.append((both.residual[1] - both.residual[0]) / (2 * step))
    expected = torch.stack(columns, dim=1)
    assert float((system.jacobian[:, -12:] - expected).norm() / expected.norm()) < 1e-3
    assert len(found) == len(moved) and bool(found.isfinite().all())


def stage_of():
    """Return a stage of three members, and their start."""
    observation = instance(12, 10)[1]
    problem = Problem(Darcy(method="direct"), UNKNOWN)
    values, size = PhaseValues.of(problem), problem.latent.size
    known = LatentMap(problem.at(values.middle), observation)
    noise = 100.0 * observation.values.std() * torch.ones(10, dtype=torch.float64)
    xi = torch.zeros(3, size + 2, dtype=torch.float64)
    stage = SmoothedProblem(
        *(known, known, Signs(known.problem, observation), 0.5),
        *(Whitening(noise, observation.shared), torch.zeros_like(xi), normal(3, 10, seed=3)),
        *(torch.eye(10, dtype=torch.float64), values),
    )
    return stage, xi


def test_an_unstable_member_does_not_end_the_others():
    stage, xi = stage_of()
    xi[1, -2:] = vector(-200.0, 200.0)
    value = stage.objective(xi, torch.arange(3)).value
    assert value.isfinite().tolist() == [True, False, True]
    found, reached = stage.minimise(xi, 2, 1)
    assert bool(found.isfinite().all()) and bool((reached[[0, 2]] < value[[0, 2]]).all())
    assert float(reached[1]) < float("inf")  # by steps to its prior mean
    assert "range" in stage.reason or "residual" in stage.reason


def test_steps_to_where_a_solve_fails_are_not_taken():
    stage, xi = stage_of()
    start = stage.objective(xi, torch.arange(3)).value
    steps = torch.zeros(3, len(stage.moved), dtype=torch.float64)
    steps[:, -2:] = vector(-1e6, 1e6)
    reached = stage.objective(xi, torch.arange(3))
    stage._move(xi, reached, steps)
    assert float(xi.abs().max()) == 0 and torch.equal(reached.value, start)


def test_values_are_found_and_readings_met():
    found = solved(UNKNOWN)
    names = found.parameters.names
    assert names == ("low", "high") and found.parameters.samples.shape == (6, 2)
    low, high = found.parameters.mean.tolist()
    assert LOW / 1.5 < low < 1.5 * LOW and HIGH / 2 < high < 2 * HIGH
    assert found.record["reduced_chi_squared"] < 4
    for sample, values in zip(found.samples, found.parameters.samples, strict=True):
        assert set(sample[0].unique().tolist()) <= set(values.tolist())
    assert bool(((found.probability >= 0) & (found.probability <= 1)).all())


def test_intervals_of_values_are_within_their_laws():
    values = PhaseValues.of(Problem(Darcy(), UNKNOWN))
    members = values.at(normal(4000, 2, seed=2))
    low, high = values.parameters(members, 4, "1").interval
    for end, quantile in ((low, 0.05), (high, 0.95)):
        torch.testing.assert_close(end, members.quantile(quantile, dim=0), rtol=0.2, atol=0)
    assert float((members.mean(dim=0) - 1.645 * members.std(dim=0)).min()) < 0 < float(low.min())


def test_values_of_which_nothing_is_stated_cost_little():
    found, right = solved(TwoPhase(FIELD)), solved(RIGHT)
    mistaken = solved(TwoPhase(FIELD, low=3.0, high=12.0))
    assert wrong(found) < wrong(right) + 0.12 < 0.3
    assert wrong(mistaken) > wrong(found) + 0.05


def test_exact_readings_of_the_coefficient_state_its_values():
    truth, pressures = instance()
    points = torch.cartesian_prod(*[torch.arange(0, 16, 5).double() / 15] * 2)
    read_values = read(truth, pressures.grid, points, torch.zeros(len(points), dtype=torch.long))
    found = BRIEF(Darcy(), UNKNOWN, read_values, n_samples=16, generator=seeded(6))
    assert found.parameters.mean.tolist() == pytest.approx([LOW, HIGH], rel=0.02)
    assert float(found.parameters.std[1]) < 0.02 * HIGH


def test_the_length_is_inferred():
    prior = TwoPhase(dataclasses.replace(FIELD, length=Unknown(0.05, 1.5)), low=LOW, high=HIGH)
    solver = dataclasses.replace(BRIEF, ensemble=4)
    found = solver(Darcy(), prior, instance()[1], n_samples=4, generator=seeded(7))
    assert found.parameters.names == ("length",)
    low, high = (float(end[0]) for end in found.parameters.interval)
    assert low < 0.3 < high and high / low < 20
    assert found.probability is not None and wrong(found) < wrong(solved(RIGHT)) + 0.1


def test_the_stand_in_prefers_the_right_values():
    observation = instance()[1]
    problem = Problem(Darcy(), UNKNOWN)
    values = values_of(problem, observation)
    z = linearise_phases(LatentMap(problem, observation), values).most_likely(problem).z
    low, high = values.at(z[None])[0].tolist()
    assert LOW / 2 < low < 2 * LOW and HIGH / 3 < high < 3 * HIGH


def test_draws_have_values_of_their_own_in_rising_order():
    prior = TwoPhase(FIELD, low=(1.0, 10.0), high=(2.0, 20.0))
    draws = prior.sample(12, Grid(8), seeded(1)).flatten(1)
    assert len(draws.amax(dim=1).unique()) > 10
    for seed in range(8):
        drawn = prior.drawn(seeded(seed))
        assert drawn.low < drawn.high


def test_bounds_are_those_of_the_ranges():
    low, high = UNKNOWN.bounds
    assert low < 0.2 and high > 200 and TwoPhase(FIELD).positive
    assert TwoPhase(FIELD, low=1.0, high=Unknown(2.0, 9.0)).bounds[0] == 1.0


def test_values_in_falling_order_are_refused():
    with pytest.raises(InputError, match="low must be below high"):
        TwoPhase(FIELD, low=(5.0, 6.0), high=(1.0, 2.0))


def test_unknown_numbers_of_the_physics_are_refused():
    physics = Darcy(boundary={"left": Value(Unknown(1.0, 2.0))})
    assert [number.role for number in Problem(physics, RIGHT).unknowns] == ["physics"]
    with pytest.raises(InputError, match="must be known for the level-set solver"):
        BRIEF(physics, RIGHT, instance()[1])
