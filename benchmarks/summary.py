"""Means over the instances of each cell of a benchmark, out of their records."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pdeinv.benchmarks.reports.tables import LIMITS, paired_ratio

__all__ = ["COUNTED", "cell_key", "rounded", "summarise"]

_TASK = ("pde", "task", "grid", "sensors", "noise", "seed", "variant")
_KEY = (*_TASK, "method", "equireg", "steps", "settings", "given_prior", "samples")
_ABSENT = {"equireg": False, "steps": 0, "samples": 19, "variant": "standard"}  # in older rows
_MADE = ("commit", "machine", "versions", "command")
COUNTED = ("reduced_chi_squared", "network_evaluations", "solver_calls")
"""What a posterior's record says of its making."""
_AVERAGED = (
    *("error", "predicted_error", "sample_error", "crps", "coverage90"),
    *(*COUNTED, "seconds_per_instance", "peak_megabytes"),
)
_CURVES = ("ranks", "error_spectrum")


def cell_key(row: dict) -> tuple:
    """What the records of one cell share and those of others do not."""
    return _values(row, _KEY)


def summarise(rows: Iterable[dict]) -> list[dict]:
    """One record for each task, method, field and metric: means over instances, with the standard
    error of the error.

    `over_limit` is the error over that of the solver which knows the coefficient's distribution, if
    the rows have it: a ratio of means over the instances that both have solved, with the standard
    error of these pairs. What some rows lack, such as seconds that were not measured alone, is the
    mean over the others. An instance on which the method diverged makes the error None.
    """
    rows = list(rows)
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        groups.setdefault((*cell_key(row), row["field"], row["metric"]), []).append(row)
    limits: dict[tuple, dict[int, float]] = {}
    known = [row for row in rows if row["method"] in LIMITS and row["error"] is not None]
    # Where there are two, the first has the word
    known.sort(key=lambda row: -LIMITS.index(row["method"]))
    for row in known:
        limits.setdefault(_scored(row), {})[row["instance"]] = row["error"]
    return [_summary(group, limits.get(_scored(group[0]), {})) for group in groups.values()]


def _summary(group: list[dict], limit: dict[int, float]) -> dict:
    first, errors = group[0], _numbers(group, "error")
    known = {name: found for name in (*_AVERAGED, *_CURVES) if len(found := _numbers(group, name))}
    paired = [r for r in group if r["instance"] in limit and r["error"] is not None]
    return (
        dict(zip(_KEY, cell_key(first), strict=True))
        | {"prior": first["prior"], "instances": len(group)}
        | {name: first[name] for name in ("field", "metric")}
        | {name: rounded(values.mean()) for name, values in known.items() if name in _AVERAGED}
        | {
            name: [rounded(v) for v in values.mean(axis=0)]
            for name, values in known.items()
            if name in _CURVES
        }
        | {
            "error_se": rounded(errors.std(ddof=1) / len(errors) ** 0.5)
            if len(errors) > 1
            else None
        }
        | (
            _over_limit([r["error"] for r in paired], [limit[r["instance"]] for r in paired])
            if paired
            else {}
        )
        | {
            name: "; ".join(dict.fromkeys(r[name] for r in group))
            for name in _MADE
            if all(name in r for r in group)
        }
    )


def _over_limit(ours: list[float], limit: list[float]) -> dict:
    if not any(limit):
        return {}  # nothing is over a limit that knows the truth
    ratio, noise = paired_ratio(ours, limit)
    return {"over_limit": rounded(ratio), "over_limit_se": noise and rounded(noise)}


def _numbers(group: list[dict], name: str) -> np.ndarray:
    return np.array([r[name] for r in group if name in r], dtype=float)


def _scored(row: dict) -> tuple:
    return (*_values(row, _TASK), row["field"], row["metric"])


def _values(row: dict, names: tuple[str, ...]) -> tuple:
    return tuple(row.get(name, _ABSENT.get(name)) for name in names)


def rounded(value: float) -> float | None:
    """Six digits; JSON knows no nan."""
    return None if np.isnan(value) else float(f"{value:.6g}")
