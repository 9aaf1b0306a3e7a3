"""Intervals of a number from independent draws of its posterior."""

from __future__ import annotations

import numpy as np
import xarray as xr
from scipy.special import stdtrit

from pdeinv.checks import Bounds, number
from pdeinv.errors import InputError

__all__ = ["LEVEL", "check_draws", "intervals", "quantile_of_draws"]

LEVEL = 0.9
_ROUNDING = 1e-9  # of a rank


def intervals(draws: xr.DataArray, level: float = LEVEL) -> xr.Dataset:
    """Return mean, standard deviation and the central interval of draws.

    The truth and n draws of its posterior are exchangeable, so that it lies below the k-th smallest
    draw with the probability k / (n + 1). The ends of the interval have the ranks p (n + 1) and
    (1 - p) (n + 1), interpolated linearly, with p = (1 - level) / 2; so it covers by construction,
    whatever the distribution. That needs (n + 1) p >= 1: 19 draws for 90 %. With fewer the interval
    is that of a normal distribution of unknown mean and spread: mean ± t s sqrt(1 + 1/n), with
    Student's t of n - 1 degrees of freedom.

    Draws that are nan do not count. Infinite ones count as the largest; mean and standard deviation
    are those of the others.

    Arguments:
        draws: (..., sample, ...).
        level: probability of the interval, between 0 and 1.

    Returns:
        `mean`, `std`, `low`, `high`, of the other dimensions, and the number of draws `n` that are
        no nan and `infinite` of these.

    Raises:
        InputError: there are fewer than two draws, or the level is not between 0 and 1.
    """
    level = number("level", level, Bounds(above=0, below=1))
    check_draws(draws.sizes["sample"])
    values = draws.transpose("sample", ...)
    finite = values.where(np.isfinite(values))
    p = (1 - level) / 2
    found = {
        "mean": finite.mean("sample"),
        "std": finite.std("sample", ddof=1),
        "low": quantile_of_draws(values, p),
        "high": quantile_of_draws(values, 1 - p),
        "n": values.notnull().sum("sample"),
        "infinite": values.isin([np.inf, -np.inf]).sum("sample"),
    }
    return xr.Dataset(found)


def check_draws(n: int) -> None:
    """Refuse fewer draws than an interval needs.

    Raises:
        InputError: there is one alone.
    """
    if n < 2:
        raise InputError(
            f"an interval must be made of at least 2 samples, got {n}; reconstruct with more by "
            f"n_samples (--samples)"
        )


def quantile_of_draws(draws: xr.DataArray, p: float) -> xr.DataArray:
    """Return the quantile that the truth is below with a probability p: see `intervals`.

    Arguments:
        draws: (sample, ...).
        p: between 0 and 1.
    """
    values = np.sort(draws.values.astype(float), axis=0)  # nan last
    n = np.isfinite(values).sum(axis=0) + np.isinf(values).sum(axis=0)
    rank = p * (n + 1)
    ordered = (rank >= 1 - _ROUNDING) & (rank <= n + _ROUNDING)
    place = np.clip(rank - 1, 0, np.maximum(n - 1, 0))
    below = np.floor(place + _ROUNDING).astype(int)
    share = np.clip(place - below, 0, 1)
    above = np.minimum(below + (share > _ROUNDING), np.maximum(n - 1, 0))
    low, high = (np.take_along_axis(values, k[None], axis=0)[0] for k in (below, above))
    with np.errstate(invalid="ignore"):
        between = np.where(share > _ROUNDING, low + share * (high - low), low)
        between = np.where(high == low, low, between)  # of two infinities
    found = np.where(ordered, between, _normal(values, n, p))
    return draws.isel(sample=0, drop=True).copy(data=found)


def _normal(values: np.ndarray, n: np.ndarray, p: float) -> np.ndarray:
    """Return the quantile of one more draw of a normal distribution; nan of fewer than two, and
    infinite where a draw is."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, np.nansum(values, axis=0) / n, np.nan)
        std = np.sqrt(np.nansum((values - mean) ** 2, axis=0) / (n - 1))
        found = mean + stdtrit(np.maximum(n - 1, 1), p) * std * np.sqrt(1 + 1 / n)
        least = np.nanmin(np.where(np.isnan(values), np.inf, values), axis=0)
        found = np.where(np.isinf(values).any(axis=0), np.inf if p > 0.5 else least, found)
    return np.where(n > 1, found, np.nan)
