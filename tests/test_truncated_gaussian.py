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


@pytest.mark.parametrize("threshold", [0.8, -1.5])
@pytest.mark.parametrize("ratio", [1e4, -1e4, 1.0])
def test_a_number_beside_a_threshold_has_its_moments_in_closed_form(threshold, ratio):
    draws = sample_given_signs(
        vector([4.0]), vector(ratio), 400, 60, seeded(2), threshold=threshold
    )[..., 0]
    density = math.exp(-(threshold**2) / 8) / math.sqrt(2 * math.pi)
    above = 0.5 * math.erfc(threshold / 2 / math.sqrt(2))
    high, low = (math.exp(min(s * ratio, 0.0)) for s in (1, -1))
    total = high * above + low * (1 - above)
    if abs(ratio) > 100:
        assert bool(((draws >= threshold) == (ratio > 0)).all())
    else:
        check_mean(draws >= threshold, high * above / total)
    check_mean(draws, (high - low) * 2 * density / total)
    check_mean(draws.square(), 4 + (high - low) * 2 * threshold * density / total)


@pytest.mark.parametrize("threshold", [1e-7, 1.2])
def test_numbers_beside_a_threshold_depend_on_one_another(threshold):
    covariance, ratios = pair(0.6)[0], vector(2.0, -1.0)
    draws = sample_given_signs(covariance, ratios, 800, 60, seeded(3), threshold=threshold)
    free = torch.randn(1_000_000, 2, dtype=torch.float64, generator=seeded(4))
    free = free @ torch.linalg.cholesky(covariance).T
    weight = ((free >= threshold) * ratios).sum(dim=1).exp()
    for moment in (lambda g: g, lambda g: (g >= threshold).all(dim=-1, keepdim=True)):
        expected = (weight[:, None] * moment(free)).sum(dim=0) / weight.sum()
        check_mean(moment(draws), expected)


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
