"""Where a mistake in a problem file stands, and what must be there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.problems.tables import FEATURES, ProblemTables
from pdeinv.schema import must_be

__all__ = ["sentence_of", "within"]

_REPEATED = {"well", "experiment", "instrument", *FEATURES}


def sentence_of(first: Any) -> str:
    """Return one sentence of the first mistake that pydantic found."""
    return _joined(_place(first["loc"]), _requirement(first))


def _joined(place: str, requirement: str) -> str:
    """Return one sentence of a place and what must be there; a class's own has its subject."""
    whole = requirement.startswith("must ")
    return f"{place} {requirement}" if whole else f"in {place}, {requirement}"


def _place(location: tuple[int | str, ...]) -> str:
    """Return where a value stands, such as `[boundary] left` or `[[well]] 2 x`."""
    tables: list[str] = []
    keys: list[str] = []
    for part in location:
        if isinstance(part, int):
            tables.append(str(part + 1)) if not keys else keys.append(f"entry {part + 1}")
        elif not keys and part in _REPEATED:
            tables.append(f"[[{part}]]")
        elif not keys and part in ProblemTables.model_fields and part != "format":
            tables.append(f"[{part}]")
        else:
            keys.append(part)
    return " ".join([*tables, *keys]) or "the file"


def _requirement(first: Any) -> str:
    if first["type"] == "missing":
        return "must be given, got none; add it"
    if first["type"] in ("value_error", "assertion_error"):
        return str(first["ctx"]["error"])
    names = [part for part in first["loc"] if isinstance(part, str)]
    header, got = ".".join(names), described(first["input"])
    if first["type"] == "list_type" and names[-1] in _REPEATED:
        return f"must be tables in two brackets, got {got}; write [[{header}]] above each"
    if first["type"] == "model_type":
        header = f"[[{header}]]" if names[-1] in _REPEATED else f"[{header}]"
        return f"must be a table, got {got}; write {header} and below it its keys"
    return f"{must_be(first)}; correct it"


@contextmanager
def within(place: str) -> Iterator[None]:
    """Put the place in the file in front of the messages of the block."""
    try:
        yield
    except InputError as error:
        raise InputError(f"in {place}, {error}") from None
