"""Write the numbers of claims again where the records have changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from pdeinv.benchmarks.claims import SOURCES
from pdeinv.benchmarks.claims.claim import Claim
from pdeinv.benchmarks.reports.queries import Results
from pdeinv.files import atomic_write

__all__ = ["update_numbers", "with_numbers"]

# A number with its sign and uncertainty, or one in words
_NUMBER = r"([-+]?[\w.,]+(?: ± [\d.]+)?)"


def with_numbers(text: str, claims: Iterable[Claim]) -> str:
    """Return a page's text with the numbers of its claims made of the records.

    A claim whose words do not stand in the page once, with whatever numbers, is left to the tests.
    """
    for claim in claims:
        pieces = list(claim.parts())
        pattern = "".join(
            _NUMBER if computed else r"\s+".join(map(re.escape, re.split(r"\s+", piece)))
            for piece, computed in pieces
        )
        found = list(re.finditer(pattern, text))
        numbers = [piece for piece, computed in pieces if computed]
        if len(found) == 1:
            for group, number in reversed(list(enumerate(numbers, 1))):
                start, end = found[0].span(group)
                text = text[:start] + number + text[end:]
    return text


def update_numbers(pages: Iterable[Path], results: Path) -> None:
    """Write pages again with the numbers of their claims; other pages stay as they are.

    Arguments:
        pages: paths relative to the repository.
        results: folder of the records.
    """
    for page in pages:
        if source := SOURCES.get(page.as_posix()):
            text = with_numbers(page.read_text(), source.claims(Results(results)))
            with atomic_write(page) as temporary:
                temporary.write_text(text)
