"""Claims of the documentation: each text with numbers, and the query of records that it states.

`tests/test_claims.py` compares them with the pages. Each module has the claims of one page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pdeinv.benchmarks.claims import benchmark, equireg, limits
from pdeinv.benchmarks.claims.claim import Claim, Constant
from pdeinv.benchmarks.reports.queries import Results

__all__ = ["PAGES"]

PAGES: dict[str, tuple[Callable[[Results], Iterator[Claim]], tuple[Constant, ...]]] = {
    "docs/benchmark.md": (benchmark.claims, benchmark.CONSTANTS),
    "docs/equireg.md": (equireg.claims, equireg.CONSTANTS),
    "docs/limits.md": (limits.claims, limits.CONSTANTS),
}
"""Of each page its claims, and its texts with numbers that are no measurements."""
