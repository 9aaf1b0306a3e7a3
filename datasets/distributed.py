"""Quantities over positions, made of a number, an array or a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike

from pdeinv.annotations import Convertible
from pdeinv.checks import EXTREME, Bounds, described
from pdeinv.errors import InputError
from pdeinv.grid import LARGEST, Domain, Grid
from pdeinv.unknown import UNKNOWN, Unknown

__all__ = ["Along", "Distributed", "Quantity", "node_positions"]

Quantity: TypeAlias = float | ArrayLike | torch.Tensor | Callable[[Any, Any], Any]
"""A number, which may be an `Unknown`, an array or a function f(x, y)."""

_SNAP = 1e-9  # cells; nearer to a node, a position is the node
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
        if callable(value):
            return value
        if isinstance(value, Mapping):
            value = Unknown.of_value(what, value)
        if isinstance(value, str) and value == UNKNOWN:
            raise InputError(
                f"{what} must be a number or a range, got {described(value)}; give the range that "
                f"likely holds it, as {{unknown = [low, high]}}, or Unknown(low, high) in Python"
            )
        if isinstance(value, Unknown):
            return value.checked(what, Bounds(least=-EXTREME, most=EXTREME))
        array = _real_array(what, value)
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

    @property
    def zero(self) -> bool:
        """Whether the quantity is zero everywhere; a function does not count as such."""
        if isinstance(self.value, Unknown):
            return False
        return not callable(self.value) and not np.any(self.value)

    def to_json(self, what: str = "a quantity") -> Any:
        if callable(self.value):
            raise InputError(
                f"{what} must be a number or an array to be stored, got {described(self.value)}; "
                f"give the array of its values instead"
            )
        if isinstance(self.value, Unknown):
            return self.value.to_json()
        return self.value if isinstance(self.value, float) else self.value.tolist()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self) or not isinstance(other, _Positioned):
            return NotImplemented
        if callable(self.value) or callable(other.value):
            return self.value is other.value
        return np.array_equal(self.value, other.value)

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
        return "values along the side" if self.dimensions == 1 else "values over the domain"


class Distributed(_Positioned):
    """A quantity over the domain.

    Arguments:
        value: one of
            - a number;
            - an array (my, mx), indexed [y, x]: values at equally spaced positions with both ends,
              linear in between. On a torus each side is without its last end, which is its first;
            - a function f(x, y) of positions in the domain's coordinates. It takes two arrays (m,),
              of numpy or of torch, and returns m numbers, or one for all.

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
        x, y = np.asarray(points, dtype=np.float64).reshape(-1, 2).T
        if not isinstance(self.value, np.ndarray):
            return _plain(self.value, x, y)
        x0, x1, y0, y1 = domain.extent
        rows, columns = self.value.shape
        low, high, p = _cells((y - y0) / (y1 - y0), rows, periodic)
        left, right, q = _cells((x - x0) / (x1 - x0), columns, periodic)
        lower = (1 - q) * self.value[low, left] + q * self.value[low, right]
        upper = (1 - q) * self.value[high, left] + q * self.value[high, right]
        return (1 - p) * lower + p * upper


class Along(_Positioned):
    """A quantity along a side of the domain.

    Arguments:
        value: a number or a function, as in `Distributed`, or an array (m,) of values at equally
            spaced positions along the side with both ends, linear in between. A side runs in the
            direction of growing x or y.

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
        points = np.asarray(points, dtype=np.float64).reshape(-1, 2)
        if not isinstance(self.value, np.ndarray):
            return _plain(self.value, *points.T)
        start, end = domain.extent[2 * axis : 2 * axis + 2]
        low, high, p = _cells((points[:, axis] - start) / (end - start), len(self.value), False)
        return (1 - p) * self.value[low] + p * self.value[high]


def _real_array(what: str, value: Any) -> np.ndarray:
    """Return a number or an array of real numbers as a float64 array."""
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ma.MaskedArray):
            value = np.ma.filled(value.astype(np.float64), np.nan)
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" or array.size == 0:
            raise TypeError
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InputError(
            f"{what} must be a real number, an array of real numbers or a function of x and y, got "
            f"{described(value)}; convert it"
        ) from None


def _cells(
    share: np.ndarray, nodes: int, periodic: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two nodes around each position, and the position between them from 0 to 1.

    Arguments:
        share: positions as shares of the side, (m,).
        nodes: equally spaced nodes of the side.
        periodic: whether the first node follows the last one.
    """
    t = share * nodes if periodic else np.clip(share, 0, 1) * (nodes - 1)
    t = np.where(np.abs(t - np.rint(t)) < _SNAP, np.rint(t), t)
    first = np.floor(t) if periodic else np.minimum(np.floor(t), nodes - 2)
    low = first.astype(np.int64)
    return low % nodes, (low + 1) % nodes, t - first


def _plain(value: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a number, or the values of a function, at each position."""
    if not callable(value):
        return np.full(len(x), value)
    name = described(value)
    try:
        try:
            found = value(x.copy(), y.copy())
        except (AttributeError, TypeError):  # functions of torch take tensors alone
            found = value(torch.tensor(x), torch.tensor(y))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"a function of the positions must take two arrays x and y, got {name}, which fails "
            f"with {described(error)}; correct the function"
        ) from None
    values = _real_array(f"what the function {name} returns", found)
    if values.shape not in ((), x.shape):
        raise InputError(
            f"what the function {name} returns must be one number for each of the {len(x)} "
            f"positions, got an array of shape {values.shape}; correct the function"
        )
    wrong = np.flatnonzero(~(np.abs(values) <= EXTREME))
    if wrong.size:
        where = f" at x = {x[wrong[0]]:g}, y = {y[wrong[0]]:g}" if values.ndim else ""
        raise InputError(
            f"what the function {name} returns must be finite and at most {EXTREME:g} in size, got "
            f"{values.flat[wrong[0]]:g}{where}; correct the function"
        )
    return np.broadcast_to(values, x.shape).copy()


def node_positions(grid: Grid) -> np.ndarray:
    """Return `grid.points()`, (ny * nx, 2), without tensors: `torch.func` may be at work."""
    (x0, _, y0, _), (width, height) = grid.extent, grid.domain.lengths
    y, x = (
        start + length * (np.arange(n, dtype=np.float64) / cells)
        for start, length, n, cells in zip(
            (y0, x0), (height, width), grid.shape, grid.cells, strict=True
        )
    )
    y, x = np.meshgrid(y, x, indexing="ij")
    return np.stack([x.ravel(), y.ravel()], axis=1)
