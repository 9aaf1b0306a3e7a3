"""Checks of the fields of a dataclass by their annotations.

A checked dataclass states what its fields must be: `steps: Steps`, `weight: Positive | None`,
`kind: Literal["a", "b"]`. Its `__post_init__` calls `check_fields`. A class that makes instances of
plain values, such as numbers or arrays, is a `Convertible`.
"""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

import numpy as np

from pdeinv.checks import Bounds, choice, described, integer, number
from pdeinv.errors import InputError
from pdeinv.unknown import Guess, Unknown

__all__ = ["Convertible", "annotations_of", "check_fields"]


class Convertible(ABC):
    """A class whose instances are made of plain values, and stored as such.

    A field of a checked dataclass with this annotation takes such a value.
    """

    @classmethod
    @abstractmethod
    def of(cls, value: Any, what: str) -> Any:
        """Return an instance made of a value; an instance stays as it is.

        Arguments:
            value: what was given.
            what: name of the value, as the message has it.

        Raises:
            InputError: no instance can be made of the value.
        """

    @abstractmethod
    def to_json(self, what: str) -> Any:
        """Return JSON values from which `of` makes an equal instance; arguments as of `of`.

        Raises:
            InputError: the instance cannot be stored.
        """


def check_fields(instance: object, name: str, unknown: Collection[str] = ()) -> None:
    """Check the fields of a frozen dataclass by their annotations, and make their types the stated
    ones: a numpy integer becomes an int, a list a tuple, a range of what may be unknown an
    `Unknown`.

    An annotation that states none of the kinds of this module, such as a protocol, is not checked.

    Arguments:
        instance: the dataclass.
        name: how a message names a field, as "{} of moment".
        unknown: names of the fields with numbers that may be unknown; where there are some, the
            others must be known.

    Raises:
        InputError: a field is of another kind, or outside of its range.
    """
    kind: Any = type(instance)
    hints = annotations_of(kind)
    for field in dataclasses.fields(kind):
        if field.init:
            what = name.format(field.name)
            value, hint = getattr(instance, field.name), hints[field.name]
            found = _unknown(what, value, hint) if field.name in unknown else None
            if unknown and found is None and (field.name not in unknown or _is_row(value)):
                _refuse_unknown(what, value)
            value = _checked(what, value, hint) if found is None else found
            object.__setattr__(instance, field.name, value)


@lru_cache(maxsize=256)
def annotations_of(kind: type) -> dict[str, Any]:
    """Return the annotations of a dataclass's fields, evaluated where that is possible."""
    places = {name: base for base in reversed(kind.__mro__) for name in _annotations(base)}
    found = {}
    for field in dataclasses.fields(kind):
        hint = field.type
        try:
            if isinstance(hint, str):
                hint = eval(hint, vars(sys.modules[places[field.name].__module__]))
        except Exception:  # a name of the type checker's alone, or of a function's
            hint = type(field.default) if type(field.default) in (bool, int, float, str) else Any
        found[field.name] = hint
    return found


def _annotations(base: type) -> dict[str, Any]:
    return inspect.get_annotations(base) if base is not object else {}


def _unknown(what: str, value: object, hint: Any) -> Unknown | None:
    """Return the unknown number that a value of a field of numbers states; None if it is none."""
    notes: tuple[Any, ...] = ()
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)  # type: ignore[assignment]
    if hint is not float:
        return None
    found = Unknown.of_value(what, value, next((n for n in notes if isinstance(n, Guess)), None))
    bounds = next((note for note in notes if isinstance(note, Bounds)), None)
    return found if found is None else found.checked(what, bounds)


def _is_row(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def _refuse_unknown(what: str, value: object) -> None:
    """Refuse an unknown number, also one in a tuple, where only a known one can stand."""
    for one in value if _is_row(value) else [value]:
        if isinstance(one, Unknown):
            raise InputError(
                f"{what} must be known, got {one:g}; state the number, which is not inferred"
            )


def _checked(what: str, value: object, hint: Any) -> object:
    bounds = None
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
        bounds = next((note for note in notes if isinstance(note, Bounds)), None)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in get_args(hint):
            return None
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        return _checked(what, value, kinds[0]) if len(kinds) == 1 else value
    if origin is Literal:
        return choice(what, value, get_args(hint))
    if origin is tuple:
        return _checked_tuple(what, value, get_args(hint))
    if hint is int:
        return integer(what, value, bounds)
    if hint is float:
        return number(what, value, bounds)
    if hint is bool and isinstance(value, np.bool_):
        return bool(value)
    if isinstance(hint, type) and origin is None and issubclass(hint, Convertible):
        return hint.of(value, what)
    if origin is Callable:
        wrong = "" if callable(value) else "a callable"
    elif isinstance(hint, type) and origin is None and not getattr(hint, "_is_protocol", False):
        wrong = "" if isinstance(value, hint) else _NAMES.get(hint, f"a {hint.__name__}")
    else:
        wrong = ""
    if wrong:
        raise InputError(f"{what} must be {wrong}, got {described(value)}; change it")
    return value


_NAMES: dict[type, str] = {bool: "True or False", str: "a text"}


def _checked_tuple(what: str, value: object, kinds: tuple[Any, ...]) -> object:
    if kinds[-1] is not Ellipsis and isinstance(value, list | tuple):
        if len(value) == len(kinds):
            return tuple(
                _checked(f"entry {i} of {what}", v, kind)
                for i, (v, kind) in enumerate(zip(value, kinds, strict=True))
            )
    elif kinds[-1] is Ellipsis and isinstance(value, list | tuple):
        return tuple(_checked(f"entry {i} of {what}", v, kinds[0]) for i, v in enumerate(value))
    length = "" if kinds[-1] is Ellipsis else f" of {len(kinds)} entries"
    raise InputError(f"{what} must be a tuple{length}, got {described(value)}; give one")
