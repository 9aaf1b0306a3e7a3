"""The level set for a medium whose phases have different shares: the threshold is not zero."""

import pytest
import torch
from helpers import seeded, vector

from pdeinv import GaussianField, Grid, Observation, Problem, TwoPhase
from pdeinv.datasets import Darcy
from pdeinv.solvers import LevelSet

NODES = [(3, 2), (5, 8), (9, 6), (9, 9)]  # (x, y), of 12 along each side
FIELD = GaussianField(0.0, 2.0, length=0.4, smoothness=2.5)


def readings(values, noise):
    count = len(values)
    return Observation(
        Grid(12),
        vector(*NODES[:count]) / 11,
        torch.zeros(count, dtype=torch.long),
        vector(*values),
        torch.full((count,), noise, dtype=torch.float64),
        (0, 1),
    )


@pytest.mark.parametrize(
    ("share", "values", "noise"),
    [(0.2, (3.0, 1.0, 3.0, 1.0), 0.0), (0.7, (3.5, -0.5, 2.0), 1.5)],
)
def test_readings_of_the_coefficient_give_its_conditional_distribution(share, values, noise):
    prior = TwoPhase(FIELD, low=1.0, high=3.0, share=share)
    observation = readings(values, noise)
    ours = LevelSet(draws=800)(Darcy(), prior, observation, generator=seeded(1))

    a = prior.sample(20_000, observation.grid, seeded(2))[:, 0]
    y = torch.stack([a[:, j, i] for i, j in NODES[: len(values)]], dim=1)
    variance = noise**2 + 0.02**2
    weight = (-(observation.values - y).square().sum(dim=1) / (2 * variance)).exp()
    share_high = (weight[:, None, None] * (a == 3.0)).sum(dim=0) / weight.sum()
    effective = float(weight.sum().square() / weight.square().sum())
    count = 1 / (1 / effective + 1 / min(800, ours.record["effective_sample_size"]))
    assert count > 150
    error = 4 * (share_high * (1 - share_high) / count).sqrt() + 1 / count
    assert bool(((ours.probability - share_high).abs() < error).all())
    # The prior's share, and that of the signs of g, are elsewhere
    assert float((share_high - share).abs().max()) > 0.1
    assert float((ours.mean[0] - 1 - 2 * ours.probability).abs().max()) < 1e-12


def test_readings_of_the_solution_are_met_for_any_share():
    problem = Problem(Darcy(), TwoPhase(FIELD, low=1.0, high=3.0, share=0.2))
    grid = Grid(24)
    truth = problem.sample(1, grid, seeded(3))
    points = torch.rand(40, 2, dtype=torch.float64, generator=seeded(4))
    channel = torch.ones(40, dtype=torch.long)
    nothing = torch.zeros(40, dtype=torch.float64)
    observation = Observation(grid, points, channel, nothing, nothing, (0, 1))
    values = observation(truth)[0]
    std = torch.full_like(values, 0.01 * float(values.std()))
    observation = Observation(grid, points, channel, values, std, (0, 1))
    found = LevelSet(ensemble=4, stages="brief")(
        problem.physics, problem.prior, observation, generator=seeded(5)
    )
    wrong = ((found.probability > 0.5) != (truth[0, 0] == 3.0)).double().mean()
    always_low = (truth[0, 0] == 3.0).double().mean()
    assert float(wrong) < 0.6 * float(always_low)
    assert found.record["reduced_chi_squared"] < 2
