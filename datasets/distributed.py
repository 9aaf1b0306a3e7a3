"""Quantities over positions, made of a number, an array or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

from pdeinv.annotations import Convertible
from pdeinv.checks import EXTREME, Bounds, described
from pdeinv.datasets.positions import cells_around, plain_values, real_array
from pdeinv.datasets.uncertain import Drawn, Uncertain
from pdeinv.errors import InputError
from pdeinv.grid import LARGEST, Domain, Grid
from pdeinv.unknown import UNKNOWN, Unknown

__all__ = ["Along", "Distributed", "Quantity", "node_positions"]

Quantity: TypeAlias = float | ArrayLike | torch.Tensor | Callable[[Any, Any], Any] | Uncertain
"""A number, which may be an `Unknown`, an array, a function f(x, y), or an `Uncertain` quantity."""

Kind = TypeVar("Kind", bound="_Positioned")


@dataclass(frozen=True, eq=False, repr=False)
class _Positioned(Convertible):
    """What a quantity over the domain and one along a side share.

    Equality and hash are by content; functions are compared by identity.
    """

    value: Any

    dimensions: ClassVar[int]
    shape_in_words: ClassVar[str]

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", self._converted("a quantity", self.value))

    @classmethod
    def of(cls: type[Kind], value: Any, what: str = "a quantity") -> Kind:
        return value if type(value) is cls else cls(cls._converted(what, value))

    @classmethod
    def _converted(cls, what: str, value: Any) -> Any:
        """Return a value as a float, a frozen float64 array or a function."""
        if isinstance(value, _Positioned):
            value = value.value
        if callable(value) or isinstance(value, Drawn):
            return value
        if isinstance(value, Mapping) and UNKNOWN in value:
            value = Unknown.of_value(what, value)
        if isinstance(value, str):
            raise InputError(
                f"{what} must be a number or a range, got {described(value)}; give the range that "
                f"likely holds it, as {{unknown = [low, high]}}, or Unknown(low, high) in Python"
            )
        if isinstance(value, Uncertain | Mapping):
            value = Uncertain.of(value, what)
            return replace(value, mean=cls._mean(f"the mean of {what}", value.mean))
        if isinstance(value, Unknown):
            return value.checked(what, Bounds(least=-EXTREME, most=EXTREME))
        array = real_array(what, value)
        if array.ndim not in (0, cls.dimensions) or not all(2 <= n <= LARGEST for n in array.shape):
            raise InputError(
                f"{what} must be a number, a function of x and y or {cls.shape_in_words}, got an "
                f"array of shape {array.shape}; give one of them, or {{unknown = [low, high]}} for "
                f"a number in a range"
            )
        wrong = array[~(np.abs(array) <= EXTREME)]
        if wrong.size:
            raise InputError(
                f"{what} must be finite and at most {EXTREME:g} in size, got {wrong[0]:g}; correct "
                f"it"
            )
        if array.ndim == 0:
            return float(array)
        # The memory of a `bytes` object cannot be made writable
        return np.frombuffer(array.tobytes()).reshape(array.shape)

    @classmethod
    def _mean(cls, what: str, value: Any) -> Any:
        """Return the mean of an uncertain quantity as a quantity."""
        made = cls.of(value, what)
        if not made.known or isinstance(made.value, Drawn):
            raise InputError(
                f"{what} must be known, got {made.phrase}; state how uncertain it is by the std"
            )
        return made

    @property
    def known(self) -> bool:
        """Whether the quantity is known, as none with an unknown number or a prior is."""
        return not isinstance(self.value, Unknown | Uncertain)

    @property
    def expected(self: Kind) -> Kind:
        """The quantity, or the mean of an uncertain one."""
        return self.value.mean if isinstance(self.value, Uncertain) else self

    @property
    def zero(self) -> bool:
        """Whether the quantity is zero everywhere; a function does not count as such."""
        if isinstance(self.value, Unknown | Uncertain | Drawn):
            return False
        return not callable(self.value) and not np.any(self.value)

    def tensor(self, *where: Any) -> torch.Tensor:
        """Return `at` as a tensor, (m,), float64; that of a draw is differentiable."""
        if isinstance(self.value, Drawn):
            return self.value.tensor(*where)
        return torch.from_numpy(self.at(*where))  # type: ignore[attr-defined]

    def to_json(self, what: str = "a quantity") -> Any:
        if callable(self.value) or isinstance(self.value, Drawn):
            raise InputError(
                f"{what} must be a number or an array to be stored, got {described(self.value)}; "
                f"give the array of its values instead"
            )
        if isinstance(self.value, Unknown):
            return self.value.to_json()
        if isinstance(self.value, Uncertain):
            return self.value.to_json(what)
        return self.value if isinstance(self.value, float) else self.value.tolist()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, _Positioned):
            return NotImplemented
        mine, others = self.value, other.value
        if isinstance(mine, np.ndarray) or isinstance(others, np.ndarray):
            return np.array_equal(mine, others)
        if callable(mine) or callable(others):
            return mine is others
        return bool(mine == others)

    def __hash__(self) -> int:
        if isinstance(self.value, np.ndarray):
            return hash((self.value.shape, (self.value + 0.0).tobytes()))  # -0.0 equals 0.0
        return id(self.value) if callable(self.value) else hash(self.value)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.value,))

    def __repr__(self) -> str:
        if not isinstance(self.value, np.ndarray):
            return f"{type(self).__name__}({self.phrase})"  # of a function without its address
        size = " x ".join(map(str, self.value.shape))
        ends = f"{self.value.min():g} to {self.value.max():g}"
        return f"{type(self).__name__}({size} values from {ends})"

    @property
    def phrase(self) -> str:
        """The quantity for people, such as "52"."""
        if callable(self.value):
            name = str(getattr(self.value, "__name__", type(self.value).__name__))
            return f"{name if name.isidentifier() else 'f'}(x, y)"
        if isinstance(self.value, float):
            return f"{self.value:g}"
        if isinstance(self.value, Uncertain | Drawn):
            return self.value.phrase
        return "values along the side" if self.dimensions == 1 else "values over the domain"


class Distributed(_Positioned):
    """A quantity over the domain.

    Arguments:
        value: one of
            - a number;
            - an array (my, mx), indexed [y, x]: values at equally spaced positions with both ends,
              linear in between. On a torus each side is without its last end, which is its first;
            - a function f(x, y) of positions in the domain's coordinates. It takes two arrays (m,),
              of numpy or of torch, and returns m numbers, or one for all;
            - an `Uncertain` quantity, whose mean is one of these.

    Raises:
        InputError: the value is something else, is not finite or has another shape.
    """

    dimensions = 2
    shape_in_words = "an array [y, x] of two or more values a side"

    def at(
        self, points: ArrayLike | torch.Tensor, domain: Domain, *, periodic: bool = False
    ) -> np.ndarray:
        """Return the values at positions, (m,), float64.

        Arguments:
            points: (m, 2), each (x, y) in the domain's coordinates. Outside of the domain an array
                continues with its values on the boundary.
            domain: the domain that the quantity is given over.
            periodic: whether the domain is a torus.

        Raises:
            InputError: a function fails, or does not return m finite numbers.
        """
        if isinstance(self.value, Uncertain | Drawn):
            return self.value.at(points, domain, periodic=periodic)
        x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        if not isinstance(self.value, np.ndarray):
            return plain_values(self.value, x, y)
        x0, x1, y0, y1 = domain.extent
        rows, columns = self.value.shape
        low, high, p = cells_around((y - y0) / (y1 - y0), rows, periodic)
        left, right, q = cells_around((x - x0) / (x1 - x0), columns, periodic)
        lower = (1 - q) * self.value[low, left] + q * self.value[low, right]
        upper = (1 - q) * self.value[high, left] + q * self.value[high, right]
        return (1 - p) * lower + p * upper


class Along(_Positioned):
    """A quantity along a side of the domain.

    Arguments:
        value: a number, a function or an `Uncertain` quantity, as in `Distributed`, or an array
            (m,) of values at equally spaced positions along the side with both ends, linear in
            between. A side runs in the direction of growing x or y.

    Raises:
        InputError: the value is something else, is not finite or has another shape.
    """

    dimensions = 1
    shape_in_words = "an array of two or more values along the side"

    def at(self, points: ArrayLike | torch.Tensor, domain: Domain, axis: int) -> np.ndarray:
        """Return the values at positions on the side, (m,), float64.

        Arguments:
            points, domain: as in `Distributed.at`.
            axis: 0 for a side that runs in x, 1 for one that runs in y.

        Raises:
            InputError: as in `Distributed.at`.
        """
        if isinstance(self.value, Uncertain | Drawn):
            return self.value.at(points, domain, axis)
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        if not isinstance(self.value, np.ndarray):
            return plain_values(self.value, *points.T)
        start, end = domain.extent[2 * axis : 2 * axis + 2]
        low, high, p = cells_around(
            (points[:, axis] - start) / (end - start), len(self.value), False
        )
        return (1 - p) * self.value[low] + p * self.value[high]


def node_positions(grid: Grid) -> np.ndarray:
    """Return `grid.points()`, (ny * nx, 2), without tensors: `torch.func` may be at work."""
    (x0, _, y0, _), (width, height) = grid.extent, grid.domain.lengths
    y, x = (
        start + length * ((np.arange(n, dtype=np.float64) + grid.first) / cells)
        for start, length, n, cells in zip(
            (y0, x0), (height, width), grid.shape, grid.cells, strict=True
        )
    )
    y, x = np.meshgrid(y, x, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)
