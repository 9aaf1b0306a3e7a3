"""Claims of the documentation: each text with numbers, and the query of records that it states.

`tests/test_claims.py` compares them with the pages. Each module has the claims of one page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pdeinv.benchmarks.claims import benchmark, equireg, limits, moment, readme
from pdeinv.benchmarks.claims.claim import Claim, Constant
from pdeinv.benchmarks.reports.queries import Results

__all__ = ["PAGES"]


def _none(_: Results) -> Iterator[Claim]:
    """Yield no claim: the page measures nothing."""
    return iter(())


PAGES: dict[str, tuple[Callable[[Results], Iterator[Claim]], tuple[Constant, ...]]] = {
    "README.md": (readme.claims, readme.CONSTANTS),
    "docs/add-your-pde.md": (_none, ()),
    "docs/add-your-solver.md": (
        _none,
        (Constant("share=0.1", "a setting"), Constant("is below 25 %", "a test's threshold")),
    ),
    "docs/benchmark.md": (benchmark.claims, benchmark.CONSTANTS),
    "docs/equireg.md": (equireg.claims, equireg.CONSTANTS),
    "docs/limits.md": (limits.claims, limits.CONSTANTS),
    "docs/moment.md": (moment.claims, moment.CONSTANTS),
    "docs/published.md": (
        _none,
        (
            Constant("--noise-length 0.005", "a setting"),
            Constant("## Differences", "the papers' constants and ours"),
            Constant("## Constants", "the papers' constants"),
            Constant("## Sources", "references"),
        ),
    ),
    "docs/timings.md": (
        _none,
        (Constant("1.6 times", "an example"), Constant("4 times", "an example")),
    ),
}
"""Of each page its claims, and its texts with numbers that are no measurements."""
