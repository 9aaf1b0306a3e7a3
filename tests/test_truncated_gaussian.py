"""Draws of Gaussian vectors with known signs: closed forms where there are any."""

import math
from itertools import product

import pytest
import torch
from helpers import normal, seeded, vector

from pdeinv.solvers.truncated_gaussian import sample_given_signs


def check_mean(draws, expected):
    """The mean of draws (chains, draws, ...), within standard errors that the independent chains
    tell."""
    means = draws.double().mean(dim=1)
    error = means.std(dim=0) / len(means) ** 0.5
    assert bool(((means.mean(dim=0) - expected).abs() < 4 * error).all()), (
        means.mean(dim=0),
        expected,
        error,
    )


def pair(rho):
    return vector([1.0, rho], [rho, 1.0]), 1 / 4 + math.asin(rho) / (2 * math.pi)


@pytest.mark.parametrize("rho", [-0.7, 0.0, 0.9])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_pair_of_known_signs_has_its_mean_in_closed_form(rho, sign):
    covariance, share = pair(rho)
    draws = sample_given_signs(covariance, sign * vector(1e4, 1e4), 400, 40, seeded(1))
    assert draws.shape == (400, 40, 2) and bool((sign * draws > 0).all())
    check_mean(sign * draws, (1 + rho) / (2 * math.sqrt(2 * math.pi) * share))


@pytest.mark.parametrize("ratio", [0.5, -1.5, 4.0])
def test_a_doubtful_sign_weighs_the_two_halves_of_a_gaussian(ratio):
    draws = sample_given_signs(vector([4.0]), vector(ratio), 400, 60, seeded(2))
    check_mean(draws[..., 0], 2 * math.tanh(ratio / 2) * math.sqrt(2 / math.pi))
    check_mean(draws[..., 0].square(), 4.0)  # whatever the weights


@pytest.mark.parametrize("ratios", [(1.0, -0.7), (2.0, 0.5), (-1.0, 0.0)])
def test_doubtful_signs_occur_as_often_as_their_weights_say(ratios):
    covariance, same = pair(0.6)
    draws = sample_given_signs(covariance, vector(*ratios), 800, 60, seeded(3))
    patterns = list(product([True, False], repeat=2))
    weight = vector(
        *(
            (same if a == b else 0.5 - same) * math.exp(a * ratios[0] + b * ratios[1])
            for a, b in patterns
        )
    )
    seen = torch.stack([((draws > 0) == torch.tensor(p)).all(dim=2) for p in patterns], dim=2)
    check_mean(seen, weight / weight.sum())


def test_without_a_word_on_the_signs_the_gaussian_itself_is_drawn():
    root = normal(3, 3)
    covariance = root @ root.T
    draws = sample_given_signs(covariance, torch.zeros(3, dtype=torch.float64), 400, 40, seeded(4))
    check_mean(draws, 0.0)
    check_mean(draws[..., :, None] * draws[..., None, :], covariance)


def test_equal_sensors_and_equal_seeds():
    covariance, ratios = pair(0.3)[0][:, [0, 0, 1]][[0, 0, 1]], vector(1e4, 1e4, -2.0)
    first, again, other = (
        sample_given_signs(covariance, ratios, 8, 20, seeded(s)) for s in (5, 5, 6)
    )
    assert torch.equal(first, again) and not torch.allclose(first, other)
    assert torch.allclose(first[..., 0], first[..., 1], atol=1e-3) and first[..., 0].std() > 0.1
