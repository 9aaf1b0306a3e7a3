"""How methods stand on each task: ranks, and errors over the limit's."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.labels import labelled, pde_order, place_of
from pdeinv.benchmarks.summary import is_limit

__all__ = ["Standing", "over_limit", "paired_with_limit", "ranked", "reported", "standings"]


class Standing(NamedTuple):
    """A method's place on a task.

    Arguments:
        rank: 1 for the lowest error.
        record: with its labels.
        over_limit: the error over the limit's, infinite if the method diverged, None if the limit
            is missing.
    """

    rank: int
    record: Record
    over_limit: float | None


def reported(records: list[Record]) -> list[Record]:
    """Return the records of one field in the measure that papers report.

    That is the error rate of a coefficient with two values, and the relative L2 error of all else.
    """
    return [r for r in records if r["metric"] == "error_rate"] or records


def standings(records: list[Record]) -> dict[tuple[str, str, str], list[Record]]:
    """Return the reported records by PDE, task and field, those with the lowest error first.

    The error over the limit's decides if all methods share instances with the limit, for some may
    have run on more instances than others.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for r in records:
        groups.setdefault((place_of(r), r["task"], r["field"]), []).append(r)
    result = {}
    for key in sorted(groups, key=lambda key: (pde_order(key[0]), *key[1:])):
        scored = reported(groups[key])
        paired = all("over_limit" in r or r["error"] is None for r in scored)
        measure = "over_limit" if paired else "error"
        scored.sort(key=lambda r: math.inf if r["error"] is None else r[measure])
        result[key] = scored
    return result


def over_limit(records: list[Record]) -> list[float | None]:
    """Return the error of each of one task's records over the limit's, None if it is missing."""
    known = any(is_limit(r) for r in records)
    return [
        (math.inf if r["error"] is None else r.get("over_limit")) if known else None
        for r in records
    ]


def ranked(records: list[Record]) -> list[Standing]:
    """Return the place of each record, task by task."""
    return [
        Standing(rank, r, ratio)
        for group in standings(labelled(records)).values()
        for rank, (r, ratio) in enumerate(zip(group, over_limit(group), strict=True), 1)
    ]


def paired_with_limit(
    rows: list[Record], method: str
) -> dict[tuple[str, str, str], tuple[list[Record], list[Record]]]:
    """Return by PDE, task and field the records of a method and the limit on shared instances.

    Arguments:
        rows: records of instances.
        method: name of the method.

    Returns:
        Lists of equal length, in the measure that papers report. Instances on which one of them
        diverged are left out, and so is what has fewer than two.
    """
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for r in rows:
        if (r["method"] == method or is_limit(r)) and r["error"] is not None:
            groups.setdefault((place_of(r), r["task"], r["field"]), []).append(r)
    found = {}
    for key in sorted(groups, key=lambda key: (pde_order(key[0]), *key[1:])):
        ours: dict[tuple[Any, ...], Record] = {}
        limit: dict[tuple[Any, ...], Record] = {}
        for r in reported(groups[key]):
            (ours if r["method"] == method else limit)[r["seed"], r["instance"]] = r
        shared = sorted(ours.keys() & limit.keys())
        if len(shared) >= 2:
            found[key] = [ours[i] for i in shared], [limit[i] for i in shared]
    return found
