"""Matérn fields on a torus around a domain: its periods, its waves and their variances."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from pdeinv.coefficients.correlation import density, distance_at, lost_variance, radius_for
from pdeinv.errors import NumericalError

__all__ = ["MaternTorus"]

_APART = 3e-4  # correlation of the field with its own image, at most
_LOST = 1e-3  # share of the variance in waves that are left out
_MOST_LOST = 0.05  # where a table of the usual size loses more than that, it is larger
_WAVES, _MOST_WAVES = 128, 256  # geometric mean of those along x and along y
_LONGEST_TABLE = 2048  # waves along either
_HALF = 0.5 + 1e-9  # share of a period, up to rounding
_EXACT = 1e-6  # error of a correlation that should be 1/e


@dataclass(frozen=True)
class MaternTorus:
    """The waves of a Matérn field on a rectangle.

    The spectral density of the Matérn covariance at the waves of a torus gives the sum of that
    covariance over the torus's images. That sum and the waves that a finite table leaves out both
    change the distance of correlation 1/e. The density is therefore taken for two other lengths,
    with which the field itself has the stated ones.

    Arguments:
        lengths: width and height of the rectangle.
        length: distance of correlation 1/e along the longer axis, in the same unit.
        smoothness: ν.
        anisotropy: the length along the shorter axis over that along the longer one.
        angle: of the longer axis, in degrees anticlockwise from x.
        periodic: whether the rectangle itself is the torus. Its points are at most half a period
            apart; a length beyond that stands for a field that is close to a constant.

    Reference:
        Dietrich & Newsam, *Fast and exact simulation of stationary Gaussian processes through
        circulant embedding of the covariance matrix*, SIAM J. Sci. Comput. 18, 1997.
    """

    lengths: tuple[float, float]
    length: float
    smoothness: float
    anisotropy: float
    angle: float
    periodic: bool

    @cached_property
    def axes(self) -> np.ndarray:
        """The longer and the shorter axis as rows (x, y), in units of the length."""
        angle = math.radians(self.angle) if self.anisotropy < 1 else 0.0
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-math.sin(angle), math.cos(angle)])
        return np.stack([along, self.anisotropy * across])

    @cached_property
    def periods(self) -> tuple[float, float]:
        """Periods (Px, Py) of the torus."""
        apart = 0.0 if self.periodic else distance_at(_APART, self.smoothness) * self.length
        px, py = np.array(self.lengths) + apart * np.hypot(*self.axes)
        return float(px), float(py)

    @cached_property
    def fine_enough(self) -> bool:
        """Whether a table of waves can hold the field."""
        return lost_variance(self._within._radius, self.smoothness) <= _MOST_LOST * (1 + 1e-9)

    def least_length(self) -> float | None:
        """Return about the least length at which the field is `fine_enough`; None if there is
        none."""
        low, high = 1e-9 * min(self.lengths), 1e4 * max(self.lengths)
        if not replace(self, length=high).fine_enough:
            return None
        while high > 1.001 * low:
            middle = math.sqrt(low * high)
            fine = replace(self, length=middle).fine_enough
            low, high = (low, middle) if fine else (middle, high)
        return high

    def spectrum(self) -> np.ndarray:
        """Return the variances of the waves, (2 my + 1, mx + 1), as a `FourierField` takes them.

        They are those of a field of variance 1.

        Raises:
            NumericalError: no lengths of the density give the stated ones.
        """
        return self._table(self._within._factors)

    @cached_property
    def _within(self) -> MaternTorus:
        """The torus; on a periodic rectangle, that of a length of half a period at most."""
        share = np.abs(self.axes).max(axis=0) * self.length / np.array(self.lengths)
        farthest = float(share.max())
        if not self.periodic or farthest <= _HALF:
            return self
        return replace(self, length=self.length * 0.5 / farthest)

    @cached_property
    def _steepest(self) -> np.ndarray:
        """Numbers of the waves along x and y that the waves of length 2π · length reach."""
        (cos, sin), across = self.axes[0], 1 / self.anisotropy
        reach = np.array([math.hypot(cos, across * sin), math.hypot(sin, across * cos)])
        return reach * (np.array(self.periods) / self.length) / (2 * math.pi)

    @cached_property
    def _radius(self) -> float:
        """Radius of the waves that are kept, in units of 1 / length."""
        wanted, needed = (radius_for(lost, self.smoothness) for lost in (_LOST, _MOST_LOST))
        mean, most = math.sqrt(self._steepest.prod()), float(self._steepest.max())
        usual = min(wanted, _WAVES / mean)
        return min(max(usual, needed), _MOST_WAVES / mean, _LONGEST_TABLE / most)

    @cached_property
    def _waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Components of the waves in units of 1 / length, (1, mx + 1) and (2 my + 1, 1)."""
        mx, my = np.maximum(1, np.ceil(self._radius * self._steepest - 1e-9)).astype(int).tolist()
        px, py = (2 * math.pi * self.length / period for period in self.periods)
        return px * np.arange(mx + 1)[None], py * np.arange(-my, my + 1)[:, None]

    @cached_property
    def _factors(self) -> np.ndarray:
        """The lengths within the density over the stated ones, along both axes, (2,)."""
        from scipy.optimize import root  # slow to import

        kx, ky = self._waves
        cosines = [_counts(kx) * np.cos(x * kx + y * ky) for x, y in self.axes]

        def excess(logarithms: np.ndarray) -> list[float]:
            table = self._table(np.exp(logarithms))
            return [float((table * cosine).sum()) - math.exp(-1) for cosine in cosines]

        found = root(excess, np.zeros(2), options={"factor": 0.3})
        if not np.abs(found.fun).max() <= _EXACT:
            raise NumericalError(
                f"the lengths of a field's covariance must converge, got correlations that miss "
                f"1/e by {found.fun} on a torus of periods {self.periods}; change the length"
            )
        return np.exp(found.x)

    def _table(self, factors: np.ndarray) -> np.ndarray:
        """Return the variances of the waves of a density with other lengths."""
        kx, ky = self._waves
        (ax, ay), (bx, by) = factors[:, None] * self.axes
        table = density((ax * kx + ay * ky) ** 2 + (bx * kx + by * ky) ** 2, self.smoothness)
        return table / (_counts(kx) * table).sum()


def _counts(kx: np.ndarray) -> np.ndarray:
    """Return how many waves an entry of a table stands for: the wave, and its negative if that is
    not in the table."""
    return np.where(kx > 0, 2.0, 1.0)
