"""The claims of docs/limits.md."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim, Constant, above, in_words, unresolved
from pdeinv.benchmarks.claims.experiments import experiment_claims
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
    Constant("from 1e-10 to 1e-13", "a setting"),
    Constant("that have 1 % of noise", "a setting"),
    Constant("With 5 % of noise they", "a setting"),
    Constant("with 1 % of noise, and 5 the conductivity, with 10 %", "a setting"),
    Constant("has the correlation length 0.3 and the stated standard deviation", "a setting"),
    Constant("the logarithm has the standard deviation 1", "a setting"),
    Constant("the standard deviation 2", "a setting"),
)
_MIXED = 1.1  # median of R-hat, below which chains count as mixed


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""
    yield from experiment_claims(results)
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
    yield from _media(results)
    coarse, fine = (
        results.values(f"{name}-128", N_I, "gauss-newton") for name in ("nugget", "standard")
    )
    raised = percent(ratio(coarse, fine))
    yield Claim(
        "The larger one raises the error by {:.1f} % ({} instances). That is why "
        "[`moment`](moment.md), whose nugget shrinks with the noise level, once had the lower "
        "error there.",
        *(raised, len(coarse)),
        holds=[above(raised)],
    )


def _chains(results: Results) -> Iterator[Claim]:
    """Yield the comparison with Markov chains."""
    rows = {place: _of(results, place) for place in PLACES[4:]}
    flow = [*rows[N_F], *rows[N_I]]

    def r_hat(found: list[Record]) -> float:
        return max(r["r_hat"][1] for r in found)

    typical = max(r["r_hat"][0] for r in flow)
    yield Claim(
        "The starts are at most {:.1f} errors apart, and the median of R-hat is at most {:.2f}. "
        "The largest is {:.2f} on inverse tasks. It is {:.2f} on forward ones, where the mean "
        "log-likelihood still rose by {:.0f}",
        max(r["starts_apart"] for r in flow),
        typical,
        r_hat(rows[N_I]),
        r_hat(rows[N_F]),
        max(r["log_likelihood_drift"] for r in rows[N_F]),
        holds=[typical < _MIXED, *(r["starts_apart"] < 2 for r in flow)],
    )
    yield Claim(
        "are at most {:.1f} times their Monte-Carlo error. The standard deviations agree within {} "
        "% on inverse tasks and {} % on forward ones.",
        _farthest(flow),
        _spread(rows[N_I]),
        _spread(rows[N_F]),
    )
    yield Claim(
        "**Darcy inverse**: the chains have not mixed. R-hat reaches {:.1f}",
        r_hat(rows[D_I]),
        holds=[r["r_hat"][0] > _MIXED for r in rows[D_I]],
    )
    yield Claim(
        "the mean log-likelihood was still rising, by up to {:.1f} from the third quarter of the "
        "steps to the last",
        max(r["log_likelihood_drift"] for r in rows[D_I]),
    )
    yield Claim(
        "**Darcy forward**: nor have they mixed here. R-hat reaches {:.1f}",
        r_hat(rows[D_F]),
        holds=[r["r_hat"][0] > _MIXED for r in rows[D_F]],
    )


def _media(results: Results) -> Iterator[Claim]:
    """Yield the comparison in log-normal media."""
    rows = results.rows("reference-log-normal-24")
    mild, wild = ([r for r in rows if r["variant"].endswith(f" {std}")] for std in (1, 2))
    typical = max(r["r_hat"][0] for r in mild)
    yield Claim(
        "the distance between `gauss-newton` and the chains is at most {:.1f} times its "
        "Monte-Carlo error, and the standard deviations of the logarithm agree within {} %. The "
        "median of R-hat is at most {:.2f}.",
        _farthest(mild),
        _spread(mild),
        typical,
        holds=[typical < _MIXED, *(r["starts_apart"] < 2 for r in mild)],
    )
    yield Claim(
        "the chains have not mixed: R-hat reaches {:.1f}. They",
        max(r["r_hat"][1] for r in wild),
        holds=[r["r_hat"][0] > _MIXED for r in wild],
    )
    noisy = results.rows("reference-log-normal-noisy-24")
    yield Claim(
        "With 5 % of noise they have mixed on one instance, with a median of R-hat of {:.2f}, and "
        "the standard deviation of `gauss-newton` is {} % too small there.",
        max(r["r_hat"][0] for r in noisy),
        _spread(noisy),
        holds=[
            check
            for r in noisy
            for check in (r["r_hat"][0] < _MIXED, r["spread_solver"] < r["spread_chains"])
        ],
    )


def _farthest(rows: list[Record]) -> float:
    """Return the largest distance of the means over its Monte-Carlo error."""
    noises = ("monte_carlo_chains", "monte_carlo_solver")
    return max(r["distance"] / math.hypot(*(r[name] for name in noises)) for r in rows)


def _spread(rows: list[Record]) -> int:
    """Return by how many per cent the standard deviations differ at most."""
    return math.ceil(max(abs(100 * (r["spread_solver"] / r["spread_chains"] - 1)) for r in rows))


def _of(results: Results, place: Place) -> list[Record]:
    return [r for r in results.rows("reference-64") if (r["pde"], r["task"]) == place]
