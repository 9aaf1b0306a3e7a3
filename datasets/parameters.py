"""Parameters of a PDE as JSON values, for files and results."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Container, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pdeinv.annotations import Convertible, annotations_of
from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.unknown import Unknown

__all__ = ["from_json", "to_json"]

Plain = bool | int | float | str | None


def to_json(
    instance: Any, *, describe: bool = False, names: Container[str] | None = None
) -> dict[str, Any]:
    """Return the parameters of a PDE, or the fields of another dataclass, as JSON values.

    Numbers, texts and None stay as they are; a tuple becomes a list, a dataclass an object of its
    fields, and a `Convertible` what it states.

    Arguments:
        instance: the PDE or the dataclass.
        describe: state in words a parameter that cannot be stored, instead of refusing it.
        names: of the parameters or fields; all if None.

    Raises:
        InputError: a parameter cannot be stored, such as a function.
    """
    stated = {}
    for field in dataclasses.fields(instance):
        if field.init and (names is None or field.name in names):
            value = getattr(instance, field.name)
            try:
                stated[field.name] = _written(f"parameter {field.name}", value)
            except InputError:
                if not describe:
                    raise
                stated[field.name] = repr(value)
    return stated


def _written(what: str, value: Any) -> Any:
    if isinstance(value, Unknown):
        return value.to_json()
    if isinstance(value, Plain):
        return value
    if isinstance(value, Convertible):
        return value.to_json(what)
    if isinstance(value, tuple | list):
        return [_written(f"entry {i} of {what}", entry) for i, entry in enumerate(value)]
    if dataclasses.is_dataclass(value):
        return {
            field.name: _written(f"{field.name} of {what}", getattr(value, field.name))
            for field in dataclasses.fields(value)
        }
    raise InputError(
        f"{what} must be one that files can hold, got {described(value)}; use numbers, texts and "
        f"arrays"
    )


def from_json(kind: type, stored: Mapping[str, Any], place: str = "parameter {}") -> dict[str, Any]:
    """Return the arguments of a PDE's class that `to_json` stored.

    A plain value is returned as it is; the class checks it.

    Arguments:
        kind: the PDE's class, or another dataclass.
        stored: the values by the names of the parameters; those that are left out keep their
            defaults.
        place: how a message names a parameter.

    Raises:
        InputError: a name is not one of the parameters, or a value has another shape.
    """
    return _arguments(kind, stored, place)


def _arguments(kind: type, stored: Any, place: str) -> dict[str, Any]:
    hints = annotations_of(kind)
    names = [f.name for f in dataclasses.fields(kind) if f.init]
    for name in stored:
        if name not in names:
            raise InputError(
                f"{place.format('names')} must be of {', '.join(names)}, got {described(name)}; "
                f"remove it"
            )
    return {name: _read(place.format(name), v, hints[name]) for name, v in stored.items()}


def _read(what: str, value: Any, hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not type(None)]
        if value is None and len(kinds) < len(get_args(hint)):
            return None
        hint = kinds[0] if len(kinds) == 1 else Any
    if get_origin(hint) is tuple and isinstance(value, list):
        kinds = list(get_args(hint))
        if kinds[-1] is Ellipsis:
            kinds = [kinds[0]] * len(value)
        if len(kinds) == len(value):
            pairs = enumerate(zip(value, kinds, strict=True))
            return tuple(_read(f"entry {i} of {what}", v, kind) for i, (v, kind) in pairs)
    if isinstance(hint, type) and get_origin(hint) is None:
        if issubclass(hint, Convertible):
            return hint.of(value, what)
        if dataclasses.is_dataclass(hint):
            return _instance(what, value, hint)
    if hint is float and isinstance(value, dict | list | tuple):
        return Unknown.of_value(what, value)
    if not isinstance(value, Plain):
        raise InputError(
            f"{what} must be a number, a text, true or false, got {described(value)}; correct it"
        )
    return value


def _instance(what: str, value: Any, kind: Any) -> Any:
    if not isinstance(value, dict):
        raise InputError(
            f"{what} must be an object of {kind.__name__.lower()}'s fields, got "
            f"{described(value)}; correct it"
        )
    arguments = _arguments(kind, value, f"{{}} of {what}")
    required = [
        f.name
        for f in dataclasses.fields(kind)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for name in required:
        if name not in arguments:
            raise InputError(f"{name} of {what} must be given, got none; add it")
    return kind(**arguments)
