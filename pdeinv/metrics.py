"""Scores of a reconstruction against the truth: errors, calibration, and the proper score CRPS.

Fields have the shape (batch, channel, ny, nx). A score of a whole field has the shape (batch,
channel). A pointwise score keeps the field's shape; its mean over the nodes is the field's score.
Nodes where the truth is nan, such as inactive ones, do not count: pointwise scores are nan there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import scipy
import torch

from pdeinv.errors import InputError

__all__ = [
    "crps_ensemble",
    "error_rate",
    "error_spectrum",
    "rank_coverage",
    "ranks",
    "relative_l2",
]

_NODES = (-2, -1)
_WHOLE = 1e-9  # distance from a whole number, of ranks or of octaves


def relative_l2(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Return ||estimate - truth|| / ||truth|| over the nodes, (batch, channel).

    Arguments:
        estimate, truth: (batch, channel, ny, nx); nodes where the truth is nan do not count.

    Raises:
        InputError: the channels or the nodes differ.
    """
    _check_shapes(estimate, truth)
    known = ~truth.isnan()
    error, truth = (estimate - truth).where(known, 0.0), truth.where(known, 0.0)
    return torch.linalg.vector_norm(error, dim=_NODES) / torch.linalg.vector_norm(truth, dim=_NODES)


def error_rate(estimate: torch.Tensor, truth: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return the share of the nodes on the wrong side of the threshold, (batch, channel).

    Arguments:
        estimate, truth: (batch, channel, ny, nx); nodes where the truth is nan do not count.
        threshold: a value that is equal to it counts as above.

    Raises:
        InputError: the channels or the nodes differ.
    """
    _check_shapes(estimate, truth)
    known = ~truth.isnan()
    wrong = ((estimate >= threshold) != (truth >= threshold)) & known
    return wrong.sum(dim=_NODES) / known.sum(dim=_NODES).to(estimate.dtype)


def error_spectrum(
    estimate: torch.Tensor, truth: torch.Tensor, aspect: tuple[float, float] = (1.0, 1.0)
) -> torch.Tensor:
    """Return the root of the error's power over the truth's in octaves of wavenumbers, (octaves,).

    The octaves of the cosine transform's |k|, in half waves along the shorter side, are: below 1
    (the mean, and waves longer than that side), 1 to 2, 2 to 4, and so on, with the corners in the
    last. An estimate by the mean alone scores 1. The score is nan where the
    truth has no power (below 1e-12 of its largest octave's).

    Arguments:
        estimate, truth: (ny, nx).
        aspect: width and height of the domain in units of the shorter side, `Domain.aspect`.

    Raises:
        InputError: the shapes differ, or are not those of one field.
    """
    if truth.ndim != 2:
        raise InputError(
            f"the truth of a spectrum must be (ny, nx), got {tuple(truth.shape)}; use one field"
        )
    _check_shapes(estimate, truth)
    ky, kx = (
        torch.arange(n, dtype=torch.float64, device=estimate.device) / length
        for n, length in zip(truth.shape, reversed(aspect), strict=True)
    )
    k = (ky[:, None] ** 2 + kx**2).sqrt()
    highest = math.log2(min(float(ky[-1]), float(kx[-1])))
    octave = (k.clamp(min=0.5).log2() + _WHOLE).floor().long() + 1
    octave = octave.clamp(max=int(highest + _WHOLE) + 1).flatten()
    powers = []
    for field in (estimate - truth, truth):
        power = torch.from_numpy(scipy.fft.dctn(field.double().numpy(), norm="ortho"))
        power = power.square().flatten()
        powers.append(
            torch.zeros(
                int(octave.max()) + 1, dtype=torch.float64, device=estimate.device
            ).index_add_(0, octave, power)
        )
    error, known = powers
    return torch.where(known > 1e-12 * known.max(), error / known, torch.nan).sqrt()


def crps_ensemble(
    samples: torch.Tensor, truth: torch.Tensor, *, pairs: bool = False
) -> torch.Tensor:
    """Return the continuous ranked probability score of an ensemble: E|X - y| - E|X - X'| / 2.

    It is pointwise and fair: the second mean is over distances between independent samples. Its
    expectation therefore does not depend on the number of samples. A single sample, or a single
    antithetic pair, scores the mean of |x - y|. The cost is O(S log S), by sorting.

    The two samples of an antithetic pair are farther apart than independent ones. Their distances
    in the second mean would make the score too low, by 2 % for 19 samples of a calibrated Gaussian
    posterior.

    Arguments:
        samples: (S, ...), the samples along dimension 0.
        truth: (...), such as (batch, channel, ny, nx); the result has its shape.
        pairs: whether samples 2i and 2i + 1 are antithetic; an odd last one is single. Their
            distance is left out of the second mean.

    Raises:
        InputError: the shapes do not match, or there are no samples.

    References:
        Gneiting & Raftery, *Strictly proper scoring rules, prediction, and estimation*, JASA
        102(477), 2007, equations 20-21. Ferro, *Fair scores for ensemble forecasts*, QJRMS
        140(683), 2014.
    """
    _check_samples(samples, truth)
    # Errors, not values: the weights below cancel, so that samples close to each other and far from
    # zero would lose digits.
    errors = samples - truth
    accuracy = errors.abs().mean(dim=0)
    size = len(samples)
    if size == 1:
        return accuracy
    # In ascending order, the sum of |x_i - x_j| over pairs counts x_i with +1 for each smaller one
    # and -1 for each larger one.
    weights = torch.arange(1 - size, size, 2, dtype=errors.dtype, device=errors.device)
    distances = torch.tensordot(weights, errors.sort(dim=0).values, dims=1)
    count = size * (size - 1) // 2
    if pairs:
        even = size - size % 2
        distances = distances - (errors[0:even:2] - errors[1:even:2]).abs().sum(dim=0)
        count -= even // 2
        if not count:
            return accuracy
    return accuracy - distances / (2 * count)


def ranks(
    samples: torch.Tensor, truth: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Return the number of samples below the truth, pointwise, 0 to S.

    A tie counts as below or above at random. All S + 1 ranks are equally likely where the truth is
    one more draw from the samples' distribution, discrete or not. A U-shaped histogram means that
    the standard deviation is too small, a dome that it is too large.

    Arguments:
        samples: (S, ...), the samples along dimension 0.
        truth: (...); the result has its shape, integers. A sample that agrees with the truth to
            rounding is a tie.
        generator: breaks the ties.

    Raises:
        InputError: the shapes do not match, or there are no samples.

    References:
        Hamill, *Interpretation of rank histograms*, Monthly Weather Review 129(3), 2001; Czado,
        Gneiting & Held, *Predictive model assessment for count data*, Biometrics 65(4), 2009,
        section 2.1 (the randomised version).
    """
    _check_samples(samples, truth)
    slack = 256 * torch.finfo(samples.dtype).eps * float(truth.abs().max())
    tied = ((samples - truth).abs() <= slack).sum(dim=0)
    below = (samples < truth - slack).sum(dim=0)
    share = torch.rand(truth.shape, dtype=torch.float64, generator=generator)
    return below + (share * (tied + 1)).long()


def rank_coverage(shares: Sequence[float], level: float) -> float | None:
    """Return how often the central interval of a probability holds the truth, by its rank.

    The interval leaves out the same number of ranks at both ends. With 4 samples 60 % is three of
    five ranks; with 19 it is twelve of twenty, and 90 % is eighteen.

    Of antithetic pairs about a symmetric posterior the ranks are not quite uniform. With nine pairs
    and a single sample the exact posterior covers 61.8 % for 60 and 90.5 % for 90. With two pairs
    it covers 66.7 % for 60.

    Arguments:
        shares: how often the truth has each rank among S samples, S + 1 numbers.
        level: probability of the interval.

    Returns:
        The share of the truths; None where S + 1 ranks have no such interval.

    Example:
        >>> rank_coverage([0.1, 0.2, 0.3, 0.2, 0.2], 0.6)
        0.7
        >>> rank_coverage([0.1, 0.2, 0.3, 0.2, 0.2], 0.9) is None
        True
    """
    tail = (1 - level) / 2 * len(shares)
    left_out = round(tail)
    if left_out == 0 or abs(tail - left_out) > _WHOLE:
        return None
    return round(float(sum(shares[left_out:-left_out])), 12)


def _check_shapes(estimate: torch.Tensor, truth: torch.Tensor) -> None:
    # Broadcasting would compare one channel, or one row of nodes, with all in silence
    if estimate.shape[-3:] != truth.shape[-3:]:
        raise InputError(
            f"the estimate must have the truth's channels and nodes, {tuple(truth.shape)}, got "
            f"{tuple(estimate.shape)}; give the same fields on the same grid"
        )


def _check_samples(samples: torch.Tensor, truth: torch.Tensor) -> None:
    if samples.shape[1:] != truth.shape or not len(samples):
        raise InputError(
            f"samples must have the shape (S, {', '.join(map(str, truth.shape))}) with S >= 1, got "
            f"{tuple(samples.shape)}; stack them along dimension 0"
        )
