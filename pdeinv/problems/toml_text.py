"""TOML text of nested tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

__all__ = ["toml_text"]


def toml_text(tables: dict[str, Any]) -> str:
    """Return a document of nested dictionaries, lists, texts and numbers as TOML.

    A dictionary that states its `kind`, or holds dictionaries, is a table with a header of its own;
    any other one within a table is in one line.
    """
    return "\n".join(_lines(tables, "")).lstrip("\n") + "\n"


def _lines(table: dict[str, Any], path: str) -> Iterator[str]:
    own = {k: v for k, v in table.items() if _has_header(v, path)}
    for key, value in table.items():
        if key not in own:
            yield f"{key} = {_value(value)}"
    for key, value in own.items():
        name = f"{path}.{key}" if path else key
        for one in value if isinstance(value, list) else [value]:
            yield ""
            yield f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            yield from _lines(one, name)


def _has_header(value: Any, path: str) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(one, dict) for one in value)
    if not isinstance(value, dict):
        return False
    return not path or "kind" in value or any(isinstance(one, dict) for one in value.values())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        rows = any(isinstance(one, list) for one in value)
        return "[" + (",\n  " if rows else ", ").join(map(_value, value)) + "]"
    if isinstance(value, str):
        # The escapes of JSON are TOML's, but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)
