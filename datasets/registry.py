"""The registry of PDEs by name."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, TypeVar

from pdeinv.checks import described
from pdeinv.datasets.base import PDE
from pdeinv.datasets.parameters import from_json
from pdeinv.errors import InputError
from pdeinv.external import is_reference, load_named, make_instance, run_named

__all__ = ["COMPOSED", "PDES", "pde_by_name", "register"]

PDES: dict[str, type[PDE]] = {}
"""Every registered PDE by its name."""
COMPOSED: dict[str, type[PDE]] = {}
"""PDEs made of others, without a default; `pde_by_name` makes them, and lists leave them out."""

Kind = TypeVar("Kind", bound=type[PDE])


def register(kind: Kind) -> Kind:
    """Register a PDE under its name; a class decorator, above `@dataclass(frozen=True)`.

    `pde_by_name`, the command line and the readers of files then find it.

    Arguments:
        kind: the class.

    Raises:
        InputError: a class of another module or name has the same `name`.
    """
    known = PDES.get(kind.name, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise InputError(
            f"the name of a PDE must be new, got {kind.name!r} of {known.__qualname__}; choose "
            f"another name"
        )
    PDES[kind.name] = kind
    return kind


def pde_by_name(name: str, **parameters: Any) -> PDE:
    """Return the PDE of that name: the published problem, where there is one.

    Arguments:
        name: a name in `PDES`, or `file.py:name` of a class or an instance outside of the package.
        parameters: values of some parameters, or what `PDE.json_parameters` states of them. The
            others are those of the published problem or of the instance, or else the defaults of
            the class.

    Raises:
        InputError: the name or a parameter is unknown, or a value is not of its parameter's kind.
    """
    if is_reference(name):
        wrapper = "pdeinv.pde_from_function"
        found = load_named(name, PDE, PDES, wrapper)  # type: ignore[type-abstract]
        if isinstance(found, PDE):
            return _changed(found.found_at(name), name, parameters)
        kind = found
    elif isinstance(name, str) and name in PDES | COMPOSED:
        kind = (PDES | COMPOSED)[name]
    else:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), PDES, n=1)
        raise InputError(
            f"pde must be one of {', '.join(sorted(PDES))}, got {described(name)}; "
            + (f"did you mean {close[0]!r}?" if close else "use one of them, or file.py:name")
        )
    _check_names(kind, name, parameters)
    given = kind.benchmark_parameters | parameters
    return make_instance(kind, given | _read(kind, name, given))


def _changed(pde: PDE, name: str, parameters: dict[str, Any]) -> PDE:
    """Return a PDE of a file with other values of some parameters."""
    if not parameters:
        return pde
    kind = type(pde)
    _check_names(kind, name, parameters)
    given = parameters | _read(kind, name, parameters)
    return run_named(kind, lambda: dataclasses.replace(pde, **given))


def _check_names(kind: type[PDE], name: str, parameters: dict[str, Any]) -> None:
    # A class's own parameters before those that all have
    fields = sorted(dataclasses.fields(kind), key=lambda field: bool(field.kw_only))
    known = [field.name for field in fields if field.init]
    for key in parameters.keys() - set(known):
        raise InputError(
            f"a parameter of {name} must be one of {', '.join(known)}, got {key!r}; rename it"
        )


def _read(kind: type[PDE], name: str, given: dict[str, Any]) -> dict[str, Any]:
    stored = {key: value for key, value in given.items() if isinstance(value, dict | list)}
    return from_json(kind, stored, f"parameter {{}} of {name}")
