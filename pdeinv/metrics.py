"""Scores of a reconstruction against the truth: errors, calibration, and the proper score CRPS.

Fields have shape (batch, channel, ny, nx). A score that sums a field up has shape (batch, channel),
one number for each instance and channel; a pointwise score keeps the field's shape, and its mean
over the nodes is the field's score.
"""

from __future__ import annotations

import math

import torch
from scipy.fft import dctn

from pdeinv.errors import InputError

__all__ = [
    "coverage",
    "crps_ensemble",
    "crps_gaussian",
    "error_rate",
    "error_spectrum",
    "gaussian_interval",
    "ranks",
    "relative_l2",
    "residual_rms",
]

_NODES = (-2, -1)


def relative_l2(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """||estimate - truth|| / ||truth|| over the nodes: (batch, channel, ny, nx) -> (batch,
    channel)."""
    return torch.linalg.vector_norm(estimate - truth, dim=_NODES) / torch.linalg.vector_norm(
        truth, dim=_NODES
    )


def error_rate(estimate: torch.Tensor, truth: torch.Tensor, threshold: float) -> torch.Tensor:
    """Share of the nodes that lie on the wrong side of the threshold, (batch, channel); equality
    counts as above."""
    wrong = (estimate >= threshold) != (truth >= threshold)
    return wrong.to(estimate.dtype).mean(dim=_NODES)


def error_spectrum(estimate: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Root of the error's power over the truth's in each octave of wavenumbers, (octaves,), for
    fields (n, n).

    Octaves of the cosine transform's |k|: below 1 (the mean), 1 to 2, 2 to 4, ... with the corners
    in the last. It is 1 where nothing is known and the mean is given, and where the truth has no
    power (below 1e-12 of its largest octave's) nan.
    """
    k = torch.arange(len(truth), dtype=torch.float64)
    octave = (k[:, None] ** 2 + k**2).sqrt().clamp(min=0.5).log2().floor().long() + 1
    octave = octave.clamp(max=int(math.log2(len(truth) - 1)) + 1).flatten()
    powers = []
    for field in (estimate - truth, truth):
        power = torch.from_numpy(dctn(field.double().numpy(), norm="ortho")).square().flatten()
        powers.append(
            torch.zeros(int(octave.max()) + 1, dtype=torch.float64).index_add_(0, octave, power)
        )
    error, known = powers
    return torch.where(known > 1e-12 * known.max(), error / known, torch.nan).sqrt()


def residual_rms(residual: torch.Tensor) -> torch.Tensor:
    """Root mean square over the nodes, (batch, channel): the size of `pde.residual(a, u)` in the
    units of the equation.

    Divide it by `residual_rms` of the equation's forcing for a number that is comparable between
    PDEs.
    """
    return residual.square().mean(dim=_NODES).sqrt()


def crps_ensemble(samples: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Continuous ranked probability score of an ensemble, pointwise: E|X - y| - E|X - X'| / 2.

    Fair: the second mean is over pairs of different samples, so that the score's expectation does
    not depend on the number of samples. A single sample is a point estimate and scores |x - y|.
    Costs O(S log S) by sorting.

    Arguments:
        samples: (S, ...), the samples along dimension 0.
        truth: (...), for instance (batch, channel, ny, nx); the result has its shape.

    References:
        Gneiting & Raftery, *Strictly proper scoring rules, prediction, and estimation*, JASA
        102(477), 2007, equations 20-21. Ferro, *Fair scores for ensemble forecasts*, QJRMS
        140(683), 2014.
    """
    if samples.shape[1:] != truth.shape or not len(samples):
        raise InputError(
            f"samples of shape {tuple(samples.shape)} do not fit a truth of shape "
            f"{tuple(truth.shape)}"
        )
    # Errors rather than values: the weights below cancel, and a small spread about a large mean
    # would lose digits.
    errors = samples - truth
    accuracy = errors.abs().mean(dim=0)
    size = len(samples)
    if size == 1:
        return accuracy
    # In ascending order the sum of |x_i - x_j| over pairs i < j counts x_i with +1 for each j below
    # and -1 for each above.
    weights = torch.arange(1 - size, size, 2, dtype=errors.dtype, device=errors.device) / (
        size * (size - 1)
    )
    return accuracy - torch.tensordot(weights, errors.sort(dim=0).values, dims=1)


def crps_gaussian(mean: torch.Tensor, std: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Continuous ranked probability score of a normal distribution, pointwise; |mean - truth| where
    std = 0.

    Reference:
        Gneiting & Raftery, JASA 102(477), 2007, section 4.2 (equation 21 in closed form).
    """
    error = truth - mean
    certain = std == 0
    z = error / torch.where(certain, 1.0, std)
    density = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    score = error * torch.erf(z / math.sqrt(2)) + std * (2 * density - 1 / math.sqrt(math.pi))
    return torch.where(certain, error.abs(), score)


def gaussian_interval(
    mean: torch.Tensor, std: torch.Tensor, level: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bounds (lower, upper) of the central interval that holds the share `level` of a normal
    distribution."""
    if not 0 < level < 1:
        raise InputError(f"level = {level} is not a probability between 0 and 1")
    half_width = math.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64))) * std
    return mean - half_width, mean + half_width


def coverage(lower: torch.Tensor, upper: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Share of the nodes where lower <= truth <= upper, (batch, channel).

    A bound may be missed by rounding, relative to the largest truth of the field: where the
    estimate is certain, as on a Dirichlet boundary or at a noise-free sensor, the interval is a
    point.
    """
    eps = max(torch.finfo(x.dtype).eps for x in (lower, upper, truth))
    slack = 256 * eps * truth.abs().amax(dim=_NODES, keepdim=True)
    covered = (lower - slack <= truth) & (truth <= upper + slack)
    return covered.to(truth.dtype).mean(dim=_NODES)


def ranks(
    samples: torch.Tensor, truth: torch.Tensor, generator: torch.Generator | None = None
) -> torch.Tensor:
    """Number of samples below the truth, pointwise, 0 to S; a tie counts as below or above at
    random.

    Where the truth is one more draw from the samples' distribution, discrete or not, all S + 1
    ranks are equally likely: a histogram that is U-shaped says that the spread is too small, a dome
    that it is too large.

    Arguments:
        samples: (S, ...), the samples along dimension 0.
        truth: (...); the result has its shape, with integers. What agrees to rounding with the
            truth is a tie.

    References:
        Hamill, *Interpretation of rank histograms*, Monthly Weather Review 129(3), 2001; Czado,
        Gneiting & Held, *Predictive model assessment for count data*, Biometrics 65(4), 2009,
        section 2.1 (the randomised version).
    """
    if samples.shape[1:] != truth.shape or not len(samples):
        raise InputError(
            f"samples of shape {tuple(samples.shape)} do not fit a truth of shape "
            f"{tuple(truth.shape)}"
        )
    slack = 256 * torch.finfo(samples.dtype).eps * float(truth.abs().max())
    tied = ((samples - truth).abs() <= slack).sum(dim=0)
    below = (samples < truth - slack).sum(dim=0)
    share = torch.rand(truth.shape, dtype=torch.float64, generator=generator)
    return below + (share * (tied + 1)).long()
