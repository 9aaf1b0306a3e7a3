"""Gaussian fields in a user's words: mean, deviation, length, smoothness, anisotropy, angle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
import torch

from pdeinv.checks import Bounds, Positive
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.coefficients.correlation import (
    density,
    distance_at,
    lost_variance,
    radius_for,
)
from pdeinv.errors import InputError
from pdeinv.fourier_field import FourierField
from pdeinv.grid import Domain, GridKind
from pdeinv.symmetry import Symmetry

__all__ = ["GaussianField", "Ratio", "Smoothness"]

Smoothness = Annotated[float, Bounds(least=0.5, finite=False)]
Ratio = Annotated[float, Bounds(above=0, most=1)]

_FLAT = 100.0  # standard deviations of the field: what a mean counts as that may be anything
_APART = 1e-3  # correlation of the field with its own image on the torus, at most
_LOST = 1e-3  # share of the variance in waves that are left out, where the table is not full
_MOST_LOST = 0.05
_MOST_WAVES = 128  # along either direction


@dataclass(frozen=True)
class GaussianField(CoefficientPrior):
    """A stationary Gaussian field with a Matérn covariance.

    Its mean, variance and correlations are the same at the centre, the sides and the corners of the
    domain. Waves of a torus around the domain make it up; on a torus these are its own.

    Arguments:
        mean: in the coefficient's units.
        std: standard deviation about the mean, in these units.
        length: the distance at which the correlation is 1/e, along the longer axis, in the
            domain's unit.
        smoothness: ν of the Matérn covariance, at least 0.5 (exponential); inf is the Gaussian
            covariance exp(-(r/length)²).
        anisotropy: the shorter correlation length over the longer one, at most 1.
        angle: of the longer axis, in degrees anticlockwise from x.
        mean_std: standard deviation of the mean where that is not known; inf for a flat mean, of
            which nothing is known, as in ordinary kriging; 0 where it is known.

    Raises:
        InputError: a number is out of range; on use, the length is too short for the domain.

    Reference:
        Matérn, *Spatial Variation*, 1960; Dietrich & Newsam, *Fast and exact simulation of
        stationary Gaussian processes through circulant embedding*, SIAM J. Sci. Comput. 18, 1997.

    Example:
        >>> from pdeinv import GaussianField, Grid
        >>> field = GaussianField(mean=2.0, std=0.5, length=0.3, anisotropy=0.5, angle=30)
        >>> field.sample(4, Grid(16)).shape
        torch.Size([4, 1, 16, 16])
    """

    mean: float
    std: Positive
    length: Positive
    smoothness: Smoothness = 1.5
    anisotropy: Ratio = 1.0
    angle: float = 0.0
    mean_std: Annotated[float, Bounds(least=0, finite=False)] = 0.0

    name = "gaussian-field"

    def latent(self, domain: Domain, kind: GridKind) -> FourierField:
        return _field(self, domain, kind)

    def phrase(self, domain: Domain) -> str:
        about = {0.0: "", math.inf: " (flat)"}.get(self.mean_std, f" ± {self.mean_std:g}")
        return f"Gaussian with mean {self.mean:g}{about} and {self.shape_in_words(domain)}"

    def shape_in_words(self, domain: Domain) -> str:
        """Return the deviations from the mean in words."""
        unit = "" if domain.unit == "1" else f" {domain.unit}"
        words = f"standard deviation {self.std:g}, length {self.length:g}{unit}"
        if self.anisotropy < 1:
            words += f" along {self.angle:g} degrees and {self.anisotropy:g} of it across"
        return f"{words}, smoothness {self.smoothness:g}"

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return self.mean + latent if self.mean else latent

    @property
    def proper(self) -> bool:
        return math.isfinite(self.mean_std)

    @property
    def total_std(self) -> float:
        """Standard deviation of a value, that of the mean included."""
        return math.hypot(self.std, min(self.mean_std, _FLAT * self.std))

    @property
    def symmetric(self) -> bool:
        return self.mean == 0

    @property
    def axes(self) -> np.ndarray:
        """The lengths along the two principal axes, as rows of vectors (x, y)."""
        angle = math.radians(self.angle)
        along = np.array([math.cos(angle), math.sin(angle)])
        across = np.array([-math.sin(angle), math.cos(angle)])
        return self.length * np.stack([along, self.anisotropy * across])

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        shape = self.axes.T @ self.axes
        matrix = np.array(element.matrix)
        moved = matrix @ shape @ matrix.T
        return bool(np.abs(moved - shape).max() <= 1e-9 * self.length**2)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _field(prior: GaussianField, domain: Domain, kind: GridKind) -> FourierField:
    """Return the field of a prior on a domain."""
    axes, nu, lengths = prior.axes, prior.smoothness, np.array(domain.lengths)
    periods = lengths
    if kind != "periodic":
        periods = lengths + distance_at(_APART, nu) * np.sqrt((axes**2).sum(axis=0))
    # The most waves along x and y within the ellipse of waves of radius 1
    steepest = np.sqrt((np.linalg.inv(axes) ** 2).sum(axis=1)) * periods / (2 * math.pi)
    radius = min(radius_for(_LOST, nu), float((_MOST_WAVES / steepest).min()))
    if lost_variance(radius, nu) > _MOST_LOST:
        raise InputError(
            f"length of the {prior.name} prior must be longer for the domain {domain} and a "
            f"smoothness of {nu:g}, got {prior.length:g} with anisotropy {prior.anisotropy:g}; use "
            f"a longer length or a smoother field"
        )
    mx, my = np.maximum(1, np.ceil(radius * steepest - 1e-9)).astype(int).tolist()
    kx = 2 * math.pi * np.arange(mx + 1) / periods[0]
    ky = 2 * math.pi * np.arange(-my, my + 1) / periods[1]
    waves = np.stack(np.broadcast_arrays(kx[None, :], ky[:, None]), axis=-1)
    spectrum = density(((waves @ axes.T) ** 2).sum(axis=-1), nu)
    total = 2 * spectrum[:, 1:].sum() + spectrum[:, 0].sum()
    spectrum *= prior.std**2 / total
    spectrum[my, 0] += prior.total_std**2 - prior.std**2
    return FourierField(domain, (float(periods[0]), float(periods[1])), torch.from_numpy(spectrum))
