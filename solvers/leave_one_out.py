"""Predictions of each reading from the others: in closed form, or from posterior samples.

An exact reading is known to the last digit that it is stated with, and not beyond. Predictions
therefore assume of it at least the noise of rounding to that digit, which is uniform: the spacing
of the digit over √12. This is their *floor*; the fields themselves are conditioned on the readings
as they are stated.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from scipy.special import gammaincinv

from pdeinv.leave_one_out import LeaveOneOut
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.parameter_columns import with_inferred_noise

__all__ = ["closed_leave_one_out", "floors", "sampled_leave_one_out"]

_DIGITS = 15  # significant ones that a float64 holds for certain
_LEAST_DRAWS = 8
_MOST_SHARE = 0.9  # of a posterior variance in that of the noise, whose difference is known
_POSSIBLE = 64  # posterior variances behind a p-value


def _rounding(observation: Observation) -> torch.Tensor:
    """Return the standard deviation of the rounding of each reading, (m,).

    The last digit is that of the reading of its field with the most decimals, of at most 15
    significant digits.
    """
    std = torch.zeros_like(observation.values)
    for channel in observation.channel.unique():
        mine = observation.channel == channel
        last = max((_last_digit(value) for value in observation.values[mine].tolist()), default=0)
        std[mine] = 10.0**-last / math.sqrt(12)
    return std


def _last_digit(value: float) -> int:
    """The place of the last digit of a number behind the point."""
    if not value:
        return -99
    digits, exponent = f"{value:.{_DIGITS - 1}e}".split("e")
    shown = digits.rstrip("0").replace("-", "").replace(".", "")
    return len(shown) - 1 - int(exponent)


def floors(observation: Observation) -> torch.Tensor:
    """Return the least noise that is assumed of each reading, (m,): 0 where its own is stated."""
    exact = observation.noise_std == 0
    return torch.where(exact, _rounding(observation), 0.0)


def closed_leave_one_out(
    lower: torch.Tensor,
    expected: torch.Tensor,
    ordered: Observation,
    given: Observation | None = None,
) -> LeaveOneOut:
    """Return the predictions of readings that are linear in Gaussian unknowns.

    With K = G⁻¹ and the innovation r, reading i less its prediction is (K r)_i / K_ii, and its
    variance 1 / K_ii. Plain readings are predicted from each other; a censored one has no
    prediction.

    Arguments:
        lower: Cholesky factor of G, the covariance of the readings with their noise, (m, m).
        expected: the readings a priori, (m,).
        ordered: the readings in the order of these, the censored ones last.
        given: the readings in the order of the result; the same order if None.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eqs 5.10–5.12.
    """
    given = ordered if given is None else given
    order = given.below_or_above.long().argsort(stable=True)
    plain = int((~given.below_or_above).sum())
    lower, values = lower[:plain, :plain], ordered.values[:plain]
    floor = floors(ordered)[:plain]
    if bool((floor > 0).any()):
        lower = cholesky_with_nugget(lower @ lower.T, floor.square())
    inverse = torch.cholesky_inverse(lower)
    variance = 1 / inverse.diagonal()
    off = (inverse @ (values - expected[:plain])) * variance

    def placed(of_plain: torch.Tensor) -> torch.Tensor:
        whole = torch.full((len(given),), math.nan, dtype=torch.float64, device=of_plain.device)
        whole[order[:plain]] = of_plain
        return whole

    return LeaveOneOut.gaussian(
        given.values, placed(values - off), placed(variance.sqrt()), placed(floor)
    )


def sampled_leave_one_out(posterior: Posterior, observation: Observation) -> LeaveOneOut | None:
    """Return the predictions from the samples of a posterior that has been given all readings;
    None where there are too few samples.

    With the posterior mean μ and variance v of a reading without its noise of variance s², the
    precisions and what they weigh subtract: 1 / v' = 1 / v - 1 / s², and m' / v' = μ / v - y / s².
    The prediction is m' with the variance v' + s². It is exact where all is Gaussian. It is not
    defined for an exact reading, for a censored one, and for one that shares a bias. Nor is it
    where v is almost s²: the others then state almost nothing of the reading.

    The v of n samples errs as (n - 1) v / χ² does, with χ² of n - 1 degrees of freedom, and near s²
    a little of it moves the prediction far. The p-values are means over this law.

    Arguments:
        posterior: with its mean and samples.
        observation: the readings; a noise that is unknown is the inferred one.
    """
    if len(posterior.samples) < _LEAST_DRAWS:
        return None
    observation = with_inferred_noise(observation, posterior)
    y, noise = observation.values, observation.noise_std.square()
    mean = observation(posterior.mean[None].double())[0]
    variance = observation(posterior.samples.double()).var(dim=0)
    left = 1 - variance / noise
    usable = (noise > 0) & (left > 1 - _MOST_SHARE) & ~observation.below_or_above
    usable &= observation.shared.square().sum(dim=1) == 0
    nothing = torch.full_like(y, math.nan)
    predicted = torch.where(usable, (mean - variance / noise * y) / left, nothing)
    std = torch.where(usable, (variance / left + noise).sqrt(), nothing)
    found = LeaveOneOut.gaussian(y, predicted, std, torch.zeros_like(y), exact=False)
    possible = len(posterior.samples) - 1, (y - mean).square(), variance, noise
    return replace(found, p_value=torch.where(usable, _p_value(*possible), nothing))


def _p_value(
    freedom: int, squared: torch.Tensor, variance: torch.Tensor, noise: torch.Tensor
) -> torch.Tensor:
    """The probability of a reading as far from the posterior mean, (m,), over the possible
    posterior variances below that of the noise."""
    shares = (np.arange(_POSSIBLE) + 0.5) / _POSSIBLE
    factors = freedom / torch.as_tensor(2 * gammaincinv(freedom / 2, shares), device=squared.device)
    left = noise - factors[:, None] * variance
    outside = torch.special.erfc((squared / (2 * left.clamp(min=0))).sqrt())
    return torch.where(left > 0, outside, torch.nan).nanmean(dim=0)
