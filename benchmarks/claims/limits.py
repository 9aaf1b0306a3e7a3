"""The claims of docs/limits.md."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim, Constant, above, below, in_words, unresolved
from pdeinv.benchmarks.claims.places import D_F, D_I, N_F, N_I, of_samples
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.queries import (
    PLACES,
    Place,
    Results,
    difference,
    mean,
    percent,
    ratio,
)

__all__ = ["CONSTANTS", "claims"]

CONSTANTS = (
    Constant("No reconstruction has a lower expected squared error", "theory"),
    Constant("on random nodes (3 % of them)", "a setting"),
    Constant("wrong side of 7.5", "the threshold of the error rate"),
    Constant("errors near 100 %", "the error of the prior mean"),
    Constant("which 10 % of noise leaves distinct", "a setting"),
    Constant("between no noise and 1 % of it", "a setting"),
    Constant("125 sensors, 1 % of noise", "a setting"),
)
_OURS_AND_LIMIT = (("moment", "moment"), ("standard", "limit"))


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""
    metrics = ("error_rate", "relative_l2")
    predicted, made = (
        [results.values("standard-128", D_I, "limit", name, metric=m) for m in metrics]
        for name in ("predicted_error", "error")
    )
    yield Claim(
        "compare the predicted error rate, {:.2f} %, with the one made, {:.2f} %. In relative L2 "
        "they are {:.2f} and {:.2f} %. Both differences exceed five standard errors, so the "
        "level-set ensemble is too narrow.",
        *(100 * mean(side).value for pair in zip(predicted, made, strict=True) for side in pair),
        holds=(above(difference(b, a), 5) for a, b in zip(predicted, made, strict=True)),
    )
    yield Claim("of at most 16 members, which adds about {:.0f} %", 100 * (of_samples(16) - 1))
    at_noise = [
        [
            results.values("sensors-64", D_F, "limit", where={"sensors": n, "noise": noise})
            for n in (50, 125, 500, 2000)
        ]
        for noise in (0, 0.01, 0.1)
    ]
    yield Claim(
        "its errors are the same at every noise.",
        holds=(found == at_noise[0] for found in at_noise[1:]),
    )
    clean, noisy = (
        results.values("sensors-64", D_I, "limit", where={"sensors": 2000, "noise": noise})
        for noise in (0, 0.01)
    )
    found = difference(clean, noisy)
    yield Claim(
        "the difference between no noise and 1 % of it is {} standard error.",
        in_words(abs(found.value) / found.error),
        holds=[unresolved(clean, noisy)],
    )
    yield from _chains(results)
    below_limit = percent(ratio(*(results.values(f"{n}-128", N_I, m) for n, m in _OURS_AND_LIMIT)))
    yield Claim(
        "[`moment`](moment.md) has an error {:.1f} % below that of `gauss-newton`",
        -1 * below_limit,
        holds=[below(below_limit)],
    )


def _chains(results: Results) -> Iterator[Claim]:
    """Yield the comparison with Markov chains."""
    rows = {place: _of(results, place) for place in PLACES[4:]}

    def distances(place: Place, *noises: str) -> tuple[float, float]:
        ratios = [r["distance"] / math.hypot(*(r[name] for name in noises)) for r in rows[place]]
        return min(ratios), max(ratios)

    def spreads(place: Place) -> list[float]:
        return [100 * (r["spread_solver"] / r["spread_chains"] - 1) for r in rows[place]]

    both = ("monte_carlo_chains", "monte_carlo_solver")
    yield Claim(
        "**Darcy forward**: the distance is {:.1f} to {:.1f} times its Monte-Carlo error. The "
        "standard deviations differ by at most {} %",
        *distances(D_F, *both),
        math.ceil(max(map(abs, spreads(D_F)))),
    )
    yield Claim(
        "**Darcy inverse**: {:.1f} to {:.1f} times, and at most {} %. The Monte-Carlo error is "
        "more than a third of the error itself",
        *distances(D_I, *both),
        math.ceil(max(map(abs, spreads(D_I)))),
        holds=(math.hypot(*(r[name] for name in both)) > r["error_solver"] / 3 for r in rows[D_I]),
    )
    alone = [distances(place, "monte_carlo_chains") for place in PLACES[6:]]
    forward = spreads(N_F)
    yield Claim(
        "The distances are {:.1f} to {:.1f} times the Monte-Carlo error of the chains alone. The "
        "standard deviations agree within {} % on inverse tasks. On forward tasks the solver's "
        "are up to {} % larger",
        min(low for low, _ in alone),
        max(high for _, high in alone),
        math.ceil(max(map(abs, spreads(N_I)))),
        math.ceil(max(forward)),
        holds=[min(forward) > 0],
    )
    drifts = [r["log_likelihood_drift"] for r in rows[D_I]]
    yield Claim(
        "second half of the steps is {:.1f} to {:.1f} above that of the second quarter",
        min(drifts),
        max(drifts),
    )


def _of(results: Results, place: Place) -> list[Record]:
    return [r for r in results.rows("reference-64") if (r["pde"], r["task"]) == place]
