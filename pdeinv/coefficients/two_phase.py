"""Coefficients with two values: the threshold of a Gaussian field."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, TypeAlias

import torch

from pdeinv.checks import EXTREME, Bounds
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.coefficients.gaussian_field import GaussianField
from pdeinv.errors import InputError
from pdeinv.grid import Domain, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry
from pdeinv.unknown import Guess, Unknown

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["TwoPhase"]

Values: TypeAlias = tuple[torch.Tensor, torch.Tensor]

_EQUAL = 0.5  # share of either phase
_GEOMETRIC = 0.7  # share of the geometric mean in a smoothed coefficient


@dataclass(frozen=True)
class TwoPhase(CoefficientPrior):
    """A medium of two phases: `high` where a Gaussian field exceeds a threshold, `low` elsewhere.

    Numbers may be unknown, as those of a `GaussianField`: None, or a range (low, high).

    Arguments:
        field: the Gaussian field, such as a `GaussianField`, with a mean that is not flat. Its mean
            and its standard deviation do not matter.
        low, high: the two values, in the coefficient's units.
        share: of the area that is `high`, on average over fields. Unequal shares need a field whose
            standard deviation is the same everywhere.

    Values that are unknown differ from one draw to another, and `low` is below `high` in each.

    Raises:
        InputError: `low` is not below `high` (the middle of an unknown one), or the field is none
            such.

    Reference:
        Iglesias, Lu & Stuart, *A Bayesian level set method for geometric inverse problems*,
        Interfaces and Free Boundaries 18(2), 2016.

    Example:
        >>> from pdeinv import GaussianField, Grid, TwoPhase
        >>> lenses = TwoPhase(GaussianField(0.0, 1.0, length=0.3), low=1e-6, high=1e-3, share=0.2)
        >>> lenses.sample(4, Grid(16)).unique().tolist()
        [1e-06, 0.001]
    """

    field: CoefficientPrior
    low: Annotated[float, Guess(0.01, 1.0, of="readings")] = None  # type: ignore[assignment]
    high: Annotated[float, Guess(1.0, 100.0, of="readings")] = None  # type: ignore[assignment]
    share: Annotated[float, Bounds(above=0, below=1), Guess(0.05, 0.95, "uniform")] = _EQUAL

    name = "two-phase"
    affine = False
    of_values = ("low", "high")

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.field, GaussianField):  # of which only the shape matters
            free = {"mean": 0.0, "std": 1.0}.items()
            settled = {k: v for k, v in free if isinstance(getattr(self.field, k), Unknown)}
            if settled:
                object.__setattr__(self, "field", replace(self.field, **settled))
        both = isinstance(self.low, Unknown) == isinstance(self.high, Unknown)
        low, high = float(self.low), float(self.high)
        if not both:  # of which one may have any value of its range
            low, high = _extremes(self.low)[0], _extremes(self.high)[1]
        if not low < high:
            raise InputError(
                f"low must be below high in a {self.name} prior, got low = {self.low:g} and high = "
                f"{self.high:g}; change one of them"
            )
        if not (self.field.has_latent and self.field.affine and self.field.proper):
            raise InputError(
                f"field of a {self.name} prior must be a Gaussian field with a mean that is not "
                f"flat, got {self.field.name}; use a gaussian-field"
            )
        if self.share != _EQUAL and self.field.latent_std is None:
            raise InputError(
                f"share of a {self.name} prior must be {_EQUAL:g} for a {self.field.name}, whose "
                f"standard deviation varies, got {self.share:g}; use a gaussian-field"
            )

    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        return self.field.latent(domain, kind)

    def phrase(self, domain: Domain) -> str:
        return (
            f"{self.low:g}, and {self.high:g} in a share of {self.share:g} of the area, where "
            f"{self.field.phrase(domain)} is above a threshold"
        )

    @cached_property
    def threshold(self) -> float:
        """The value of the latent field from which the coefficient is `high`."""
        if self.share == _EQUAL or self.field.latent_std is None:
            return 0.0
        quantile = torch.special.ndtri(torch.tensor(1 - self.share, dtype=torch.float64))
        return float(quantile) * self.field.latent_std

    def drawn(self, generator: torch.Generator | None = None) -> Self:
        while True:  # which ends, since the middle of low is below that of high
            numbers = self._drawn_numbers(generator)
            if numbers.get("low", self.low) < numbers.get("high", self.high):
                return self.with_numbers(**numbers)

    def coefficient(self, latent: torch.Tensor, values: Values | None = None) -> torch.Tensor:
        """Return the coefficients of latent fields, both (batch, 1, ny, nx).

        Arguments:
            latent: the fields.
            values: low and high of each field, (batch, 1, 1, 1); those of the prior if None.
        """
        high = latent >= self.threshold
        if values is not None:
            return torch.where(high, values[1], values[0])
        return torch.where(high, latent.new_tensor(self.high), latent.new_tensor(self.low))

    def smoothed(
        self, latent: torch.Tensor, width: float, values: Values | None = None
    ) -> torch.Tensor:
        """Return a smooth coefficient: 0.7 of the geometric and 0.3 of the arithmetic mean.

        The share of the high phase is the logistic function of the distance from the threshold over
        the width. A two-dimensional mixture of equal shares conducts like the geometric mean, a
        layered one between the harmonic and the arithmetic mean. At the contrast of the published
        problem this weighting removes most of the bias of the pressure that the arithmetic mean
        alone has. Where a value is not positive, it is the arithmetic mean.

        Arguments:
            latent: the fields.
            width: of the jump, in units of the latent field.
            values: as of `coefficient`.

        Reference:
            Dykhne, *Conductivity of a two-dimensional two-phase system*, JETP 32, 1971.
        """
        distance = latent - self.threshold if self.threshold else latent
        share = torch.sigmoid(distance / width)
        low, high = (self.low, self.high) if values is None else values
        arithmetic = low + (high - low) * share
        if not self.positive:
            return arithmetic
        geometric = low * (high / low) ** share
        return _GEOMETRIC * geometric + (1 - _GEOMETRIC) * arithmetic

    @property
    def phases(self) -> tuple[float, float]:
        return (self.low, self.high)

    @property
    def bounds(self) -> tuple[float, float]:
        (least, _), (_, most) = _extremes(self.low), _extremes(self.high)
        return (least, most)

    @property
    def symmetric(self) -> bool:
        return self.low == -self.high and self.share == _EQUAL and self.field.symmetric

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return self.field.keeps(element, domain)


def _extremes(value: float) -> tuple[float, float]:
    """Return what a value leaves with no probability that counts."""
    if not isinstance(value, Unknown):
        return value, value
    if value.of == "readings":  # whose scale is not known yet
        return (1 / EXTREME if value.law.startswith("log") else -EXTREME, EXTREME)
    return value.extremes
