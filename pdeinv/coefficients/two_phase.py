"""Coefficients with two values: the threshold of a Gaussian field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Annotated

import torch

from pdeinv.checks import Bounds
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.grid import Domain, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry

__all__ = ["TwoPhase"]

_GEOMETRIC = 0.7  # share of the geometric mean in a smoothed coefficient


@dataclass(frozen=True)
class TwoPhase(CoefficientPrior):
    """A medium of two phases: `high` where a Gaussian field exceeds a threshold, `low` elsewhere.

    Arguments:
        field: the Gaussian field, such as a `GaussianField`; its mean and its standard deviation do
            not matter.
        low, high: the two values.
        share: of the area that is `high`, on average.

    Reference:
        Iglesias, Lu & Stuart, *A Bayesian level set method for geometric inverse problems*,
        Interfaces and Free Boundaries 18(2), 2016.
    """

    field: CoefficientPrior
    low: float
    high: float
    share: Annotated[float, Bounds(above=0, below=1)] = 0.5

    name = "two-phase"
    affine = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise InputError(
                f"low must be below high in a {self.name} prior, got low = {self.low:g} and high = "
                f"{self.high:g}; change one of them"
            )
        if not self.field.affine or not self.field.proper:
            raise InputError(
                f"field of a {self.name} prior must be a Gaussian field with a mean that is not "
                f"flat, got {self.field.name}; use a gaussian-field"
            )
        if self.share != 0.5 and not hasattr(self.field, "std"):
            raise InputError(
                f"share of a {self.name} prior must be 0.5 for a field of unknown standard "
                f"deviation, got {self.share:g}; use a gaussian-field"
            )

    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        return self.field.latent(domain, kind)

    def phrase(self, domain: Domain) -> str:
        return (
            f"{self.high:g} in a share of {self.share:g} and {self.low:g} elsewhere, by the "
            f"threshold of {self.field.phrase(domain)}"
        )

    @cached_property
    def threshold(self) -> float:
        if self.share == 0.5:
            return 0.0
        quantile = torch.special.ndtri(torch.tensor(1 - self.share, dtype=torch.float64))
        std = getattr(self.field, "total_std", None) or self.field.std  # type: ignore[attr-defined]
        return float(quantile) * float(std)

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        high = latent >= self.threshold
        return torch.where(high, latent.new_tensor(self.high), latent.new_tensor(self.low))

    def smoothed(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """Return a smooth coefficient: 0.7 of the geometric and 0.3 of the arithmetic mean.

        The share of the high phase is the logistic function of the distance from the threshold over
        the width. A two-dimensional mixture of equal shares conducts like the geometric mean, a
        layered one between the harmonic and the arithmetic mean. At the contrast of the published
        problem this weighting removes most of the bias of the pressure that the arithmetic mean
        alone has. Where a value is not positive, it is the arithmetic mean.

        Reference:
            Dykhne, *Conductivity of a two-dimensional two-phase system*, JETP 32, 1971.
        """
        distance = latent - self.threshold if self.threshold else latent
        share = torch.sigmoid(distance / width)
        arithmetic = self.low + (self.high - self.low) * share
        if not self.positive:
            return arithmetic
        geometric = self.low * (self.high / self.low) ** share
        return _GEOMETRIC * geometric + (1 - _GEOMETRIC) * arithmetic

    @property
    def phases(self) -> tuple[float, float]:
        return (self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        return (self.low, self.high)

    @property
    def symmetric(self) -> bool:
        return self.low == -self.high and self.share == 0.5 and self.field.symmetric

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return self.field.keeps(element, domain)
