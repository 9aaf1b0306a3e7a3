"""Means over the instances of each cell of a benchmark, computed from their records."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

import numpy as np

from pdeinv.benchmarks.records import CELL, TASK, Record, cell_key, values_of
from pdeinv.metrics import rank_coverage

__all__ = [
    "COUNTED",
    "FAMILY_LIMITS",
    "LEVELS",
    "LIMITS",
    "coverage_of",
    "crps_of",
    "is_limit",
    "paired_ratio",
    "rounded",
    "summarise",
]

LIMITS = ("gaussian", "gauss-newton", "level-set")
"""The solvers that use the distribution of the coefficient itself, of which the solver "auto" takes
the first that accepts the PDE: the limit of the others. Where records have two, the first counts.
"""
FAMILY_LIMITS = ("mixture", "object-chains")
"""Those of families that are not Gaussian; the former have another prior there than the truth."""
COUNTED = ("reduced_chi_squared", "network_evaluations", "solver_calls")
"""What a posterior's record counts."""
LEVELS = (60, 90)
"""Central intervals, in per cent: both of 4 samples and of 19, and of 19 alone."""
_PAIRED = ("moment", "gauss-newton", "level-set")  # these draw antithetic pairs
_PROVENANCE = ("commit", "machine", "versions", "command")
_AVERAGED = (
    *("error", "predicted_error", "sample_error", "crps"),
    *(*COUNTED, "seconds_per_instance", "peak_megabytes", "brier"),
)
_CURVES = ("ranks", "error_spectrum", "reliability")


def is_limit(record: Record) -> bool:
    """Return whether a record's method is one that uses the distribution of the coefficient."""
    return record["method"] in (FAMILY_LIMITS if record.get("family") else LIMITS)


def coverage_of(record: Record, level: int) -> float | None:
    """Return the coverage of a central interval by rank, None where it has none.

    Arguments:
        record: of an instance or a summary, with or without `ranks`.
        level: one of `LEVELS`.
    """
    shares = record.get("ranks")
    if not shares or None in shares:
        return None
    return rank_coverage(shares, level / 100)


def crps_of(record: Record) -> float | None:
    """Return a record's CRPS, None where its estimate is biased.

    That is the case in older records of solvers that draw antithetic pairs. They lack `crps_pairs`,
    and their estimate is that for independent samples.
    """
    biased = record["method"] in _PAIRED and "crps_pairs" not in record
    return None if biased else record.get("crps")


def summarise(rows: Iterable[Record]) -> list[Record]:
    """Return a record for each cell, field and metric: means over instances, and standard errors.

    `over_limit` is the error over that of the limit in the rows (see `is_limit`): a ratio of means
    over the instances that both have solved, with the standard error of these pairs. The mean of
    what some rows lack, such as seconds, is over the others; `timed_on` has the processors of the
    seconds. An instance on which the method diverged makes the error None.

    Arguments:
        rows: records of instances.
    """
    rows = list(rows)
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for row in rows:
        groups.setdefault((*cell_key(row), row["field"], row["metric"]), []).append(row)
    limits: dict[tuple[Any, ...], dict[int, float]] = {}
    known = [row for row in rows if is_limit(row) and row["error"] is not None]
    order = (*LIMITS, *FAMILY_LIMITS)
    known.sort(key=lambda row: -order.index(row["method"]))  # the first overwrites the others
    for row in known:
        limits.setdefault(_scored(row), {})[row["instance"]] = row["error"]
    return [_summary(group, limits.get(_scored(group[0]), {})) for group in groups.values()]


def paired_ratio(ours: list[float], limit: list[float]) -> tuple[float, float | None]:
    """Return the ratio of two mean errors and its standard error by the delta method.

    Arguments:
        ours, limit: errors on the same instances.

    Returns:
        The ratio; and its standard error, None for a single instance.
    """
    ratio = fmean(ours) / fmean(limit)
    if len(ours) < 2:
        return ratio, None
    return ratio, stdev(a - ratio * b for a, b in zip(ours, limit, strict=True)) / fmean(
        limit
    ) / len(ours) ** 0.5


def rounded(value: float) -> float | None:
    """Return a number to six digits, and None for nan, which JSON lacks."""
    return None if np.isnan(value) else float(f"{value:.6g}")


def _rounded(values: list[Any]) -> list[Any]:
    """Return a curve of numbers, or of rows of numbers, to six digits."""
    return [_rounded(v) if isinstance(v, list) else rounded(v) for v in values]


def _summary(group: list[Record], limit: dict[int, float]) -> Record:
    first, errors = group[0], _numbers(group, "error")
    known = {name: found for name in (*_AVERAGED, *_CURVES) if len(found := _numbers(group, name))}
    summary = dict(zip(CELL, cell_key(first), strict=True))
    summary |= {"prior": first["prior"], "instances": len(group)}
    summary |= {name: first[name] for name in ("field", "metric")}
    for name, values in known.items():
        if name in _AVERAGED:
            summary[name] = rounded(values.mean())
    for name, values in known.items():
        if name in _CURVES:
            summary[name] = _rounded(values.mean(axis=0).tolist())
    summary |= {f"coverage{level}": coverage_of(summary, level) for level in LEVELS}
    if all("crps_pairs" in r for r in group):
        summary["crps_pairs"] = any(r["crps_pairs"] for r in group)
    timed = [r["machine"] for r in group if "seconds_per_instance" in r and "machine" in r]
    if timed:
        summary["timed_on"] = "; ".join(dict.fromkeys(timed))
    several = len(errors) > 1
    summary["error_se"] = rounded(errors.std(ddof=1) / len(errors) ** 0.5) if several else None
    paired = [r for r in group if r["instance"] in limit and r["error"] is not None]
    if paired:
        summary |= _over_limit([r["error"] for r in paired], [limit[r["instance"]] for r in paired])
    for name in _PROVENANCE:
        if all(name in r for r in group):
            summary[name] = "; ".join(dict.fromkeys(r[name] for r in group))
    return summary


def _over_limit(ours: list[float], limit: list[float]) -> Record:
    if not any(limit):
        return {}  # no ratio to an error of zero
    ratio, noise = paired_ratio(ours, limit)
    return {"over_limit": rounded(ratio), "over_limit_se": noise and rounded(noise)}


def _numbers(group: list[Record], name: str) -> np.ndarray:
    return np.array([r[name] for r in group if name in r], dtype=float)


def _scored(row: Record) -> tuple[Any, ...]:
    return (*values_of(row, TASK), row["field"], row["metric"])
