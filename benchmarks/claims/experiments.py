"""The claims of docs/limits.md about one prior under any experiment."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim
from pdeinv.benchmarks.reports.queries import Results, Values, mean, ratio

__all__ = ["experiment_claims"]

_LINEAR = ("insulated", "waves")


def experiment_claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the section."""

    def errors(experiment: str, method: str, measure: str = "coefficient_error") -> Values:
        return {
            r["instance"]: r[measure]
            for r in results.rows("any-experiment")
            if (r["experiment"], r["method"]) == (experiment, method)
        }

    exact = [ratio(errors(name, "moment"), errors(name, "limit")) for name in _LINEAR]
    yield Claim(
        "`moment` has {:.3f} and {:.3f} times the error of the exact posterior mean",
        *(r.value for r in exact),
        holds=(abs(r.value - 1) < 0.005 for r in exact),
    )
    yield Claim(
        "its media have {:.1f} % of the nodes on the wrong side, those of `level-set` {:.1f} %",
        *(100 * mean(errors("well", method, "error_rate")).value for method in ("moment", "limit")),
    )
    away = [ratio(errors(name, "ddis"), errors(name, "limit")).value for name in ("well", *_LINEAR)]
    yield Claim(
        "With these few steps its errors are {:.1f} to {:.1f} times those of the limit",
        min(away),
        max(away),
    )
