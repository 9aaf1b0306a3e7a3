"""What several claims state of single samples: those of papers, of `moment` and of the limit.

All are of 128 x 128 nodes, in per cent.
"""

from __future__ import annotations

from pdeinv.benchmarks.published import PUBLISHED, best_published
from pdeinv.benchmarks.reports.queries import Measured, Place, Results, Values, mean

__all__ = [
    "DIFFUSIONPDE",
    "FUNDPS",
    "exact_single",
    "less_than_exact",
    "lowest_less_than_exact",
    "over_limit",
    "over_published",
]

DIFFUSIONPDE, FUNDPS = "DiffusionPDE, 2,000 steps", "FunDPS, 500 steps"
"""Names of the papers' own figures."""


def over_limit(results: Results, place: Place) -> tuple[Values, Values]:
    """Return the errors of the means of `moment` and the limit, as shares."""
    ours = results.values("moment-128", place, "moment")
    return ours, results.values("standard-128", place, "limit", first=len(ours))


def exact_single(results: Results, place: Place) -> Measured:
    """Return √2 times the limit, which a single sample of an exact posterior has on average."""
    return 100 * 2**0.5 * mean(over_limit(results, place)[1])


def less_than_exact(results: Results, place: Place, name: str) -> Measured:
    """Return a paper's figure less √2 times the limit."""
    return _less(PUBLISHED[name][1][place], exact_single(results, place))


def lowest_less_than_exact(results: Results, place: Place) -> Measured:
    """Return the lowest published figure less √2 times the limit."""
    return _less(_lowest(place), exact_single(results, place))


def over_published(results: Results, place: Place) -> Measured:
    """Return by how much single samples of `moment` err more than the lowest published ones."""
    single = 100 * mean(results.values("moment-128", place, "moment", "sample_error"))
    return -1 * _less(_lowest(place), single)


def _lowest(place: Place) -> float:
    found = best_published(*place)
    assert found is not None
    return found[0]


def _less(figure: float, found: Measured) -> Measured:
    return Measured(figure - found.value, found.error, found.n)
