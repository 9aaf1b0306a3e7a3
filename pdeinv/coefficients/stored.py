"""Distributions of coefficients by their names, and as JSON."""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_args, get_origin

from pdeinv.annotations import Convertible, annotations_of
from pdeinv.checks import described
from pdeinv.coefficients.prior_numbers import PriorNumbers
from pdeinv.errors import InputError
from pdeinv.external import is_reference, load_class, source_of
from pdeinv.unknown import Unknown

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["StoredPrior"]

_INFINITE = "inf"  # in JSON, which has no such number


@dataclasses.dataclass(frozen=True)
class StoredPrior(PriorNumbers, Convertible):
    """Base of `CoefficientPrior`: the names of its kinds, and how files hold their numbers.

    Attributes:
        name: in files; the name of the class in kebab case if it is not given.
        storable: whether files can hold it, which they cannot with a function.
    """

    name: ClassVar[str]
    storable: ClassVar[bool] = True
    kinds: ClassVar[dict[str, type[Any]]] = {}
    """The public classes by their names."""

    def __init_subclass__(cls, contract: bool = False) -> None:
        super().__init_subclass__()
        if contract:  # of several kinds, and none itself
            return
        if not hasattr(cls, "name"):
            cls.name = re.sub(r"(?<!^)(?=[A-Z])", "-", cls.__name__).lower()
        if "name" in cls.__dict__ and not cls.__name__.startswith("_"):
            known = StoredPrior.kinds.get(cls.name, cls)
            if known.__module__.startswith("pdeinv.") and known.__module__ != cls.__module__:
                raise InputError(
                    f"the name of a class of priors must not be that of a built-in kind, got "
                    f"{cls.name!r} of {cls.__qualname__}; rename the class, or state another `name`"
                )
            StoredPrior.kinds[cls.name] = cls

    @classmethod
    def of(cls, value: Any, what: str = "the prior") -> Any:
        """Return the prior that `to_json` stored; a prior stays as it is.

        Raises:
            InputError: it is neither, or not of this class.
        """
        if isinstance(value, StoredPrior):
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
    def _stated(cls, values: dict[str, Any], what: str) -> Self:
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
        if not source and type(self) not in StoredPrior.kinds.values():
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
    return sorted(name for name, kind in StoredPrior.kinds.items() if kind.storable)


def _of_kind(name: str, what: str) -> type[StoredPrior]:
    from pdeinv.coefficients.base import CoefficientPrior  # which is above this module

    kinds = StoredPrior.kinds
    if is_reference(name):
        return load_class(name, CoefficientPrior, kinds)
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
