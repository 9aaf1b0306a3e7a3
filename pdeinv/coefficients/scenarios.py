"""Gaussian fields whose length and direction are one of several: a mixture of scenarios."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Annotated

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import EXTREME, Bounds
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.coefficients.gaussian_field import GaussianField
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.symmetry import Symmetry

__all__ = ["MixturePrior", "Scenarios"]

_MOST = 100  # scenarios, each of which takes a reconstruction
_Size = Annotated[float, Bounds(above=0, most=EXTREME)]


@dataclass(frozen=True)
class MixturePrior(CoefficientPrior, contract=True):
    """A distribution that is one of several, its parts, with equal probability."""

    affine = False

    @property
    @abstractmethod
    def parts(self) -> tuple[CoefficientPrior, ...]:
        """The parts."""

    def check_domain(self, domain: Domain, kind: GridKind) -> None:
        for part in self.parts:
            part.check_domain(domain, kind)

    @property
    def bounds(self) -> tuple[float, float] | None:
        spans = [part.bounds for part in self.parts if part.bounds is not None]
        if len(spans) < len(self.parts):
            return None
        return (min(low for low, _ in spans), max(high for _, high in spans))

    @property
    def proper(self) -> bool:
        return all(part.proper for part in self.parts)

    @property
    def symmetric(self) -> bool:
        return all(part.symmetric for part in self.parts)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        if not n:
            return self.parts[0].sample(0, grid, generator)
        chosen = torch.randint(len(self.parts), (n,), generator=generator)
        return torch.cat([self.parts[i].sample(1, grid, generator) for i in chosen.tolist()])


@dataclass(frozen=True)
class Scenarios(MixturePrior):
    """A Gaussian field whose length and direction are one of several, all equally probable.

    A field of one length and one direction is Gaussian; a mixture of such is not. Its posterior for
    a linear physics has a closed form, which the `mixture` solver computes.

    Arguments:
        lengths: along the longer axis, in the domain's unit; see `GaussianField`, also for the
            next four.
        angles: of the longer axis, in degrees anticlockwise from x.
        std: standard deviation about the mean, in the coefficient's units.
        mean: in these units.
        smoothness: ν of the Matérn covariance.
        anisotropy: the shorter correlation length over the longer one.

    Example:
        >>> from pdeinv import Grid, Scenarios
        >>> Scenarios(lengths=(0.2, 0.4), angles=(0, 45, 90, 135)).sample(3, Grid(16)).shape
        torch.Size([3, 1, 16, 16])
    """

    lengths: tuple[_Size, ...]
    angles: tuple[float, ...] = (0.0,)
    std: _Size = 1.0
    mean: float = 0.0
    smoothness: Annotated[float, Bounds(least=0.5, finite=False)] = 1.5
    anisotropy: Annotated[float, Bounds(above=0, most=1)] = 0.25

    name = "scenarios"

    def __post_init__(self) -> None:
        check_fields(self, f"{{}} of the {self.name} prior")
        number = len(self.lengths) * len(self.angles)
        if not 1 <= number <= _MOST:
            raise InputError(
                f"lengths times angles of the {self.name} prior must be 1 to {_MOST} scenarios, "
                f"got {number}; give {'fewer' if number else 'some'}"
            )

    @cached_property
    def parts(self) -> tuple[GaussianField, ...]:
        return tuple(
            GaussianField(self.mean, self.std, length, self.smoothness, self.anisotropy, angle)
            for length, angle in product(self.lengths, self.angles)
        )

    def phrase(self, domain: Domain) -> str:
        unit = "" if domain.unit == "1" else f" {domain.unit}"
        lengths, angles = (
            ", ".join(f"{value:g}" for value in values) for values in (self.lengths, self.angles)
        )
        return (
            f"a Gaussian field with mean {self.mean:g}, standard deviation {self.std:g}, "
            f"smoothness {self.smoothness:g}, anisotropy {self.anisotropy:g}, and one of the "
            f"correlation lengths {lengths}{unit} along one of {angles} degrees"
        )

    @property
    def symmetric(self) -> bool:
        return self.mean == 0

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        if self.anisotropy == 1:
            return True
        turned = {self._angle(element, angle) for angle in self.angles}
        return turned == {round(angle % 180, 6) % 180 for angle in self.angles}

    @staticmethod
    def _angle(element: Symmetry, angle: float) -> float:
        """The angle of an axis under an element of D4, from 0 to 180 degrees."""
        radians = torch.deg2rad(torch.tensor(angle, dtype=torch.float64))
        axis = torch.tensor(element.matrix, dtype=torch.float64) @ torch.stack(
            [radians.cos(), radians.sin()]
        )
        return round(float(torch.rad2deg(torch.atan2(axis[1], axis[0]))) % 180, 6) % 180
