"""The registry of PDEs by name."""

from __future__ import annotations

import dataclasses
import difflib
from typing import Any, TypeVar

from pdeinv.checks import described
from pdeinv.datasets.base import PDE
from pdeinv.datasets.parameters import from_json
from pdeinv.errors import InputError
from pdeinv.external import is_reference, load_class, make_instance

__all__ = ["COMPOSED", "PDES", "pde_by_name", "register"]

PDES: dict[str, type[PDE]] = {}
"""Every registered PDE by its name."""
COMPOSED: dict[str, type[PDE]] = {}
"""PDEs made of others, without a default; `pde_by_name` makes them, and lists leave them out."""

Kind = TypeVar("Kind", bound=type[PDE])


def register(kind: Kind) -> Kind:
    """Register a PDE under its name; a class decorator, above `@dataclass(frozen=True)`.

    `pde_by_name`, the command line and the readers of files then find it.

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
        name: a name in `PDES`, or `file.py:Class` for a class outside of the package.
        parameters: values of some parameters, or what `PDE.json_parameters` states of them. The
            others are those of the published problem, or else the defaults of the class.

    Raises:
        InputError: the name or a parameter is unknown, or a value is not of its parameter's kind.
    """
    if is_reference(name):
        kind = load_class(name, PDE, PDES)  # type: ignore[type-abstract]
    elif isinstance(name, str) and name in PDES | COMPOSED:
        kind = (PDES | COMPOSED)[name]
    else:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), PDES, n=1)
        raise InputError(
            f"pde must be one of {', '.join(sorted(PDES))}, got {described(name)}; "
            + (f"did you mean {close[0]!r}?" if close else "use one of them, or file.py:Class")
        )
    # A class's own parameters before those that all have
    fields = sorted(dataclasses.fields(kind), key=lambda field: bool(field.kw_only))
    known = [field.name for field in fields if field.init]
    for key in parameters.keys() - set(known):
        raise InputError(
            f"a parameter of {name} must be one of {', '.join(known)}, got {key!r}; rename it"
        )
    given = kind.benchmark_parameters | parameters
    stored = {key: value for key, value in given.items() if isinstance(value, dict | list)}
    return make_instance(kind, given | from_json(kind, stored, f"parameter {{}} of {name}"))
