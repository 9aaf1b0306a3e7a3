"""Coefficients whose logarithm is a Gaussian field."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import torch

from pdeinv.checks import EXTREME, Bounds
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.coefficients.gaussian_field import (
    FLAT,
    Angle,
    GaussianField,
    Length,
    Ratio,
    Smoothness,
    settle_shape,
)
from pdeinv.errors import InputError
from pdeinv.grid import Domain, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry
from pdeinv.unknown import Guess, Unknown

__all__ = ["LogNormal"]

_FAR = 8.0  # standard deviations that no coefficient leaves
_LARGEST = 20.0  # standard deviation of the logarithm, beyond which the squares overflow


@dataclass(frozen=True)
class LogNormal(CoefficientPrior):
    """A positive coefficient: the exponential of a `GaussianField`.

    Numbers may be unknown, as those of a `GaussianField`: None, or a range (low, high).

    Arguments:
        median: of the coefficient, in its units.
        log_std: standard deviation of its natural logarithm.
        length, smoothness, anisotropy, angle: of the logarithm, as of `GaussianField`.
        log_median_std: standard deviation of the natural logarithm of the median where that is not
            known, at most 100 `log_std`; 0 where it is known.

    Raises:
        InputError: a number is out of range; on use, the length is too short for the domain.

    Example:
        >>> from pdeinv import Grid, LogNormal
        >>> conductivity = LogNormal(median=1e-4, log_std=1.5, length=400.0)
        >>> conductivity.sample(4, Grid(16, extent=(0.0, 3000.0, 0.0, 1200.0), unit="m")).shape
        torch.Size([4, 1, 16, 16])
    """

    median: Annotated[float, Bounds(above=0, most=EXTREME), Guess(0.01, 100.0, of="readings")] = (
        None  # type: ignore[assignment]
    )
    log_std: Annotated[float, Bounds(above=0, most=_LARGEST), Guess(0.1, 4.0)] = None  # type: ignore
    length: Length = None  # type: ignore[assignment]
    smoothness: Smoothness = None  # type: ignore[assignment]
    anisotropy: Ratio = 1.0
    angle: Angle = 0.0
    log_median_std: Annotated[float, Bounds(least=0, most=_LARGEST)] = 0.0

    name = "log-normal"
    affine = False
    logarithmic = True
    of_values = ("median",)
    never_unknown = ("log_median_std",)
    amplitude = "log_std"
    constant = ("median", "log_median_std")

    def __post_init__(self) -> None:
        settle_shape(self)
        super().__post_init__()
        if self.log_median_std > FLAT * self.log_std:
            raise InputError(
                f"log_median_std of the {self.name} prior must be at most {FLAT:g} times log_std, "
                f"got {self.log_median_std:g} with log_std = {self.log_std:g}; use a smaller one"
            )

    @cached_property
    def logarithm(self) -> GaussianField:
        """The prior of the natural logarithm of the coefficient."""
        return GaussianField(
            math.log(self.median),
            self.log_std,
            self.length,
            self.smoothness,
            self.anisotropy,
            self.angle,
            mean_std=self.log_median_std,
        )

    @property
    def constant_std(self) -> float:
        unknown = self.median.normal(True)[1] if isinstance(self.median, Unknown) else 0.0
        return math.hypot(self.log_median_std, unknown)

    def absorbed(self, about: float | None = None) -> LogNormal:
        if not isinstance(self.median, Unknown):
            return self
        widest, median = min(FLAT * self.log_std, _LARGEST), math.exp(self.median.normal(True)[0])
        if self.constant_std <= widest:
            return replace(self, median=median, log_median_std=self.constant_std)
        return replace(self, median=median if about is None else about, log_median_std=widest)

    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        return self.logarithm.latent_of(self.name, domain, kind)

    def phrase(self, domain: Domain) -> str:
        unknown = f" (known within a factor of {math.exp(self.log_median_std):.3g})"
        return (
            f"log-normal with median {self.median:g}{unknown if self.log_median_std else ''}, its "
            f"logarithm with {self.logarithm.shape_in_words(domain)}"
        )

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return self.median * latent.exp()

    @property
    def bounds(self) -> tuple[float, float]:
        if any(isinstance(number, Unknown) for number in (self.median, self.log_std)):
            return (1 / EXTREME, EXTREME)
        far = math.exp(_FAR * math.hypot(self.log_std, self.log_median_std))
        return (self.median / far, self.median * far)

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return self.logarithm.keeps(element, domain)
