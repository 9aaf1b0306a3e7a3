"""Symmetry groups of rectangles and of tori; their elements act exactly on fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from pdeinv.annotations import check_fields
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.symmetry_element import IDENTITY, POINT_GROUP, Matrix, Symmetry, act

__all__ = [
    "Group",
    "Matrix",
    "Symmetry",
    "act",
    "diagonal_forcing_group",
    "rectangle_group",
    "square_group",
    "torus_group",
    "trivial_group",
]


@dataclass(frozen=True)
class Group:
    """A symmetry group: finitely many elements, times continuous translations.

    Arguments:
        elements: the finite part, the identity first.
        translations: directions, in whole periods, along which every translation is a symmetry.
    """

    elements: tuple[Symmetry, ...]
    translations: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "{} of a group")
        if not self.elements:
            raise InputError(
                "elements of a group must hold the identity, got none; use trivial_group()"
            )

    def __len__(self) -> int:
        """Number of elements of the finite part."""
        return len(self.elements)

    def __iter__(self) -> Iterator[Symmetry]:
        return iter(self.elements)

    def element(
        self, index: int, generator: torch.Generator | None = None, grid: Grid | None = None
    ) -> Symmetry:
        """Return one element of the finite part, followed by random translations of the group.

        Arguments:
            index: index in the finite part, counted cyclically.
            generator: source of the translations.
            grid: with a grid the translations are by whole cells, which permute the nodes. A
                diagonal direction has them on grids of as many nodes in x as in y.
        """
        element = self.elements[index % len(self.elements)]
        for dx, dy in self.translations:
            amount = float(torch.rand(1, generator=generator, dtype=torch.float64))
            if grid is not None:
                cells = math.gcd(*(n for n, d in zip(grid.cells, (dy, dx), strict=True) if d))
                amount = round(amount * cells) / cells
            element = Symmetry(shift=(amount * dx, amount * dy)) @ element
        return element

    def on_grid(self, grid: Grid) -> Group:
        """Return the part that acts on a grid: where that is not square, the elements that keep the
        axes."""
        if grid.square:
            return self
        return replace(self, elements=tuple(g for g in self.elements if g.matrix[0][0]))

    def acting_on(self, fields: Sequence[Field]) -> Group:
        """Return the group that acts on a stack of these fields."""
        return replace(self, elements=tuple(g.acting_on(fields) for g in self.elements))

    def sample(self, generator: torch.Generator | None = None) -> Symmetry:
        """Draw a uniformly random element, translations included."""
        return self.element(
            int(torch.randint(len(self.elements), (1,), generator=generator)), generator
        )


def square_group() -> Group:
    """Return D4 acting on scalars: the eight symmetries of the square about its centre."""
    return Group(tuple(_about_centre(matrix) for matrix in POINT_GROUP))


def rectangle_group() -> Group:
    """Return D2 acting on scalars: the four symmetries of the rectangle about its centre."""
    return Group(tuple(_about_centre(matrix) for matrix in POINT_GROUP if matrix[0][0]))


def _about_centre(matrix: Matrix) -> Symmetry:
    (a, b), (c, d) = matrix
    return Symmetry(matrix, (float(a + b < 0), float(c + d < 0)))  # s = centre - M centre


def torus_group() -> Group:
    """Return the translations, quarter turns and reflections of the torus.

    They act on pseudo-scalars (vorticity).
    """
    return Group(tuple(_pseudo_scalar(matrix) for matrix in POINT_GROUP), ((1, 0), (0, 1)))


def diagonal_forcing_group() -> Group:
    """Return the part of the torus's group that keeps a diagonal forcing f(x + y).

    The forcing is even about x + y = 1/8, and odd under a shift of x + y by 1/2. The elements are
    translations along (1, -1); half a turn, x + y -> 1/4 - (x + y); the swap of the axes, x + y ->
    x + y + 1/2; and their product. They act on pseudo-scalars (vorticity).
    """
    swap, half_turn, anti_swap = ((0, 1), (1, 0)), ((-1, 0), (0, -1)), ((0, -1), (-1, 0))
    return Group(
        (
            _pseudo_scalar(IDENTITY),
            _pseudo_scalar(half_turn, (0.125, 0.125)),
            _pseudo_scalar(swap, (0.25, 0.25)),
            _pseudo_scalar(anti_swap, (0.375, 0.375)),
        ),
        ((1, -1),),
    )


def _pseudo_scalar(matrix: Matrix, shift: tuple[float, float] = (0.0, 0.0)) -> Symmetry:
    return Symmetry(matrix, shift, ("pseudo-scalar",))


def trivial_group() -> Group:
    """Return the group of the identity."""
    return Group((Symmetry(),))
