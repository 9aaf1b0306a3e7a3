"""Weights of randomised maximum likelihood members, against posteriors that are known."""

import pytest
import torch
from helpers import observe, seeded, with_modes

from pdeinv import LogNormal
from pdeinv.datasets import Darcy, Poisson, Problem
from pdeinv.solvers import GaussNewton
from pdeinv.solvers.member_weights import choose, effective, member_weights
from pdeinv.solvers.members import draw_around_mode
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem

ONE_NUMBER = Problem(Darcy(), LogNormal(1.0, log_std=0.01, length=0.3, log_median_std=1.0))
"""A medium of a constant logarithm z, all but exactly: the pressure is that of 1 times exp(-z)."""
GRID = ONE_NUMBER.physics.grid(16)


def readings(problem, seed, noise, m=6):
    points = 0.2 + 0.6 * torch.rand(m, 2, dtype=torch.float64, generator=seeded(3))
    _, o = observe(problem, GRID, points, 1, noise=noise, seed=seed)
    return o, ModeSearch(WhitenedProblem(problem, o), 10, 3, 0.1, False)


def moments_of_the_number(o):
    """Return the posterior mean and standard deviation of z, by quadrature."""
    one = torch.ones(1, 1, *GRID.shape, dtype=torch.float64)
    unit = o(torch.cat([one, Darcy().solve(one)], dim=1))[0]
    z = torch.linspace(-5, 5, 2001, dtype=torch.float64)
    misfit = ((o.values - unit * (-z).exp()[:, None]) / o.noise_std).square().sum(dim=1)
    density = (-(z.square() + misfit) / 2).softmax(dim=0)
    mean = density @ z
    return float(mean), float((density @ (z - mean).square()).sqrt())


@pytest.mark.parametrize("seed", [0, 4])
def test_weighted_members_have_the_moments_of_the_posterior(seed):
    o, search = readings(ONE_NUMBER, seed, noise=1)
    drawn = draw_around_mode(search, search(1e-13), 200, seeded(1), False, samples=80)
    z = drawn.states[:, 0].log().mean(dim=(1, 2))
    mean, std = moments_of_the_number(o)
    off = float(z.mean()) - mean
    assert off < -0.15 * std  # that is the law of the members
    assert float(drawn.mean(z)) == pytest.approx(mean, abs=0.08 * std)
    assert float(drawn.std(z)) == pytest.approx(std, rel=0.1)
    assert float(z[:80].mean()) == pytest.approx(mean, abs=0.15 * std)


def test_members_of_linear_readings_have_equal_weights():
    problem = Problem(with_modes(Poisson(), 8))
    _, o = observe(problem, GRID, torch.rand(9, 2, generator=seeded(1)), 1, noise=0.1)
    search = ModeSearch(WhitenedProblem(problem, o), 10, 3, 0.1, False)
    mode = search(1e-13)
    drawn = draw_around_mode(search, mode, 8, seeded(), False)
    assert drawn.weights is None
    weights = member_weights(search, mode, drawn.xi, o(drawn.states))
    torch.testing.assert_close(weights, torch.full((8,), 1 / 8, dtype=torch.float64))


def test_a_quarter_of_the_members_is_effective_whatever_their_evidence(monkeypatch):
    _, search = readings(ONE_NUMBER, 0, noise=1.0)
    mode = search(1e-13)
    logarithms = iter([0.0, -torch.inf, *(-100.0 * k for k in range(1, 15))])
    monkeypatch.setattr(
        "pdeinv.solvers.member_weights._log_weight", lambda *given: next(logarithms)
    )
    weights = member_weights(search, mode, mode.xi.expand(16, -1), mode.values.expand(16, -1))
    assert effective(weights) == pytest.approx(4.0, rel=1e-6)
    assert weights[1] == 0 and weights.argmax() == 0
    assert float(weights.sum()) == pytest.approx(1.0)


def test_members_are_chosen_in_proportion_to_their_weights_and_once_at_most():
    weights = torch.tensor([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.0], dtype=torch.float64)
    generator, counts = seeded(), torch.zeros(8)
    for _ in range(4000):
        chosen = choose(weights, 3, generator)
        assert len(chosen.unique()) == 3
        counts[chosen] += 1
    # 3 times the weights are 1.2, ..., so that the first is always there, and 2 others of 0.6
    expected = torch.tensor([1.0, 2 / 3, 1 / 3, 1 / 3, 1 / 3, 1 / 6, 1 / 6, 0.0])
    torch.testing.assert_close(counts / 4000, expected, atol=0.03, rtol=0)
    assert sorted(choose(weights[:7], 7, generator).tolist()) == list(range(7))


def test_a_result_states_how_many_members_are_effective():
    o, _ = readings(ONE_NUMBER, 0, noise=3)
    found = GaussNewton(ensemble=8)(ONE_NUMBER.physics, ONE_NUMBER.prior, o, n_samples=6)
    assert 3 <= found.record["effective_members"] <= 12
    assert len(found.samples) == 6 and not found.pairs
