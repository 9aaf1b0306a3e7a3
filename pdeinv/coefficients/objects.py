"""The contract of coefficients that are a few objects on a background."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import Bounds, Positive, integer
from pdeinv.coefficients.base import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.symmetry import Symmetry

__all__ = [
    "ObjectPrior",
    "Scenes",
    "Sizes",
    "Span",
    "balanced",
    "centred",
    "in_words",
    "offsets",
    "scaled",
]

Span = tuple[float, float]
"""Least and largest value of a number that is uniform between them."""
Sizes = tuple[Positive, Positive]
"""Those of a length, or of another number that is positive."""
_MOST = 32  # objects, of which each takes an array of the nodes


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes; all their numbers are uniform on [0, 1] a priori.

    Arguments:
        common: numbers that the objects of a scene share, (batch, common).
        objects: numbers of each object, (batch, most, each); those behind the count do not matter.
        count: number of objects of each scene, (batch,), integers.
    """

    common: torch.Tensor
    objects: torch.Tensor
    count: torch.Tensor

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.count)

    def to(self, dtype: torch.dtype) -> Scenes:
        """Return the scenes with numbers of another type."""
        return Scenes(self.common.to(dtype), self.objects.to(dtype), self.count)

    @property
    def present(self) -> torch.Tensor:
        """Which objects are there, (batch, most)."""
        return torch.arange(self.objects.shape[1]) < self.count[:, None]

    def chosen(self, rows: torch.Tensor) -> Scenes:
        """Return some of the scenes, by their rows or by a mask (batch,)."""
        return Scenes(self.common[rows], self.objects[rows], self.count[rows])

    def put(self, rows: slice | torch.Tensor, others: Scenes) -> None:
        """Write others in the place of those of some rows."""
        self.common[rows], self.objects[rows] = others.common, others.objects
        self.count[rows] = others.count

    @classmethod
    def joined(cls, parts: Sequence[Scenes]) -> Scenes:
        """Return the scenes of all parts."""
        return cls(
            torch.cat([scenes.common for scenes in parts]),
            torch.cat([scenes.objects for scenes in parts]),
            torch.cat([scenes.count for scenes in parts]),
        )

    def repeated(self, n: int) -> Scenes:
        """Return n scenes, these by turns."""
        return self.chosen(torch.arange(n) % len(self))

    def where(self, mask: torch.Tensor, others: Scenes) -> Scenes:
        """Return these scenes where a mask (batch,) holds, and others elsewhere."""
        return Scenes(
            torch.where(mask[:, None], self.common, others.common),
            torch.where(mask[:, None, None], self.objects, others.objects),
            torch.where(mask, self.count, others.count),
        )


@dataclass(frozen=True)
class ObjectPrior(CoefficientPrior, contract=True):
    """A background with a random number of objects of one kind, each stated by a few numbers.

    Every number of a scene is uniform and independent of the others; so is the number of objects,
    from `fewest` to `most`. Lengths are shares of the domain's shorter side. A kind that is
    `balanced` has every symmetry of the domain.

    Arguments:
        fewest, most: number of objects.

    Attributes:
        common: how many numbers the objects of a scene share.
        each: how many numbers each object has.
        cyclic_common, cyclic: which of them are angles, whose ends are one.

    Raises:
        InputError: a number is out of range; on use, the domain is periodic.
    """

    fewest: int
    most: int

    common: ClassVar[int] = 0
    each: ClassVar[int]
    cyclic_common: ClassVar[tuple[int, ...]] = ()
    cyclic: ClassVar[tuple[int, ...]] = ()
    affine = False

    def __post_init__(self) -> None:
        check_fields(self, f"{{}} of the {self.name} prior")
        what = f"of the {self.name} prior"
        integer(f"fewest {what}", self.fewest, Bounds(0, _MOST))
        integer(f"most {what}", self.most, Bounds(max(self.fewest, 1), _MOST))
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, tuple) and not value[0] <= value[1]:
                raise InputError(
                    f"{f.name} {what} must be the least and the largest value, got {value}; swap "
                    f"them"
                )

    @abstractmethod
    def render(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Return the coefficients (batch, 1, ny, nx) of scenes, float64."""

    def render_coarsely(self, scenes: Scenes, grid: Grid) -> torch.Tensor:
        """Return coefficients as of `render` on a grid that need not resolve the objects, such that
        solutions are about those on a fine grid."""
        return self.render(scenes, grid)

    @property
    def number_in_words(self) -> str:
        """How many objects there are."""
        return f"{self.fewest} to {self.most}" if self.fewest < self.most else f"{self.most}"

    def check_domain(self, domain: Domain, kind: GridKind) -> None:
        if kind == "periodic":
            raise InputError(
                f"the domain of the {self.name} prior must have sides, got a periodic one; use a "
                f"gaussian-field"
            )

    @property
    def balanced(self) -> bool:
        """Whether no corner of the domain is preferred."""
        return True

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return self.balanced

    def wrapped(self, scenes: Scenes) -> Scenes:
        """Return scenes with numbers of any size as ones of numbers in [0, 1].

        Angles turn on; other numbers are reflected at 0 and 1. It maps uniform numbers to such.
        """
        return Scenes(
            _folded(scenes.common, self.cyclic_common),
            _folded(scenes.objects, self.cyclic),
            scenes.count,
        )

    def draw_scenes(self, n: int, generator: torch.Generator | None = None) -> Scenes:
        """Return n scenes of the distribution."""

        def uniform(*shape: int) -> torch.Tensor:
            return torch.rand(n, *shape, dtype=torch.float64, generator=generator)

        extra = (uniform() * (self.most - self.fewest + 1)).long()
        return Scenes(uniform(self.common), uniform(self.most, self.each), self.fewest + extra)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        self.check_domain(grid.domain, grid.kind)
        return self.render(self.draw_scenes(n, generator), grid)


def _folded(numbers: torch.Tensor, cyclic: tuple[int, ...]) -> torch.Tensor:
    folded = 1 - (numbers.remainder(2) - 1).abs()
    folded[..., cyclic] = numbers[..., cyclic].remainder(1)
    return folded


def scaled(numbers: torch.Tensor, span: Span) -> torch.Tensor:
    """Return numbers uniform on [0, 1] as uniform ones of a span."""
    low, high = span
    return low + (high - low) * numbers


def balanced(span: Span) -> bool:
    """Return whether a span of shares is the same from either side."""
    return abs(sum(span) - 1) < 1e-9


def centred(grid: Grid, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x (nx,) and y (ny,) of the nodes about the domain's centre, in shorter sides."""
    ax, ay = grid.domain.aspect
    y, x = grid.shares()
    return (ax * (x - 0.5)).to(dtype), (ay * (y - 0.5)).to(dtype)


def in_words(span: Span) -> str:
    """Return a span as a range."""
    return f"{span[0]:g} to {span[1]:g}"


def offsets(places: torch.Tensor, span: Span, grid: Grid) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x (batch, most, 1, nx) and y (batch, most, ny, 1) of the nodes about the places of
    objects, in shorter sides.

    Arguments:
        places: (batch, most, 2), uniform on [0, 1].
        span: of both coordinates, in shares of the domain's sides.
        grid: of the nodes.
    """
    x, y = centred(grid, places.dtype)
    centre = (scaled(places, span) - 0.5) * places.new_tensor(grid.domain.aspect)
    return x - centre[..., 0, None, None], y[:, None] - centre[..., 1, None, None]
