"""The page on warnings has every warning that the package gives, and every cause of an alarm."""

import ast
import re

import pytest
from helpers import ROOT

FOLDERS = ("pdeinv", "datasets", "solvers")
PAGE = " ".join((ROOT / "docs" / "warnings.md").read_text().split())
WARN = {"warn", "warn_caller", "warn_input"}


def names(call):
    return ast.unparse(call.func).split(".")[-1]


def sources():
    """Yield the place and the node of each warning's words, and of each text of the alarms."""
    for path in (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))):
        place = str(path.relative_to(ROOT))
        for node in ast.walk(ast.parse(path.read_text())):
            if place.startswith("solvers/alarms/") and isinstance(node, ast.JoinedStr):
                yield f"{place}:{node.lineno}", node
            elif isinstance(node, ast.Call) and node.args and names(node) in WARN:
                yield f"{place}:{node.lineno}", node.args[0]
            elif isinstance(node, ast.FunctionDef) and node.name == "doubt":
                for part in ast.walk(node):
                    if isinstance(part, ast.JoinedStr):
                        yield f"{place}:{part.lineno}", part


def pieces(node):
    """The literal pieces of a message, of three words and more, in runs without quotes."""
    if isinstance(node, ast.Constant):
        parts = [node]
    else:
        parts = [p for p in getattr(node, "values", []) if isinstance(p, ast.Constant)]
    found = [" ".join(p.value.split()).strip(" ;,:()") for p in parts if isinstance(p.value, str)]
    return [piece for piece in found if len(piece.split()) >= 3]


MESSAGES = {place: found for place, node in sources() if (found := pieces(node))}


def on_the_page(message):
    phrases = [part for piece in message for part in (piece, *re.split(r"; |, |: ", piece))]
    return any(phrase in PAGE for phrase in phrases if len(phrase.split()) >= 3)


def test_there_are_messages():
    assert len(MESSAGES) > 35


@pytest.mark.parametrize("place", MESSAGES)
def test_the_page_has_it(place):
    assert on_the_page(MESSAGES[place]), MESSAGES[place]


def test_a_message_that_the_page_lacks_is_found():
    assert not on_the_page(
        pieces(ast.parse('f"a moon of {x} is made of green cheese"').body[0].value)
    )
