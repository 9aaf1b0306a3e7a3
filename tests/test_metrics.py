"""Scores against `scoringrules`, quadrature and closed forms."""

import math

import numpy as np
import pytest
import scoringrules
import torch
from helpers import seeded

from pdeinv.errors import InputError
from pdeinv.metrics import (
    crps_ensemble,
    error_rate,
    error_spectrum,
    rank_coverage,
    ranks,
    relative_l2,
)
from pdeinv.solvers.antithetic import antithetic

SHAPE = (3, 2, 5, 7)


@pytest.fixture
def generator():
    return seeded()


def normal(*shape, generator):
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def test_relative_l2_is_per_instance_and_channel(generator):
    truth = normal(*SHAPE, generator=generator)
    factor = torch.arange(6, dtype=torch.float64).reshape(3, 2, 1, 1)
    torch.testing.assert_close(relative_l2((1 + factor) * truth, truth), factor[..., 0, 0])


def test_error_rate_counts_nodes_on_the_wrong_side():
    truth = torch.tensor([3.0, 3.0, 12.0, 12.0]).reshape(1, 1, 2, 2)
    estimate = torch.tensor([3.1, 8.0, 7.5, 7.4]).reshape(1, 1, 2, 2)
    assert error_rate(estimate, truth, 7.5).tolist() == [[0.5]]
    assert error_rate(torch.cat([truth, 15 - truth]), truth, 7.5).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize("size", [2, 3, 16, 33])
def test_crps_ensemble_is_the_fair_estimator(size, generator):
    samples, truth = normal(size, *SHAPE, generator=generator), normal(*SHAPE, generator=generator)
    expected = scoringrules.crps_ensemble(
        truth.numpy(), samples.numpy(), m_axis=0, estimator="fair"
    )
    np.testing.assert_allclose(crps_ensemble(samples, truth).numpy(), expected, atol=1e-13)
    # The same from the definition, over all pairs.
    spread = (samples[:, None] - samples[None]).abs().sum(dim=(0, 1)) / (2 * size * (size - 1))
    torch.testing.assert_close(
        crps_ensemble(samples, truth), (samples - truth).abs().mean(0) - spread
    )


def test_crps_ensemble_keeps_its_digits_far_from_zero(generator):
    samples, truth = normal(9, 4, generator=generator), normal(4, generator=generator)
    near = crps_ensemble(samples, truth)
    torch.testing.assert_close(
        crps_ensemble(samples.float() + 512, truth.float() + 512).double(), near, atol=2e-4, rtol=0
    )


def test_crps_ensemble_of_identical_samples_and_of_one_is_the_absolute_error(generator):
    x, truth = normal(*SHAPE, generator=generator), normal(*SHAPE, generator=generator)
    for size in (1, 2, 7):
        torch.testing.assert_close(crps_ensemble(x.expand(size, *SHAPE), truth), (x - truth).abs())


def test_crps_ensemble_is_unbiased_for_the_gaussian_score(generator):
    draws = normal(3, 200_000, generator=generator)
    mean, std, truth = 0.3, 2.0, torch.tensor(1.1, dtype=torch.float64)
    scores = crps_ensemble(mean + std * draws, truth.expand(200_000))
    expected = float(scoringrules.crps_normal(float(truth), mean, std))
    standard_error = scores.std() / math.sqrt(len(scores))
    assert standard_error < 5e-3  # the biased estimator is off by std / (3 sqrt pi) = 0.38
    assert abs(scores.mean() - expected) < 4 * standard_error


def gaussian_samples(size, pairs, generator):
    """Repetitions of samples (size, 200,000) of a standard normal: independent, or in pairs."""
    if pairs:
        return antithetic(lambda k: normal(k, 200_000, generator=generator), size)
    return normal(size, 200_000, generator=generator)


@pytest.mark.parametrize("size", [4, 5, 19])
def test_crps_of_a_gaussian_is_unbiased_for_independent_samples_and_for_pairs(size, generator):
    """The truth is one more draw: the expected score is 1 / sqrt(pi)."""
    truth = normal(200_000, generator=generator)

    def deviation(pairs, told):
        scores = crps_ensemble(gaussian_samples(size, pairs, generator), truth, pairs=told)
        return float((scores.mean() - math.pi**-0.5) / (scores.std() / len(scores) ** 0.5))

    assert abs(deviation(False, False)) < 3
    assert abs(deviation(False, True)) < 3  # it leaves out what it may keep
    assert abs(deviation(True, True)) < 3
    assert deviation(True, False) < -6  # the estimator for independent samples is too low


@pytest.mark.parametrize("size", [4, 7, 19])
def test_crps_of_pairs_is_the_mean_over_all_distances_but_those_in_pairs(size, generator):
    samples, truth = normal(size, 3, generator=generator), normal(3, generator=generator)
    distances = [
        (samples[i] - samples[j]).abs() for i in range(size) for j in range(i) if i // 2 != j // 2
    ]
    expected = (samples - truth).abs().mean(0) - torch.stack(distances).mean(0) / 2
    torch.testing.assert_close(crps_ensemble(samples, truth, pairs=True), expected)


def test_a_single_pair_scores_the_mean_absolute_error(generator):
    samples, truth = normal(2, 3, generator=generator), normal(3, generator=generator)
    torch.testing.assert_close(
        crps_ensemble(samples, truth, pairs=True), (samples - truth).abs().mean(0)
    )


@pytest.mark.parametrize(
    ("size", "pairs", "level", "expected"),
    [
        (4, False, 0.6, 0.6),
        (19, False, 0.6, 0.6),
        (19, False, 0.9, 0.9),
        (4, True, 0.6, 2 / 3),
        (19, True, 0.6, 0.6 + 0.1 * 2 / 11),
        (19, True, 0.9, 0.9 + 0.1 / 22),
    ],
)
def test_ranks_cover_their_level_and_of_pairs_nearly(size, pairs, level, expected, generator):
    truth = normal(200_000, generator=generator)
    found = ranks(gaussian_samples(size, pairs, generator), truth, generator)
    shares = found.bincount(minlength=size + 1) / len(truth)
    assert rank_coverage(shares.tolist(), level) == pytest.approx(expected, abs=0.005)


def test_a_level_without_a_whole_number_of_ranks_has_no_coverage():
    assert rank_coverage([0.1, 0.2, 0.3, 0.2, 0.2], 0.6) == 0.7
    assert rank_coverage([0.2] * 5, 0.9) is None and rank_coverage([0.25] * 4, 0.6) is None
    assert rank_coverage([0.05] * 20, 0.9) == pytest.approx(0.9)


def test_bad_arguments(generator):
    x = torch.zeros(2, 2)
    for samples in (torch.zeros(4, 2), torch.zeros(0, 2, 2)):
        with pytest.raises(InputError, match="shape"):
            crps_ensemble(samples, x)


def test_ranks_count_the_samples_below(generator):
    samples = torch.tensor([3.0, 1.0, 2.0, 4.0]).reshape(4, 1, 1, 1, 1).expand(4, 1, 1, 1, 3)
    assert ranks(samples, torch.tensor([0.0, 2.5, 9.0]).reshape(1, 1, 1, 3)).flatten().tolist() == [
        0,
        2,
        4,
    ]
    tied = ranks(
        samples[:, :, :, :, :1].expand(4, 1, 1, 1, 4000),
        torch.full((1, 1, 1, 4000), 2 + 1e-15).float(),
    )
    assert tied.unique().tolist() == [1, 2] and abs(float(tied.double().mean()) - 1.5) < 0.05
    with pytest.raises(InputError, match="samples must have the shape"):
        ranks(samples[:0], samples[0])


@pytest.mark.parametrize("binary", [False, True])
def test_ranks_are_uniform_where_the_truth_is_one_more_draw(binary, generator):
    draws = normal(20, 1, 1, 100, 100, generator=generator)
    if binary:  # nearly always tied: the ties have to be broken evenly
        draws = torch.where(draws > 1.5, 12.0, 3.0).double()
    share = ranks(draws[1:], draws[0], generator).flatten().bincount(minlength=20) / 1e4
    assert len(share) == 20 and float((share - 0.05).abs().max()) < 5 * (0.05 * 0.95 / 1e4) ** 0.5


# Spectra


def test_the_error_spectrum_tells_the_scales_of_the_error():
    n = 32
    x = (torch.arange(n, dtype=torch.float64) + 0.5) / n  # where the cosines are orthogonal
    waves = {k: torch.cos(torch.pi * k * x)[:, None].expand(n, n) for k in (1, 3, 12)}
    truth = 2 * waves[1] + waves[3] + 0.5 * waves[12]
    spectrum = error_spectrum(truth + 0.1 * waves[3] + 0.5 * waves[12], truth)
    # Octaves: the mean, 1, 2-3, 4-7, 8-15, 16 and above.
    assert len(spectrum) == 6 and torch.isnan(spectrum[[0, 3, 5]]).all()
    assert spectrum[[1, 2, 4]].tolist() == pytest.approx([0.0, 0.1, 1.0], abs=1e-12)
    assert torch.allclose(
        error_spectrum(torch.zeros(n, n), truth)[[1, 2, 4]], torch.ones(3, dtype=torch.float64)
    )


@pytest.mark.parametrize("turned", [False, True])
def test_the_octaves_of_a_rectangle_are_those_of_its_shorter_side(turned):
    ny, nx, width = 24, 60, 2.5
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) / n for n in (ny, nx))
    # Half waves along the shorter side: 0.4, 2 and 12 of x, 3 of y
    along_x = {k: torch.cos(torch.pi * k * x).expand(ny, nx) for k in (1, 5, 30)}
    along_y = torch.cos(torch.pi * 3 * y)[:, None].expand(ny, nx)
    truth = along_x[1] + along_x[5] + along_y + along_x[30]
    estimate = truth + 0.5 * along_x[1] + 0.25 * along_x[30]
    fields, aspect = (estimate, truth), (width, 1.0)
    if turned:
        fields, aspect = (estimate.T, truth.T), (1.0, width)
    spectrum = error_spectrum(*fields, aspect)
    assert len(spectrum) == 6 and torch.isnan(spectrum[[1, 3, 5]]).all()
    assert spectrum[[0, 2, 4]].tolist() == pytest.approx([0.5, 0.0, 0.25], abs=1e-12)
