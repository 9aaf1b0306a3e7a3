"""A claim: a text whose numbers are computed from records, and what it compares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from string import Formatter

from pdeinv.benchmarks.reports.queries import Measured, Values, difference

__all__ = [
    "Claim",
    "Constant",
    "Relation",
    "above",
    "below",
    "count",
    "higher",
    "in_words",
    "lower",
    "prose",
    "uncompared",
    "uncovered",
    "unresolved",
]

_WORDS = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_NUMBER = r"\d+(?:[.,]\d+)*"
_LIST = rf"{_NUMBER}(?:(?:, | and | to | or |–| → | / |/)[-+]?{_NUMBER})*"
# What reads like a measurement: a decimal number, a power of ten, an uncertainty, a share, a
# multiple, a time or a size; not a paper's number
_MEASURED = re.compile(
    rf"(?<!\d)(?<!arXiv )\d+\.\d+|\d+e-?\d+|{_NUMBER} ± {_NUMBER}"
    rf"|{_LIST}\s(?:(?:±\s{_NUMBER}\s)?%|per cent|(?:times|ms|seconds?|minutes?|hours?|[MG]B)\b)"
)
# What compares errors or times
_COMPARED = re.compile(
    r"\b(?:(?:lower|higher|worse|larger)\b|(?:lower|raise|fall|rise|beat)s\b(?! `)|nearest to the"
    r"|(?<!\d times )(?<!many times )(?:faster|slower)\b"
    r"|(?:half|twice|times) (?:the|as) (?:time|seconds|error|long)\b"
    r"|unresolved\b|resolved\b|too (?:narrow|wide)\b|standard errors of the\b)"
)


@dataclass(frozen=True)
class Relation:
    """A comparison that a text states in words.

    Arguments:
        sign: of the paired difference; 0 for one that is not resolved.
        found: the paired difference.
        factor: number of standard errors beyond which it is resolved.
    """

    sign: int
    found: Measured
    factor: float = 2

    def __bool__(self) -> bool:
        """Return whether the difference has this sign."""
        return self.found.sign(self.factor) == self.sign


def below(found: Measured) -> Relation:
    """State that a value is below zero."""
    return Relation(-1, found)


def above(found: Measured, factor: float = 2) -> Relation:
    """State that a value is above zero, by so many standard errors."""
    return Relation(1, found, factor)


def lower(a: Values, b: Values) -> Relation:
    """State that a is lower than b on shared instances."""
    return below(difference(a, b))


def higher(a: Values, b: Values) -> Relation:
    """State that a is higher than b on shared instances."""
    return above(difference(a, b))


def unresolved(a: Values, b: Values) -> Relation:
    """State that a and b are within two standard errors of their paired difference."""
    return Relation(0, difference(a, b))


def count(relations: Iterable[Relation | bool]) -> str:
    """Return the number of relations that hold, in words."""
    return in_words(sum(map(bool, relations)))


def in_words(number: float) -> str:
    """Return a number up to ten in words, rounded."""
    return _WORDS[round(number)]


@dataclass(frozen=True, init=False)
class Claim:
    """A text whose numbers come from records.

    Arguments:
        text: as in the page, on one line, with a replacement field (`{:.1f}`) for each number.
        values: computed from the records, one for each field.
        holds: what the text compares.

    Example:
        >>> Claim("an error of {:.1f} %, {} times", 5.24, 2).rendered
        'an error of 5.2 %, 2 times'
    """

    text: str
    values: tuple[object, ...]
    holds: tuple[Relation | bool, ...]

    def __init__(self, text: str, *values: object, holds: Iterable[Relation | bool] = ()) -> None:
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "holds", tuple(holds))

    def parts(self) -> Iterator[tuple[str, bool]]:
        """Yield the pieces of the text, and whether each is computed."""
        values = iter(self.values)
        for literal, field, form, _ in Formatter().parse(self.text):
            yield literal, False
            if field is not None:
                yield format(next(values), form or ""), True
        if left := list(values):
            raise ValueError(f"{self.text!r} must have a field for each value, got {left} more")

    @property
    def rendered(self) -> str:
        """The text with its numbers."""
        return "".join(piece for piece, _ in self.parts())

    def compared(self, page: str) -> set[int]:
        """Return the positions in a page's prose of this claim, if it has relations."""
        return _positions(re.escape(self.rendered), page) if self.holds else set()

    def covered(self, page: str) -> set[int]:
        """Return the positions in a page's prose that hold this claim's computed numbers."""
        found: set[int] = set()
        for match in re.finditer(re.escape(self.rendered), page):
            position = match.start()
            for piece, computed in self.parts():
                if computed:
                    found.update(range(position, position + len(piece)))
                position += len(piece)
        return found


@dataclass(frozen=True)
class Constant:
    """A text whose numbers and comparisons are none of recorded results.

    Arguments:
        text: as in the page; a heading (`## ...`) stands for its whole section.
        reason: what they are.
    """

    text: str
    reason: str

    def covered(self, page: str) -> set[int]:
        """Return the positions in a page's prose that this text takes."""
        end = r".*?(?= ## |$)" if self.text.startswith("## ") else ""
        return _positions(re.escape(self.text) + end, page)

    compared = covered


def _positions(pattern: str, page: str) -> set[int]:
    return {i for match in re.finditer(pattern, page) for i in range(*match.span())}


def prose(text: str) -> str:
    """Return a page without code blocks and generated blocks, on one line."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"<!-- [\w-]+: .*?<!-- end -->", "", text, flags=re.DOTALL)
    return " ".join(text.split())


def uncovered(page: str, covers: Iterable[Claim | Constant]) -> list[str]:
    """Return the numbers that read like measurements and belong to no claim, in their context.

    Arguments:
        page: its prose.
        covers: the claims and constants of the page.
    """
    covered = set().union(*(cover.covered(page) for cover in covers))
    return [
        _context(page, match)
        for match in _MEASURED.finditer(page)
        if any(
            match.start() + number.start() not in covered
            for number in re.finditer(_NUMBER, match[0])
        )
    ]


def uncompared(page: str, covers: Iterable[Claim | Constant]) -> list[str]:
    """Return the words that compare and belong to no claim with a relation, in their context.

    Arguments:
        page: its prose.
        covers: the claims and constants of the page.
    """
    compared = set().union(*(cover.compared(page) for cover in covers))
    return [
        _context(page, match) for match in _COMPARED.finditer(page) if match.start() not in compared
    ]


def _context(page: str, match: re.Match[str]) -> str:
    return page[max(0, match.start() - 50) : match.end() + 20]
