"""Where results are stated: pages, notebooks, and the docstrings and messages of modules."""

from __future__ import annotations

import ast
import doctest
import inspect
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

from pdeinv.benchmarks.claims.claim import prose

__all__ = ["Text", "texts"]

Placed: TypeAlias = tuple[int, str]
"""A text and its number: of the line, or of the cell."""

_REFERENCE = re.compile(r"^Reference:\n(?:[ \t].*\n?|\n)*", re.MULTILINE)


class Text(NamedTuple):
    """A text in one piece.

    Arguments:
        place: path within the repository, and line or cell.
        prose: on one line, without code.
    """

    place: str
    prose: str


def texts(root: Path, pattern: str) -> list[Text]:
    """Return the texts of files; those of the claims themselves are left out.

    Arguments:
        root: of the repository.
        pattern: of paths within it.
    """
    return [
        Text(f"{path.relative_to(root)}:{number}", prose(text))
        for path in sorted(root.glob(pattern))
        if "claims" not in path.relative_to(root).parts
        for number, text in _READERS[path.suffix](path.read_text())
    ]


def _in_page(content: str) -> Iterator[Placed]:
    """Yield the page."""
    yield 1, content


def _in_notebook(content: str) -> Iterator[Placed]:
    """Yield the Markdown cells."""
    for number, cell in enumerate(json.loads(content)["cells"]):
        if cell["cell_type"] == "markdown":
            yield number, "".join(cell["source"])


def _in_module(content: str) -> Iterator[Placed]:
    """Yield docstrings, messages and other strings of several words.

    Examples, which tests run, and lists of references are left out.
    """
    parts: set[ast.AST] = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.JoinedStr):
            parts.update(node.values)
            text = "".join(
                str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in parts:
            text = node.value
        else:
            continue
        if " " in text:
            yield node.lineno, _without_examples(_REFERENCE.sub("", inspect.cleandoc(text)))


def _without_examples(text: str) -> str:
    pieces = doctest.DocTestParser().parse(text)
    return "".join(piece for piece in pieces if isinstance(piece, str))


_READERS: dict[str, Callable[[str], Iterator[Placed]]] = {
    ".md": _in_page,
    ".ipynb": _in_notebook,
    ".py": _in_module,
}
