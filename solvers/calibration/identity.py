"""What a calibration is of, as texts by name, and what differs between two of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from typing import NamedTuple

from pdeinv.checks import described

__all__ = ["Difference", "differences", "in_words"]

_SHOWN = 3  # differences that a message names


class Difference(NamedTuple):
    """A part of two calibrations that is not the same, and its values as texts; "" without."""

    name: str
    theirs: str
    ours: str


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> list[Difference]:
    """Return what differs between texts by name, each a `repr` or a table of several lines.

    Parts of `repr` that are named differ under their own names, such as "problem.prior.length".
    """
    found: list[Difference] = []
    for name in dict.fromkeys((*ours, *theirs)):
        pair = theirs.get(name, ""), ours.get(name, "")
        several = any("\n" in text for text in pair)
        found += list((_of_lines if several else _of_reprs)(name, *pair))
    # Truths that are drawn from the problem differ as that does
    again = {one._replace(name=f"truths.{one.name}") for one in found}
    return [one for one in found if one not in again]


def in_words(found: list[Difference]) -> str:
    """Return differences in the words of a message, the first ones alone where there are many."""
    said = [
        f"{name} {_shown(theirs)} there and {_shown(ours)} here"
        for name, theirs, ours in found[:_SHOWN]
    ]
    more = len(found) - len(said)
    return ", ".join(said) + (f", and {more} more" if more else "")


def _shown(text: str) -> str:
    return described(text)[1:-1] if text else "none"


def _of_lines(name: str, theirs: str, ours: str) -> Iterator[Difference]:
    """Yield the first line of a table that differs."""
    pairs = zip_longest(theirs.splitlines(), ours.splitlines(), fillvalue="")
    for i, (a, b) in enumerate(pairs):
        if a != b:
            yield Difference(f"{name} in row {i}" if i else f"columns of {name}", a, b)
            return


def _of_reprs(name: str, theirs: str, ours: str) -> Iterator[Difference]:
    """Yield the parts of two texts that differ, where these are calls with named arguments."""
    if theirs == ours:
        return
    a, b = _arguments(theirs), _arguments(ours)
    if not a or not b or a.keys() != b.keys() or theirs.split("(")[0] != ours.split("(")[0]:
        yield Difference(name, theirs, ours)
        return
    for key, value in a.items():
        yield from _of_reprs(f"{name}.{key}", value, b[key])


def _arguments(text: str) -> dict[str, str]:
    """Return the arguments of a call by their names, as texts; {} for another text."""
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return {}
    if not isinstance(call, ast.Call) or call.args:
        return {}
    return {key.arg: ast.unparse(key.value) for key in call.keywords if key.arg}
