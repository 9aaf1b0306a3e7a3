"""The claims of the tutorials. What a notebook computes itself its cells print."""

from __future__ import annotations

from collections.abc import Iterator

from scipy.stats import norm
from scipy.stats import t as student_t

from pdeinv.benchmarks.claims.claim import Claim, Constant, below, in_words
from pdeinv.benchmarks.claims.places import GAUSSIAN
from pdeinv.benchmarks.reports.queries import (
    GUIDED,
    PLACES,
    Place,
    Results,
    Values,
    difference,
    geometric_ratio,
    percent,
)

__all__ = ["BENCHMARK", "EQUIVARIANCE", "FLOW", "SENSORS", "benchmark", "sensors"]

BENCHMARK = (
    Constant("of 60 % with 4 samples or 19, of 90 % with 19", "a setting"),
    Constant("95 % intervals", "a setting"),
    Constant("A lower error of single samples need not mean a better posterior", "theory"),
)
_TRIED = tuple(method for method in GUIDED if method != "dps")
SENSORS = (
    Constant("noise of 2 % of the field's standard deviation", "a setting"),
    Constant("mean ± 1.645 standard deviations is a 90 % interval", "a quantile"),
    Constant("90 % is expected", "theory"),
    Constant("an interval of 90 %", "a setting"),
)

EQUIVARIANCE = (
    Constant("60 % is right", "a definition"),
    Constant("samples that err less and intervals that are too narrow", "how to read a figure"),
)
FLOW = (
    Constant("Where it lies below 90 %, the intervals are too narrow.", "theory"),
    Constant("An interval of 90 % should hold the truth at 90 % of the nodes", "theory"),
)


def benchmark(results: Results) -> Iterator[Claim]:
    """Yield the claims of the notebook on the benchmark."""

    def scores(place: Place, method: str, on: bool) -> Values:
        return results.values(
            *("equireg-64", place, method, "sample_error"),
            equireg=on,
            metric="relative_l2",
            where={"steps": 50},
        )

    pairs = {
        (place, method): (scores(place, method, True), scores(place, method, False))
        for place in PLACES
        for method in _TRIED
    }
    found = {key: difference(*sides) for key, sides in pairs.items()}
    signs = {
        key: change.sign(float(student_t.ppf(0.975, change.n - 1))) for key, change in found.items()
    }
    gaussian, darcy = (
        [sign for (place, _), sign in signs.items() if (place in GAUSSIAN) == kind]
        for kind in (True, False)
    )
    yield Claim(
        "EquiReg lowers the errors of single samples on Poisson, Helmholtz and Navier–Stokes, "
        "where {} of {} intervals exclude zero. On Darcy it raises {} of {}, and lowers none.",
        *(gaussian.count(-1), len(gaussian)),
        *map(in_words, (darcy.count(1), len(darcy))),
        holds=[
            1 not in gaussian,
            -1 not in darcy,
            *(below(percent(geometric_ratio([pairs[p, m] for p in GAUSSIAN]))) for m in _TRIED),
        ],
    )


def sensors(_: Results) -> Iterator[Claim]:
    """Yield the claims of the notebook on reconstruction: theory, computed."""
    n = 16
    half = norm.ppf(0.95) / (1 + 1 / n) ** 0.5
    yield Claim(
        "from {} samples. By itself that makes an interval of 90 % hold nearer {:.0f}.",
        n,
        100 * (2 * student_t.cdf(half, n - 1) - 1),
    )
