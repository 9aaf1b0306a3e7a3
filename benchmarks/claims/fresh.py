"""The claims of docs/benchmark.md on instances of another seed than the suite's."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim, count
from pdeinv.benchmarks.claims.places import D_F
from pdeinv.benchmarks.reports.queries import PLACES, Measured, Place, Results, Suite

__all__ = ["claims"]


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the section."""
    suites = [Suite(results, name) for name in ("suite-standard", "fresh-64")]

    def shift(place: Place) -> Measured:
        old, new = (suite.over_limit(place, "moment") for suite in suites)
        error = (old.error**2 + new.error**2) ** 0.5
        return Measured(new.value - old.value, error, min(old.n, new.n))

    shifts = {place: shift(place) for place in PLACES}
    near = {place: found.sign() == 0 for place, found in shifts.items()}
    yield Claim(
        "the ratio to the limit differs from that of the suite by less than two standard errors "
        "on {} tasks. On Darcy forward it is {:.3f}, and {:.3f} in the suite: the difference is "
        "between two and three standard errors.",
        count(near.values()),
        *(suite.over_limit(D_F, "moment") for suite in reversed(suites)),
        holds=[not near[D_F], *(found.sign(3) == 0 for found in shifts.values())],
    )
