"""The contract of a distribution of coefficients."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.annotations import check_fields
from pdeinv.coefficients.stored import StoredPrior
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry

__all__ = ["CoefficientPrior"]


@dataclass(frozen=True)
class CoefficientPrior(StoredPrior, contract=True):
    """A distribution of coefficients.

    It is stated without a domain, and serves any physics whose coefficient it can be. A subclass is
    a frozen dataclass of numbers; see `pdeinv.annotations` for their checks. It states `latent` and
    `coefficient`, a latent Gaussian field and a map from it, node by node; or `sample` alone.

    Attributes:
        affine: whether the map is affine, so that the coefficient is Gaussian.
        logarithmic: whether its logarithm is Gaussian, which results then have as a field too.
        of_values: numbers that the map from the latent field has, not the field itself.
        never_unknown: numbers that must be stated.

    Example:
        >>> stated = {"kind": "log-normal", "median": 2.0, "log_std": 1.0, "length": 400}
        >>> prior = CoefficientPrior.of(stated)
        >>> prior.with_numbers(median=3).sample(4, Grid(16, extent=(0, 3000, 0, 1200))).shape
        torch.Size([4, 1, 16, 16])
    """

    affine: ClassVar[bool] = True
    logarithmic: ClassVar[bool] = False
    of_values: ClassVar[tuple[str, ...]] = ()
    never_unknown: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        numbers = [f.name for f in dataclasses.fields(self) if f.name not in self.never_unknown]
        check_fields(self, f"{{}} of the {self.name} prior", unknown=numbers)

    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        """Return the latent field on a domain; the same one for the same arguments.

        Raises:
            InputError: there is none, or none on such a domain.
        """
        raise InputError(
            f"the prior must have a latent Gaussian field here, got the {self.name} prior, which "
            f"has none; use one such as a gaussian-field"
        )

    @property
    def has_latent(self) -> bool:
        """Whether the coefficient is a map of a latent Gaussian field, node by node."""
        return type(self).latent is not CoefficientPrior.latent

    def check_domain(self, domain: Domain, kind: GridKind) -> None:
        """Refuse a domain on which there are no such coefficients.

        Raises:
            InputError: there are none.
        """
        if self.has_latent:
            self.latent(domain, kind)

    def phrase(self, domain: Domain) -> str:
        """Return the distribution in words, behind "the coefficient is"."""
        stated = ", ".join(
            f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in self.numbers.items()
        )
        return f"{self.name} with {stated}" if stated else self.name

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of latent fields, both (batch, 1, ny, nx)."""
        return latent

    def smoothed(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """Return `coefficient` with each jump smoothed over about `width` of the latent field.

        This makes it differentiable.
        """
        return self.coefficient(latent)

    @property
    def phases(self) -> tuple[float, float] | None:
        """The two values of the coefficient in rising order; None where it may have others."""
        return None

    @property
    def threshold(self) -> float:
        """The value of the latent field from which a coefficient with `phases` has the second of
        them."""
        return 0.0

    @property
    def bounds(self) -> tuple[float, float] | None:
        """What the coefficient leaves with no probability that counts; None where it may be any."""
        return None

    @property
    def positive(self) -> bool:
        """Whether every coefficient is positive everywhere."""
        return self.bounds is not None and self.bounds[0] > 0

    @property
    def proper(self) -> bool:
        """Whether coefficients can be drawn; a flat mean leaves no distribution to draw from."""
        return True

    @property
    def latent_std(self) -> float | None:
        """Standard deviation of the latent field where it is the same on all domains and at all
        points; else None."""
        return None

    @property
    def symmetric(self) -> bool:
        """Whether -a has the distribution of a."""
        return False

    def centred(self, readings: torch.Tensor) -> CoefficientPrior:
        """Return the prior about the mean of readings (m,) of the coefficient, if it is flat.

        A flat mean is the same about any value; near the readings it costs no digits.
        """
        return self

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        """Return whether an element of D4, or of the torus's group, keeps the distribution; False
        claims nothing.

        The element acts on scalars and maps the domain onto itself.
        """
        return False

    def keeps_as_pseudo_scalar(self, element: Symmetry, domain: Domain) -> bool:
        """Return `keeps` of an element under whose reflections the coefficient changes its sign."""
        return self.keeps(element, domain) and (self.symmetric or element.determinant > 0)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n coefficients (n, 1, ny, nx), float64.

        One seed gives the same functions on every grid. Each draw has its own numbers where some
        are unknown.

        Raises:
            InputError: the distribution is not proper.
        """
        if self.unknowns and n:
            prior = self.in_units({"domain": grid.domain.shorter, "readings": 1.0})
            return torch.cat([prior.drawn(generator).sample(1, grid, generator) for _ in range(n)])
        if not self.proper:
            raise InputError(
                f"a prior must be proper to be drawn from, got the {self.name} prior with a flat "
                f"mean; give mean_std a finite value"
            )
        return self.coefficient(self.latent(grid.domain, grid.kind).sample(n, grid, generator))
