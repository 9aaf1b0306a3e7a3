"""The claims of docs/unknown-numbers.md."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim
from pdeinv.benchmarks.reports.queries import Results

__all__ = ["unknown_claims"]

_RIGHT = 0.9  # share of truths in intervals of 90 % that are right


def unknown_claims(results: Results) -> Iterator[Claim]:
    """Yield the claims about numbers that are inferred."""
    rows = [
        r
        for r in results.rows("unknown-viscosity")
        if (r["setting"], r["field"]) == ("unknown", "initial_vorticity")
    ]
    intervals = [r["numbers"]["viscosity"] for r in rows]
    held = sum(low <= truth <= high for truth, _, low, high in intervals)
    yield Claim(
        "The 90 % interval of the viscosity holds the truth in {} of {} flows.", held, len(rows)
    )
    mean, std = _RIGHT * len(rows), math.sqrt(_RIGHT * (1 - _RIGHT) * len(rows))
    yield Claim(
        "By a binomial law intervals that are right hold {:.1f} ± {:.1f} truths of {}: the count "
        "is within two standard deviations of that.",
        mean,
        std,
        len(rows),
        holds=[abs(held - mean) <= 2 * std],
    )
