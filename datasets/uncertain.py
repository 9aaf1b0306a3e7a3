"""Quantities that are uncertain along a side or over the domain: a Gaussian field about a mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import scipy
import torch

from pdeinv.annotations import Convertible, check_fields
from pdeinv.checks import EXTREME, Bounds, described
from pdeinv.coefficients.correlation import correlation
from pdeinv.errors import InputError
from pdeinv.grid import Domain
from pdeinv.unknown import UNKNOWN

__all__ = ["Drawn", "Uncertain"]

_SIZE = Bounds(above=0, most=EXTREME)
_INFINITE = "inf"  # in JSON, which has no such number
_SPACING = {1: 1 / 8, 2: 1 / 3}  # of the lattice of a side and of a domain, in lengths
_FEWEST = {1: 17, 2: 7}  # nodes of that lattice along each direction
_MOST = 1600  # nodes of that lattice in all
_LOST = {1: 1e-3, 2: 1e-2}  # share of the variance in functions that are left out
_RESOLVED = 1e-10  # of the largest eigenvalue; smaller ones are rounding


@dataclass(frozen=True)
class Uncertain(Convertible):
    """A quantity along a side, or over the domain, of which a Gaussian prior is stated.

    It stands in the place of a number, an array or a function: as the value or the flux of a side,
    or as a source. Solvers that support it infer it with the coefficient. Wherever it is neither
    inferred nor drawn, it is its mean.

    The deviations from the mean are a stationary Matérn field. It is a sum of few functions times
    standard normal numbers: the Karhunen–Loève functions of the covariance, by Nyström's method.
    They are as many as hold nearly all of the variance; a factor at each position makes up for the
    rest.

    Arguments:
        mean: a number, an array or a function, as in `Along` or in `Distributed`.
        std: standard deviation of the deviations from the mean.
        length: distance at which their correlation is 1/e, in the unit of the domain.
        smoothness: of the Matérn family; inf is as smooth as can be.

    Raises:
        InputError: a number is not allowed.

    Reference:
        Rasmussen & Williams, *Gaussian Processes for Machine Learning*, 2006, sections 4.2.1 and
        4.3.2.

    Example:
        >>> from pdeinv.datasets import Uncertain, Value
        >>> Value(Uncertain(52.0, std=2.0, length=500.0)).phrase("h")
        'h = 52 ± 2 (length 500)'
    """

    mean: Any
    std: Annotated[float, _SIZE]
    length: Annotated[float, _SIZE]
    smoothness: Annotated[float, Bounds(least=0.5, finite=False)] = 1.5

    def __post_init__(self) -> None:
        check_fields(self, "{} of an uncertain quantity")

    @classmethod
    def of(cls, value: Any, what: str = "an uncertain quantity") -> Uncertain:
        if isinstance(value, cls):
            return value
        if not isinstance(value, Mapping):
            raise InputError(
                f"{what} must be an Uncertain(mean, std, length), got {described(value)}; give its "
                f"numbers"
            )
        names = [f.name for f in fields(cls)]
        for name in value:
            if name not in names:
                near = get_close_matches(str(name), [*names, UNKNOWN], 1)
                raise InputError(
                    f"{what} must have keys of {', '.join(names)}, or {UNKNOWN} alone, got "
                    f"{described(name)}; {f'did you mean {near[0]!r}?' if near else 'remove it'}"
                )
        for name in names[:3]:
            if name not in value:
                raise InputError(f"{name} of {what} must be given, got none; add it")
        numbers = {k: math.inf if v == _INFINITE else v for k, v in value.items() if k != "mean"}
        try:
            return cls(value["mean"], **numbers)
        except InputError as error:
            raise InputError(f"{what}: {error}") from None

    def to_json(self, what: str = "an uncertain quantity") -> dict[str, Any]:
        stated = {"mean": self.mean.to_json(f"the mean of {what}"), "std": self.std}
        stated["length"] = self.length
        if self.smoothness != type(self).smoothness:
            finite = math.isfinite(self.smoothness)
            stated["smoothness"] = self.smoothness if finite else _INFINITE
        return stated

    @property
    def phrase(self) -> str:
        """The mean, the standard deviation and the length for people."""
        return f"{self.mean.phrase} ± {self.std:g} (length {self.length:g})"

    def at(self, points: Any, domain: Domain, *axis: int, **options: Any) -> np.ndarray:
        """Return the values of the mean; arguments as of the quantity that it stands for."""
        return self.mean.at(points, domain, *axis, **options)

    def size(self, domain: Domain, *axis: int) -> int:
        """Return the number of functions, whose factors are standard normal.

        Arguments:
            domain: the domain.
            axis: of the side, as of `Along.at`; left out for a quantity over the domain.

        Raises:
            InputError: the length is too short for the domain.
        """
        return self._modes(domain, axis).vectors.shape[1]

    def functions(self, points: Any, domain: Domain, *axis: int) -> np.ndarray:
        """Return the values of the functions at positions, (m, size); the squares of those at a
        position have the sum std².

        Arguments:
            points: (m, 2), each (x, y) in the domain's coordinates.
            domain, axis: as of `size`.
        """
        self.size(domain, *axis)  # which may refuse the length
        starts, points = domain.extent[::2], np.reshape(points, (-1, 2))
        places = np.stack([points[:, i] - starts[i] for i in axis or (0, 1)], axis=1)
        lengths = tuple(domain.lengths[i] for i in axis or (0, 1))
        return self.std * _functions(lengths, self.length, self.smoothness, places.tobytes())

    def _modes(self, domain: Domain, axis: tuple[int, ...]) -> _Modes:
        lengths = tuple(domain.lengths[i] for i in axis or (0, 1))
        shape = _lattice(lengths, self.length)
        if math.prod(shape) > _MOST:
            least = max(lengths) if len(lengths) == 1 else math.sqrt(math.prod(lengths))
            least *= _SPACING[len(lengths)] ** -1 / _MOST ** (1 / len(lengths))
            raise InputError(
                f"length of an uncertain quantity must be at least about {1.1 * least:.2g} "
                f"{'along the side' if axis else 'over the domain'}, got {self.length:g}; use a "
                f"longer one"
            )
        return _modes(lengths, self.length, self.smoothness)


class Drawn:
    """An uncertain quantity with values of its standard normal numbers.

    Arguments:
        of: the quantity.
        white: the numbers, (size,), float64; they may require a gradient.
    """

    def __init__(self, of: Uncertain, white: torch.Tensor) -> None:
        self.of, self.white = of, white

    def at(self, points: Any, domain: Domain, *axis: int, **options: Any) -> np.ndarray:
        """Return the values at positions, (m,); arguments as of the quantity."""
        return self.tensor(points, domain, *axis, **options).detach().numpy()

    def tensor(self, points: Any, domain: Domain, *axis: int, **options: Any) -> torch.Tensor:
        """Return `at` as a tensor, which is differentiable."""
        mean = torch.from_numpy(self.of.at(points, domain, *axis, **options))
        return mean + torch.from_numpy(self.of.functions(points, domain, *axis)) @ self.white

    @property
    def phrase(self) -> str:
        """The quantity for people."""
        return f"a draw of {self.of.phrase}"


@dataclass(frozen=True)
class _Modes:
    """The Karhunen–Loève functions of a Matérn field of variance 1 on an interval or a rectangle.

    Arguments:
        length, smoothness: of the field.
        places: nodes of a lattice, (n, 1) or (n, 2), from the lowest corner.
        vectors: eigenvectors of the covariance of the nodes over the roots of their eigenvalues,
            (n, size), the largest first.
    """

    length: float
    smoothness: float
    places: np.ndarray
    vectors: np.ndarray

    def covariance(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return correlation(
            scipy.spatial.distance.cdist(first, second) / self.length, self.smoothness
        )


def _lattice(lengths: tuple[float, ...], length: float) -> tuple[int, ...]:
    """Return the nodes of a lattice along each direction."""
    dimensions = len(lengths)
    cells = (math.ceil(min(side / (length * _SPACING[dimensions]), _MOST)) for side in lengths)
    return tuple(max(_FEWEST[dimensions], n + 1) for n in cells)


@lru_cache(maxsize=16)
def _modes(lengths: tuple[float, ...], length: float, smoothness: float) -> _Modes:
    shape = _lattice(lengths, length)
    axes = (np.linspace(0.0, side, n) for side, n in zip(lengths, shape, strict=True))
    places = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(lengths))
    blank = _Modes(length, smoothness, places, np.empty((0, 0)))
    values, vectors = np.linalg.eigh(blank.covariance(places, places))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = 1 + int(np.searchsorted(np.cumsum(values) / len(places), 1 - _LOST[len(lengths)]))
    kept = min(kept, int((values > _RESOLVED * values[0]).sum()))
    # A sign for each function, which is not left to the algorithm
    largest = np.abs(vectors[:, :kept]).argmax(axis=0)
    signs = np.sign(vectors[largest, np.arange(kept)])
    return _Modes(length, smoothness, places, signs * vectors[:, :kept] / np.sqrt(values[:kept]))


@lru_cache(maxsize=8)  # of up to megabytes each
def _functions(
    lengths: tuple[float, ...], length: float, smoothness: float, places: bytes
) -> np.ndarray:
    """Return the functions of a field of variance 1 at places, (m, size)."""
    modes = _modes(lengths, length, smoothness)
    at = np.frombuffer(places).reshape(-1, len(lengths))
    values = modes.covariance(at, modes.places) @ modes.vectors
    return values / np.linalg.norm(values, axis=1, keepdims=True)
