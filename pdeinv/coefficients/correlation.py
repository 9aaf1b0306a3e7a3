"""The Matérn family of correlations in two dimensions, and the spectra that make them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

__all__ = ["correlation", "density", "distance_at", "lost_variance", "radius_for"]

_FARTHEST = 1e4  # argument beyond which every correlation vanishes
_SMOOTHEST = 50.0  # ν from which the covariance is the Gaussian one


def correlation(distance: np.ndarray, smoothness: float) -> np.ndarray:
    """Return the correlation at distances in units of the length, at which it is 1/e.

    Arguments:
        distance: any shape.
        smoothness: ν; at 50 and beyond the Gaussian correlation exp(-r²).

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, eq. 4.14.
    """
    r = np.asarray(distance, dtype=float)
    if smoothness >= _SMOOTHEST:
        return np.exp(-(r**2))
    return _matern(r * _scale(smoothness), smoothness)


def distance_at(level: float, smoothness: float) -> float:
    """Return the distance, in units of the length, at which the correlation has fallen to a
    level."""
    from scipy.optimize import brentq  # slow to import

    if smoothness >= _SMOOTHEST:
        return math.sqrt(-math.log(level))
    found = brentq(lambda r: float(_matern(np.array(r), smoothness)) - level, 1e-9, _FARTHEST)
    return float(found) / _scale(smoothness)


def density(q2: np.ndarray, smoothness: float) -> np.ndarray:
    """Return the spectral density, up to a factor, of squared wavenumbers times the length²."""
    if smoothness >= _SMOOTHEST:
        return np.exp(-q2 / 4)
    return (1 + q2 / _scale(smoothness) ** 2) ** -(smoothness + 1)


def lost_variance(radius: float, smoothness: float) -> float:
    """Return the share of the variance in wavenumbers beyond a radius, in units of 1 / length."""
    if smoothness >= _SMOOTHEST:
        return math.exp(-(radius**2) / 4)
    return (1 + radius**2 / _scale(smoothness) ** 2) ** -smoothness


def radius_for(lost: float, smoothness: float) -> float:
    """Return the radius beyond which a share of the variance lies; inverse of `lost_variance`."""
    if smoothness >= _SMOOTHEST:
        return 2 * math.sqrt(-math.log(lost))
    return _scale(smoothness) * math.sqrt(lost ** (-1 / smoothness) - 1)


@lru_cache(maxsize=64)
def _scale(smoothness: float) -> float:
    """Return the argument at which the Matérn correlation is 1/e."""
    from scipy.optimize import brentq

    target = math.exp(-1)
    return float(brentq(lambda z: float(_matern(np.array(z), smoothness)) - target, 1e-9, 100.0))


def _matern(z: np.ndarray, smoothness: float) -> np.ndarray:
    from scipy.special import gammaln, kve

    z = np.maximum(z, 1e-12)
    # K(z) = kve(z) exp(-z), by logarithms: the factors overflow where their product does not
    log = (1 - smoothness) * math.log(2) - gammaln(smoothness) + smoothness * np.log(z)
    return np.exp(log - z + np.log(np.maximum(kve(smoothness, z), 1e-300)))
