"""The contract of a distribution of coefficients."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, get_args, get_origin

import torch

from pdeinv.annotations import Convertible, annotations_of, check_fields
from pdeinv.checks import described
from pdeinv.coefficients.prior_numbers import PriorNumbers
from pdeinv.errors import InputError
from pdeinv.external import is_reference, load_class, source_of
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.latent_field import LatentField
from pdeinv.symmetry import Symmetry
from pdeinv.unknown import Unknown

__all__ = ["CoefficientPrior"]

_INFINITE = "inf"  # in JSON, which has no such number


@dataclass(frozen=True)
class CoefficientPrior(PriorNumbers, Convertible):
    """A distribution of coefficients: a latent Gaussian field, and a map from it, node by node.

    It is stated without a domain, and serves any physics whose coefficient it can be. A subclass is
    a frozen dataclass of numbers; see `pdeinv.annotations` for their checks.

    Attributes:
        name: in files; the name of the class in kebab case if it is not given.
        affine: whether the map is affine, so that the coefficient is Gaussian.
        logarithmic: whether its logarithm is Gaussian, which results then have as a field too.
        storable: whether files can hold it, which they cannot with a function.
        of_values: numbers that the map from the latent field has, not the field itself.
        never_unknown: numbers that must be stated.

    Example:
        >>> stated = {"kind": "log-normal", "median": 2.0, "log_std": 1.0, "length": 400}
        >>> prior = CoefficientPrior.of(stated)
        >>> prior.with_numbers(median=3).sample(4, Grid(16, extent=(0, 3000, 0, 1200))).shape
        torch.Size([4, 1, 16, 16])
    """

    name: ClassVar[str]
    affine: ClassVar[bool] = True
    logarithmic: ClassVar[bool] = False
    storable: ClassVar[bool] = True
    of_values: ClassVar[tuple[str, ...]] = ()
    never_unknown: ClassVar[tuple[str, ...]] = ()
    kinds: ClassVar[dict[str, type[CoefficientPrior]]] = {}
    """The public classes by their names."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not hasattr(cls, "name"):
            cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        if "name" in cls.__dict__ and not cls.__name__.startswith("_"):
            known = CoefficientPrior.kinds.get(cls.name, cls)
            if known.__module__.startswith("pdeinv.") and known.__module__ != cls.__module__:
                raise InputError(
                    f"the name of a class of priors must not be that of a built-in kind, got "
                    f"{cls.name!r} of {cls.__qualname__}; rename the class, or state another `name`"
                )
            CoefficientPrior.kinds[cls.name] = cls

    def __post_init__(self) -> None:
        numbers = [f.name for f in dataclasses.fields(self) if f.name not in self.never_unknown]
        check_fields(self, f"{{}} of the {self.name} prior", unknown=numbers)

    @abstractmethod
    def latent(self, domain: Domain, kind: GridKind) -> LatentField:
        """Return the latent field on a domain; the same one for the same arguments.

        Raises:
            InputError: there is none on such a domain.
        """

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

    @classmethod
    def of(cls, value: Any, what: str = "the prior") -> Any:
        """Return the prior that `to_json` stored; a prior stays as it is.

        Raises:
            InputError: it is neither, or not of this class.
        """
        if isinstance(value, CoefficientPrior):
            made = value
        elif isinstance(value, dict) and isinstance(value.get("kind"), str):
            made = _of_kind(value["kind"], what)._stated(
                {k: v for k, v in value.items() if k != "kind"}, what
            )
        else:
            raise InputError(
                f"{what} must be a prior of pdeinv.coefficients or an object with its 'kind', got "
                f"{described(value)}; give one of {', '.join(_storable())}"
            )
        if not isinstance(made, cls):
            raise InputError(
                f"{what} must be of the kind {cls.name}, got {made.name}; choose another"
            )
        return made

    @classmethod
    def _stated(cls, values: dict[str, Any], what: str) -> CoefficientPrior:
        names = [f.name for f in dataclasses.fields(cls)]
        for key in values:
            if key not in names:
                raise InputError(cls._unknown(key, names, what))
        for f in dataclasses.fields(cls):
            missing = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            if missing and f.name not in values:
                raise InputError(f"{f.name} of {what} ({cls.name}) must be given, got none; add it")
        hints = annotations_of(cls)
        numbers = {name for name in names if _is_float(hints[name])}
        return cls(
            **{
                name: math.inf if name in numbers and value == _INFINITE else value
                for name, value in values.items()
            }
        )

    def to_json(self, what: str = "the prior") -> dict[str, Any]:
        """Return the kind and the numbers as JSON values, which `of` takes back.

        Raises:
            InputError: the prior has no kind, or holds a function.
        """
        source = source_of(type(self))
        if not source and type(self) not in CoefficientPrior.kinds.values():
            raise InputError(
                f"{what} must be of a kind that files can hold, got {type(self).__name__}; use one "
                f"of {', '.join(_storable())}"
            )
        stated: dict[str, Any] = {"kind": source or self.name}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, Convertible | Unknown):
                value = value.to_json(what) if isinstance(value, Convertible) else value.to_json()
            elif not isinstance(value, int | float | str | tuple | None):
                raise InputError(
                    f"{what} must be one that files can hold, got {f.name} = {described(value)}; "
                    f"use numbers and texts"
                )
            stated[f.name] = _INFINITE if value == math.inf else value
        return stated


def _is_float(hint: Any) -> bool:
    return (get_args(hint)[0] if get_origin(hint) is Annotated else hint) is float


def _storable() -> list[str]:
    """Return the names of the kinds that files can hold."""
    return sorted(name for name, kind in CoefficientPrior.kinds.items() if kind.storable)


def _of_kind(name: str, what: str) -> type[CoefficientPrior]:
    kinds = CoefficientPrior.kinds
    if is_reference(name):
        return load_class(name, CoefficientPrior, kinds)  # type: ignore[type-abstract]
    if name in kinds and not kinds[name].storable:
        raise InputError(
            f"kind of {what} must be one of {', '.join(_storable())}, got {name!r}, which has a "
            f"function that a file cannot hold; state it in Python"
        )
    if name not in kinds:
        near = difflib.get_close_matches(name, _storable(), n=1)
        raise InputError(
            f"kind of {what} must be one of {', '.join(_storable())}, got {name!r}; "
            + (f"did you mean {near[0]!r}?" if near else "use one of them, or file.py:Class")
        )
    return kinds[name]
