"""The claims of docs/flow-sensors.md and docs/two-pumping-tests.md."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim, lower, unresolved
from pdeinv.benchmarks.reports.queries import Results, Values

__all__ = ["flow_claims", "two_tests_claims"]


def flow_claims(results: Results) -> Iterator[Claim]:
    """Yield the claims about what is read of a flow."""

    def pair(readings: int, field: str) -> tuple[Values, Values]:
        velocity, vorticity = (
            {
                r["instance"]: r["relative_error"]
                for r in results.rows("flow-sensors")
                if (r["readings"], r["field"], r["reads"]) == (readings, field, what)
            }
            for what in ("velocity", "vorticity")
        )
        return velocity, vorticity

    start, end = "initial_vorticity", "final_vorticity"
    yield Claim(
        "With 60 readings, velocities give a lower error of w at both ends.",
        holds=[lower(*pair(60, field)) for field in (start, end)],
    )
    yield Claim(
        "With 240 they give a lower error at the end, and the difference at the start is "
        "unresolved.",
        holds=[lower(*pair(240, end)), unresolved(*pair(240, start))],
    )


def two_tests_claims(results: Results) -> Iterator[Claim]:
    """Yield the claims about two pumping tests and each alone."""

    def errors(arm: str) -> Values:
        return {
            r["instance"]: r["error"]
            for r in results.rows("two-pumping-tests")
            if (r["arm"], r["field"]) == (arm, "log_hydraulic_conductivity")
        }

    both = errors("both tests")
    yield Claim(
        "Both tests together give a lower error of ln K than each alone.",
        holds=[lower(both, errors(f"{name} alone")) for name in ("west", "east")],
    )
    yield Claim(
        "Against as many heads of one test the difference is unresolved",
        holds=[unresolved(both, errors("west alone, twice the boreholes"))],
    )
