"""Queries of recorded results: paired differences and ratios with their standard errors.

`Results` reads the files, and `Results.values` returns the scores of a method on a task by
instance. The functions reduce such scores to a `Measured` value, or compare two of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import fmean, stdev
from types import MappingProxyType
from typing import TypeAlias

from scipy.stats import t as student_t

from pdeinv.benchmarks.kinds import INSTANCES
from pdeinv.benchmarks.published import PDES
from pdeinv.benchmarks.records import Record, read_records, settings_of
from pdeinv.benchmarks.summary import LEVELS, LIMITS, coverage_of, crps_of, paired_ratio

__all__ = [
    "FORWARD",
    "GUIDED",
    "INVERSE",
    "PLACES",
    "Measured",
    "Place",
    "Results",
    "Suite",
    "Values",
    "difference",
    "geometric_ratio",
    "mean",
    "percent",
    "ratio",
    "root",
]

Place: TypeAlias = tuple[str, str]
"""A PDE's name, and the direction of the task."""
Values: TypeAlias = dict[int, float]
"""Scores by the instance's number."""

FORWARD: list[Place] = [(pde, "forward") for pde in PDES]
INVERSE: list[Place] = [(pde, "inverse") for pde in PDES]
GUIDED = ("fundps", "dps", "diffusionpde", "daps", "ddis")
"""The published solvers, which a gradient of the sensors' misfit guides."""
PLACES = [place for pair in zip(FORWARD, INVERSE, strict=True) for place in pair]


@dataclass(frozen=True)
class Measured:
    """A value with its standard error; formatted as `value ± error`.

    Arguments:
        value, error: in the same unit.
        n: number of instances.

    Example:
        >>> f"{Measured(-1.23, 0.04, 32):+.1f}"
        '-1.2 ± 0.0'
    """

    value: float
    error: float
    n: int

    def __format__(self, form: str) -> str:
        """Return the value and the error in this form; the error has no sign."""
        return f"{self.value:{form}} ± {self.error:{form.lstrip('+')}}"

    def __rmul__(self, factor: float) -> Measured:
        """Return both in another unit."""
        return Measured(factor * self.value, abs(factor) * self.error, self.n)

    def sign(self, factor: float = 2) -> int:
        """Return 1 or -1 where the value is resolved from zero, 0 where it is not.

        Arguments:
            factor: number of standard errors; with four instances or fewer at least that of
                Student's 95 % interval.
        """
        if self.n <= 4:
            factor = max(factor, float(student_t.ppf(0.975, self.n - 1)))
        return (self.value > factor * self.error) - (self.value < -factor * self.error)


def mean(values: Values) -> Measured:
    """Return the mean over the instances."""
    found = list(values.values())
    return Measured(fmean(found), stdev(found) / len(found) ** 0.5, len(found))


def _paired(a: Values, b: Values) -> tuple[list[float], list[float]]:
    shared = sorted(a.keys() & b.keys())
    return [a[i] for i in shared], [b[i] for i in shared]


def difference(a: Values, b: Values) -> Measured:
    """Return the mean of a - b over shared instances."""
    return mean({i: a[i] - b[i] for i in a.keys() & b.keys()})


def ratio(a: Values, b: Values) -> Measured:
    """Return the ratio of the means of a and b over shared instances."""
    ours, theirs = _paired(a, b)
    value, error = paired_ratio(ours, theirs)
    return Measured(value, math.nan if error is None else error, len(ours))


def root(of: Measured) -> Measured:
    """Return the square root, for ratios of mean squares."""
    return Measured(of.value**0.5, of.error / 2 / of.value**0.5, of.n)


def percent(of: Measured) -> Measured:
    """Return a ratio as a change in per cent."""
    return Measured(100 * (of.value - 1), 100 * of.error, of.n)


def geometric_ratio(pairs: Sequence[tuple[Values, Values]], power: float = 1) -> Measured:
    """Return the geometric mean over tasks of ratios, each raised to a power.

    The standard error leaves out one instance after the other, of all tasks at once (jackknife).

    Arguments:
        pairs: the two methods' scores on each task, all on the same instances.
        power: 0.5 for mean squares.
    """
    sides = [_paired(a, b) for a, b in pairs]
    n = len(sides[0][0])

    def log_ratio(left_out: int | None) -> float:
        kept = [i for i in range(n) if i != left_out]
        return power * fmean(
            math.log(fmean(a[i] for i in kept) / fmean(b[i] for i in kept)) for a, b in sides
        )

    parts = [log_ratio(i) for i in range(n)]
    centre = fmean(parts)
    error = ((n - 1) / n * sum((part - centre) ** 2 for part in parts)) ** 0.5
    value = math.exp(log_ratio(None))
    return Measured(value, value * error, n)


class Results:
    """The recorded results of a folder.

    Arguments:
        folder: of JSON-lines files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = cache(self._read)

    def _read(self, name: str) -> list[Record]:
        instances = (INSTANCES,) if name.endswith(".instances") else None
        return read_records(self.folder / f"{name}.jsonl", kinds=instances)

    def values(
        self,
        name: str,
        place: Place,
        method: str,
        measure: str = "error",
        *,
        equireg: bool | str = False,
        group_average: bool = False,
        metric: str | None = None,
        first: int | None = None,
        where: Mapping[str, object] = MappingProxyType({}),
    ) -> Values:
        """Return a method's scores on a task by instance.

        Arguments:
            name: of a file of instances, without `.instances.jsonl`.
            place: the task.
            method: its name, or `limit`.
            measure: name of a score; `corrected` is the squared relative L2 error of a mean of
                independent samples, less the variance of such a mean, and `coverage60` and
                `coverage90` are by rank.
            equireg: the use of the symmetries.
            group_average: whether the denoiser is averaged over the group.
            metric: as in records; the one that papers report by default.
            first: number of instances, the first ones; all by default.
            where: other values of the record, by name.

        Raises:
            LookupError: there are no such records, or several for an instance.
        """
        methods = LIMITS if method == "limit" else (method,)
        rows = [
            r
            for r in self.rows(f"{name}.instances")
            if (r["pde"], r["task"]) == place
            and r["method"] in methods
            and (r.get("equireg") or False) == equireg
            and all(r.get(key) == value for key, value in where.items())
            and (first is None or r["instance"] < first)
            and settings_of(r).get("group_average", False) == group_average
        ]
        if measure == "corrected":
            metric = "relative_l2"
        if metric is None:
            rates = {r["metric"] for r in rows} & {"error_rate"}
            metric = rates.pop() if rates else "relative_l2"
        rows = [r for r in rows if r["metric"] == metric]
        found = {r["instance"]: _score(r, measure) for r in rows}
        if not rows or len(found) < len(rows):
            raise LookupError(
                f"{name} must have a record of {method} on {' '.join(place)} for each instance, "
                f"got {len(rows)} records of {len(found)} instances"
            )
        return found


def _score(record: Record, measure: str) -> float:
    if measure == "corrected":
        return float(record["error"] ** 2 - record["predicted_error"] ** 2 / record["samples"])
    computed = {f"coverage{level}": coverage_of(record, level) for level in LEVELS}
    found = (computed | {"crps": crps_of(record)}).get(measure, record.get(measure))
    if found is None:
        raise LookupError(
            f"the records must have {measure}, and one of {record['method']} lacks it"
        )
    return float(found)


@dataclass(frozen=True)
class Suite:
    """The recorded results of one suite.

    Arguments:
        results: of all suites.
        name: of its file of instances, without `.instances.jsonl`.
    """

    results: Results
    name: str

    def scores(
        self, place: Place, method: str, equireg: bool = False, measure: str = "error"
    ) -> Values:
        """Return a method's scores on a task by instance."""
        return self.results.values(self.name, place, method, measure, equireg=equireg)

    def over_limit(self, place: Place, method: str) -> Measured:
        """Return the ratio of a method's error to the limit's."""
        return ratio(self.scores(place, method), self.scores(place, "limit"))

    def change(self, place: Place, method: str, other: str) -> Measured:
        """Return by how many per cent a method's error differs from another's."""
        return percent(ratio(self.scores(place, method), self.scores(place, other)))

    def by_equireg(self, place: Place, method: str, measure: str = "error") -> Measured:
        """Return by how many per cent EquiReg changes a score.

        The change of `corrected` is that of the root of the mean square.
        """
        found = ratio(*(self.scores(place, method, on, measure) for on in (True, False)))
        return percent(root(found) if measure == "corrected" else found)

    def by_equireg_overall(self, method: str, measure: str = "error") -> Measured:
        """Return by how many per cent EquiReg changes a score, as a geometric mean over tasks."""
        pairs = [
            (self.scores(p, method, True, measure), self.scores(p, method, False, measure))
            for p in PLACES
        ]
        return percent(geometric_ratio(pairs, 0.5 if measure == "corrected" else 1))

    def equireg_methods(self) -> list[str]:
        """Return the published solvers that ran with EquiReg."""
        ran = {r["method"] for r in self.results.rows(f"{self.name}.instances") if r.get("equireg")}
        return [method for method in GUIDED if method in ran]

    def coverage(
        self, method: str, equireg: bool = False, places: Sequence[Place] = (), level: int = 60
    ) -> Measured:
        """Return the mean coverage of central intervals over tasks, in per cent."""
        return mean(self._covered(method, equireg, places or PLACES, level))

    def coverage_by_equireg(self, method: str, places: Sequence[Place] = ()) -> Measured:
        """Return by how much EquiReg changes the coverage of 60 %, in per cent of the nodes."""
        return difference(
            *(self._covered(method, on, places or PLACES, 60) for on in (True, False))
        )

    def _covered(self, method: str, equireg: bool, places: Sequence[Place], level: int) -> Values:
        scores = [self.scores(p, method, equireg, f"coverage{level}") for p in places]
        shared = set.intersection(*(set(found) for found in scores))
        return {i: 100 * fmean(found[i] for found in scores) for i in shared}
