"""The Matérn family of covariances in two dimensions, and their spectral densities.

Distances are in units of the length, the distance at which the correlation is 1/e, and wavenumbers
in units of its inverse. A smoothness ν of 50 and beyond is the Gaussian correlation exp(-r²).

Reference:
    Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, section 4.2.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

__all__ = ["correlation", "density", "distance_at", "lost_variance", "matern_scale", "radius_for"]

_TABLE = 2**12  # distances at which a correlation is computed, others between them
_FARTHEST = 1e4  # argument beyond which every correlation vanishes
_SMOOTHEST = 50.0  # ν from which the covariance is the Gaussian one


def correlation(distance: np.ndarray, smoothness: float) -> np.ndarray:
    """Return the correlation at distances of any shape, to seven digits."""
    if smoothness >= _SMOOTHEST:
        return np.exp(-(distance**2))
    # Far fewer Bessel functions than distances
    table = np.linspace(0.0, math.sqrt(float(distance.max(initial=0.0))), _TABLE) ** 2
    excess, scale = _above(0.0, smoothness), matern_scale(smoothness)
    values = [1.0, *(excess(scale * r) for r in table[1:])]
    return np.interp(distance, table, values)


def distance_at(level: float, smoothness: float) -> float:
    """Return the distance at which the correlation has fallen to a level."""
    from scipy.optimize import brentq  # slow to import

    if smoothness >= _SMOOTHEST:
        return math.sqrt(-math.log(level))
    return float(brentq(_above(level, smoothness), 1e-9, _FARTHEST)) / matern_scale(smoothness)


def density(q2: np.ndarray, smoothness: float) -> np.ndarray:
    """Return the spectral density, up to a factor, at squared wavenumbers of any shape."""
    if smoothness >= _SMOOTHEST:
        return np.exp(-q2 / 4)
    return (1 + q2 / matern_scale(smoothness) ** 2) ** -(smoothness + 1)


def lost_variance(radius: float, smoothness: float) -> float:
    """Return the share of the variance in the wavenumbers beyond a radius."""
    if smoothness >= _SMOOTHEST:
        return math.exp(-(radius**2) / 4)
    return (1 + radius**2 / matern_scale(smoothness) ** 2) ** -smoothness


def radius_for(lost: float, smoothness: float) -> float:
    """Return the radius beyond which a share of the variance lies; inverse of `lost_variance`."""
    if smoothness >= _SMOOTHEST:
        return 2 * math.sqrt(-math.log(lost))
    return matern_scale(smoothness) * math.sqrt(lost ** (-1 / smoothness) - 1)


@lru_cache(maxsize=64)
def matern_scale(smoothness: float) -> float:
    """Return the argument at which the Matérn correlation is 1/e."""
    from scipy.optimize import brentq

    return float(brentq(_above(math.exp(-1), smoothness), 1e-9, _FARTHEST))


def _above(level: float, smoothness: float) -> Callable[[float], float]:
    """Return the function of a positive argument by which the Matérn correlation exceeds a
    level."""
    from scipy.special import gammaln, kve

    def excess(z: float) -> float:
        # K(z) = kve(z) exp(-z), by logarithms: the factors overflow where their product does not
        bessel = float(kve(smoothness, z))
        if math.isinf(bessel):  # next to 0
            return 1 - level
        factor = (1 - smoothness) * math.log(2) - float(gammaln(smoothness))
        logarithm = factor + smoothness * math.log(z) - z + math.log(max(bessel, 1e-300))
        return math.exp(logarithm) - level

    return excess
