"""Elements of the symmetry groups of rectangles and of tori, acting exactly on fields.

In coordinates that run from 0 to 1 along each side, an element g maps a point x to M x + s, where M
is a signed permutation. It maps a scalar field f to (g f)(x) = f(g⁻¹ x). The linear part and every
shift by whole cells permute the nodes. Any other shift of a periodic field is a phase in Fourier
space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from pdeinv.annotations import check_fields
from pdeinv.errors import InputError
from pdeinv.fields import Field, FieldKind
from pdeinv.grid import Grid
from pdeinv.transforms import fourier_coefficients, fourier_synthesis, wavenumbers

__all__ = ["IDENTITY", "POINT_GROUP", "Matrix", "Symmetry", "act"]

Matrix = tuple[tuple[int, int], tuple[int, int]]
"""The rows over (x, y) of a signed permutation."""

IDENTITY: Matrix = ((1, 0), (0, 1))
POINT_GROUP: tuple[Matrix, ...] = (
    IDENTITY,
    ((0, -1), (1, 0)),  # rotations by 90, 180 and 270 degrees
    ((-1, 0), (0, -1)),
    ((0, 1), (-1, 0)),
    ((-1, 0), (0, 1)),  # reflections in x, in y, in the diagonal and in the anti-diagonal
    ((1, 0), (0, -1)),
    ((0, 1), (1, 0)),
    ((0, -1), (-1, 0)),
)


@dataclass(frozen=True)
class Symmetry:
    """The map x -> M x + s of points, and its action on fields.

    Arguments:
        matrix: M as rows over (x, y); a signed permutation. One that swaps the axes needs a square.
        shift: s = (sx, sy), in shares of the sides. On a vertex grid it must map the rectangle,
            after M, onto itself. On the torus it is any real shift.
        kinds: kind of the field in each channel, or one for all: M changes the sign of a
            pseudo-scalar by det M, and turns a vector.
    """

    matrix: Matrix = IDENTITY
    shift: tuple[float, float] = (0.0, 0.0)
    kinds: tuple[FieldKind, ...] = ("scalar",)

    def __post_init__(self) -> None:
        check_fields(self, "{} of a symmetry")
        if self.matrix not in POINT_GROUP:
            raise InputError(
                f"matrix of a symmetry must be a signed permutation of (x, y), got {self.matrix}; "
                f"use one such as ((0, 1), (1, 0))"
            )
        pairs = zip(("scalar", *self.kinds), (*self.kinds, "scalar"), strict=True)
        paired = all((one == "vector-x") == (two == "vector-y") for one, two in pairs)
        if not self.kinds or not paired:
            raise InputError(
                f"kinds of a symmetry must be one for each channel, with vector-y behind vector-x, "
                f"got {self.kinds}; use ('scalar',)"
            )

    @property
    def determinant(self) -> int:
        """det M, 1 or -1."""
        (a, b), (c, d) = self.matrix
        return a * d - b * c

    def inverse(self) -> Symmetry:
        """Return the inverse element."""
        (a, b), (c, d) = self.matrix
        sx, sy = self.shift
        return Symmetry(((a, c), (b, d)), (-(a * sx + c * sy), -(b * sx + d * sy)), self.kinds)

    def __matmul__(self, other: Symmetry) -> Symmetry:
        """Return the composition: (g @ h)(f) = g(h(f))."""
        (a, b), (c, d) = self.matrix
        (e, f), (g, h) = other.matrix
        x, y = other.shift
        return Symmetry(
            ((a * e + b * g, a * f + b * h), (c * e + d * g, c * f + d * h)),
            (a * x + b * y + self.shift[0], c * x + d * y + self.shift[1]),
            other.kinds if self.kinds == ("scalar",) else self.kinds,
        )

    def __call__(self, field: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Act on a stack of fields (..., channel, ny, nx); differentiable.

        It is exact for a field that the grid resolves.

        Raises:
            InputError: the field is not one of the grid, the number of kinds is not that of the
                channels, the element swaps the axes of a grid that is not square, or the shift does
                not map the rectangle onto itself.
        """
        if field.ndim < 3:
            raise InputError(
                f"fields under a symmetry must be (..., channel, ny, nx), got "
                f"{tuple(field.shape)}; add a channel dimension"
            )
        grid.check_shape(field)
        if len(self.kinds) not in (1, field.shape[-3]):
            raise InputError(
                f"a symmetry of {len(self.kinds)} kinds must act on as many channels, got "
                f"{field.shape[-3]} channels; give one kind or {field.shape[-3]}"
            )
        return self._turn(self._permute(field, grid))

    def acting_on(self, fields: Sequence[Field]) -> Symmetry:
        """Return the element that acts on a stack of these fields."""
        kinds = tuple(field.kind for field in fields)
        alike = len(set(kinds)) == 1 and kinds[0] in ("scalar", "pseudo-scalar")
        return replace(self, kinds=kinds[:1] if alike else kinds)

    def _turn(self, field: torch.Tensor) -> torch.Tensor:
        """Return the field with the signs of pseudo-scalars, and vectors turned by M."""
        (a, b), (c, d) = self.matrix
        if self.matrix == IDENTITY or set(self.kinds) == {"scalar"}:
            return field
        if self.kinds == ("pseudo-scalar",):
            return field if self.determinant == 1 else -field
        channels = list(field.unbind(dim=-3))
        for i, kind in enumerate(self.kinds):
            if kind == "pseudo-scalar":
                channels[i] = self.determinant * channels[i]
            elif kind == "vector-x":
                x, y = channels[i], channels[i + 1]
                channels[i] = a * x if a else b * y
                channels[i + 1] = c * x if c else d * y
        return torch.stack(channels, dim=-3)

    def _permute(self, field: torch.Tensor, grid: Grid) -> torch.Tensor:
        (a, b), (c, d) = self.matrix
        # (g f)(x) = f(Mᵀ (x - s)): the row of M that holds the coordinate determines that axis
        if a == 0:
            if not grid.square:
                raise InputError(
                    f"the grid of a quarter turn or a diagonal reflection must be square, got "
                    f"{grid} nodes on {grid.domain}; use an element that keeps the axes"
                )
            field, flip_x, flip_y = field.transpose(-1, -2), b < 0, c < 0
        else:
            flip_x, flip_y = a < 0, d < 0
        dims = [dim for dim, flip in ((-1, flip_x), (-2, flip_y)) if flip]
        field = field.flip(dims) if dims else field
        if not grid.periodic:
            if any(
                abs(s - flip) > 1e-12 for s, flip in zip(self.shift, (flip_x, flip_y), strict=True)
            ):
                raise InputError(
                    f"the shift must map the rectangle onto itself, got {self.shift}; use a "
                    f"periodic grid"
                )
            return field
        # Reversing n nodes maps index i to n-1-i, one cell short of the torus's -i
        return _translate(
            field, grid, self.shift[0] + flip_x / grid.nx, self.shift[1] + flip_y / grid.ny
        )


def _translate(field: torch.Tensor, grid: Grid, sx: float, sy: float) -> torch.Tensor:
    """Shift a periodic field by shares (sx, sy): roll by whole cells, then turn the phases by the
    rest."""
    cells = (sx * grid.nx, sy * grid.ny)
    whole = tuple(round(c) for c in cells)
    field = field.roll((whole[0] % grid.nx, whole[1] % grid.ny), dims=(-1, -2))
    rest = tuple((c - w) / n for c, w, n in zip(cells, whole, (grid.nx, grid.ny), strict=True))
    if max(map(abs, rest)) < 1e-12:
        return field
    ky, kx = wavenumbers(grid.shape, dtype=field.dtype, device=field.device)
    angle = -2 * torch.pi * (kx * rest[0] + ky * rest[1])
    phase = torch.polar(torch.ones_like(angle), angle)
    return fourier_synthesis(fourier_coefficients(field) * phase, grid.shape)


def act(elements: Sequence[Symmetry], fields: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Apply each element to its own member of a batch; differentiable.

    Arguments:
        elements: one for each member.
        fields: (batch, channel, ny, nx).
        grid: grid of the fields.

    Raises:
        InputError: the batch has another number of members, or as for a `Symmetry`.
    """
    if len(elements) != len(fields):
        raise InputError(
            f"elements must be one for each of the {len(fields)} fields, got {len(elements)}; "
            f"repeat or drop some"
        )
    moved: dict[int, torch.Tensor] = {}
    places: dict[Symmetry, list[int]] = {}
    for i, element in enumerate(elements):
        places.setdefault(element, []).append(i)
    for element, chosen in places.items():
        moved |= dict(zip(chosen, element(fields[chosen], grid), strict=True))
    return torch.stack([moved[i] for i in range(len(fields))])
