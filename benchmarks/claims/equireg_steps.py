"""The claims of docs/equireg.md on numbers of steps, functions, cost and the Gaussian prior."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from pdeinv.benchmarks.claims.claim import Claim, Relation, above, below, lower, unresolved
from pdeinv.benchmarks.claims.places import D_F, D_I, GAUSSIAN, H_F, H_I, N_F, N_I, of_samples
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.queries import (
    Measured,
    Place,
    Results,
    Values,
    geometric_ratio,
    mean,
    percent,
    ratio,
)

__all__ = ["claims"]

_LANGEVIN = ("daps", "ddis")
_BOTH = ("fundps", "diffusionpde")


class _Steps(NamedTuple):
    """The records with several numbers of steps."""

    results: Results

    def change(
        self,
        place: Place,
        method: str,
        steps: int,
        measure: str = "sample_error",
        first: int | None = None,
        use: bool | str = True,
        base: bool | str = False,
        metric: str = "relative_l2",
    ) -> Measured:
        """Return by how many per cent a use of the symmetries changes a score."""
        sides = (
            self.scores(place, method, steps, measure, on, first, metric) for on in (use, base)
        )
        return percent(ratio(*sides))

    def scores(
        self,
        place: Place,
        method: str,
        steps: int,
        measure: str = "sample_error",
        use: bool | str = False,
        first: int | None = None,
        metric: str = "relative_l2",
    ) -> Values:
        """Return a method's scores on a task by instance."""
        return self.results.values(
            *("equireg-64", place, method, measure),
            equireg=use,
            metric=metric,
            first=first,
            where={"steps": steps},
        )

    def coverage(self, place: Place, method: str, steps: int, use: bool) -> float:
        """Return the coverage of 60 % in per cent."""
        return 100 * mean(self.scores(place, method, steps, "coverage60", use)).value

    def gain(self, method: str, steps: int, first: int | None = None) -> float:
        """Return the mean fall of single samples' errors over the Gaussian tasks, in per cent."""
        return -fmean(self.change(p, method, steps, first=first).value for p in GAUSSIAN)


def claims(results: Results) -> Iterator[Claim]:
    """Yield these claims."""
    steps = _Steps(results)
    yield from _uses(steps)
    yield from _gaussian_tasks(steps)
    yield from _darcy(steps)
    yield from _cost(results)
    yield from _gaussian_prior(results)


def _uses(steps: _Steps) -> Iterator[Claim]:
    """Yield what the identity alone and the loss without denoising do."""
    tried = (H_F, H_I, N_F, N_I)
    differences = [
        abs(steps.change(p, "fundps", 50, measure, use="identity", base=True).value)
        for p in tried
        for measure in ("sample_error", "error")
    ]
    yield Claim(
        "On the four tasks where it was tried, its errors differ from those with the whole group "
        "by at most {:.1f} %",
        max(differences),
    )
    single = {p: steps.change(p, "fundps", 50, use="equi") for p in tried}
    means = {p: steps.change(p, "fundps", 50, "error", use="equi") for p in tried}
    falls = [-single[p].value for p in (H_I, N_F, N_I)]
    yield Claim(
        "On Helmholtz inverse and Navier–Stokes it lowers single samples' errors by {:.0f} to "
        "{:.0f} % (8 instances). Their mean's error falls by {:.1f} % on Navier–Stokes forward; on "
        "the other three tasks its change is unresolved.",
        *(min(falls), max(falls), -means[N_F].value),
        holds=[
            *(below(single[p]) for p in (H_I, N_F, N_I)),
            *(Relation(-1 if p == N_F else 0, means[p]) for p in tried),
        ],
    )


def _gaussian_tasks(steps: _Steps) -> Iterator[Claim]:
    """Yield the gains of single samples for Gaussian coefficients."""
    at_10 = [-steps.change(p, m, 10).value for p in GAUSSIAN for m in _BOTH]
    yield Claim(
        "With 10 steps the errors of FunDPS and DiffusionPDE fall by {:.0f} to {:.0f} %. On "
        "average over the six tasks, the gain grows from {:.0f} and {:.0f} % at 10 steps to "
        "{:.0f} and {:.0f} % at 50. The four instances with 100 steps have {:.0f} and {:.0f} %; "
        "the same four have {:.0f} and {:.0f} % with 50.",
        *(min(at_10), max(at_10)),
        *(steps.gain(m, n, first) for n, first in _GAINS for m in _BOTH),
    )
    yield Claim(
        "With DAPS and DDIS no growth from 20 to 50 steps is resolved.",
        holds=(not above(_growth(steps, m, 20, 50)) for m in _LANGEVIN),
    )
    yield Claim(
        "On the inverse tasks of Helmholtz and Navier–Stokes the gain is as large as with 100 "
        "steps, but the intervals contain zero. The samples are drawn together: the coverage is "
        "{:.0f} and {:.0f} %.",
        *(steps.coverage(p, "fundps", 500, True) for p in (H_I, N_I)),
        holds=[
            *(
                steps.change(p, "fundps", 500).value < steps.change(p, "fundps", 100).value + 1
                for p in (H_I, N_I)
            ),
            *(
                unresolved(*(steps.scores(p, "fundps", 500, use=on) for on in (True, False)))
                for p in (H_I, N_I)
            ),
        ],
    )


def _growth(steps: _Steps, method: str, few: int, many: int) -> Measured:
    """Return by how much a gain over the Gaussian tasks grows, in per cent."""
    low, high = (
        geometric_ratio(
            [
                (steps.scores(p, method, n, use=False), steps.scores(p, method, n, use=True))
                for p in GAUSSIAN
            ]
        )
        for n in (few, many)
    )
    return 100 * Measured(high.value - low.value, math.hypot(high.error, low.error), high.n)


_GAINS: tuple[tuple[int, int | None], ...] = ((10, None), (50, None), (100, 4), (50, 4))
"""Numbers of steps, and of instances where not all have them."""


def _darcy(steps: _Steps) -> Iterator[Claim]:
    """Yield the changes of single samples on Darcy."""
    ran = {
        **dict.fromkeys(_BOTH, (10, 20, 50, 100)),
        **dict.fromkeys(("daps", "ddis"), (20, 50, 100)),
    }
    changes = [
        abs(steps.change(D_I, m, n, metric=metric).value)
        for m, numbers in ran.items()
        for n in numbers
        for metric in ("relative_l2", "error_rate")
    ]
    fallen = ("fundps", "ddis", "diffusionpde")
    yield Claim(
        "Errors change by at most {:.1f} %. The coverage falls with 50 steps from {:.0f} to "
        "{:.0f} % (FunDPS), {:.0f} to {:.0f} % (DDIS) and {:.0f} to {:.0f} % (DiffusionPDE).",
        max(changes),
        *(steps.coverage(D_I, m, 50, on) for m in fallen for on in (False, True)),
        holds=(
            lower(*(steps.scores(D_I, m, 50, "coverage60", on) for on in (True, False)))
            for m in fallen
        ),
    )
    cells = (("diffusionpde", 10), ("ddis", 20), ("fundps", 20))
    raised = [steps.change(D_F, method, n) for method, n in cells]
    yield Claim(
        "EquiReg raises the error of DiffusionPDE by {:.0f} % with 10 steps. With 20 it raises "
        "that of DDIS by {:.0f} % and of FunDPS by {:.0f} %. With more steps the change is "
        "smaller.",
        *(found.value for found in raised),
        holds=[
            *map(above, raised),
            *(
                abs(steps.change(D_F, method, more).value) < found.value
                for (method, n), found in zip(cells, raised, strict=True)
                for more in (20, 50, 100)
                if more > n
            ),
        ],
    )


def _cost(results: Results) -> Iterator[Claim]:
    """Yield the time that EquiReg takes."""
    seconds: dict[tuple[str, str], dict[bool, float]] = {}
    for r in results.rows("equireg-cost-64"):
        if r["metric"] == "relative_l2":
            seconds.setdefault((r["pde"], r["method"]), {})[r["equireg"]] = r[
                "seconds_per_instance"
            ]
    more = [100 * (found[True] / found[False] - 1) for found in seconds.values()]
    yield Claim(
        "On inverse tasks EquiReg takes {:.0f} to {:.0f} % more seconds, {:.0f} % on average.",
        *(min(more), max(more), fmean(more)),
    )


def _gaussian_prior(results: Results) -> Iterator[Claim]:
    """Yield the errors where the posterior is known."""
    groups: dict[tuple[str, str, int], list[Record]] = {}
    for r in results.rows("gaussian-limit-64"):
        groups.setdefault((r["method"], r["task"], r["steps"]), []).append(r)
    ratios = {
        key: ratio(*({r["instance"]: r[name] for r in group} for name in ("error", "limit")))
        for key, group in groups.items()
    }

    def uncertainty(*methods: str) -> float:
        return max(found.error for (method, *_), found in ratios.items() if method in methods)

    yield Claim(
        "Its standard errors are up to {:.1f} for DPS, DiffusionPDE and FunDPS, {:.1f} for DDIS "
        "and {:.1f} for DAPS.",
        *(uncertainty("dps", *_BOTH), uncertainty("ddis"), uncertainty("daps")),
    )
    yield Claim("8 perfect independent samples have {:.2f} on average", of_samples(8))
    yield Claim("hence `moment`'s {:.2f}.", ratios["moment", "inverse", 20])
    steps = _Steps(results)
    yield Claim(
        "On the inverse task more levels do not lower its error. In the tables above it has the "
        "weights (1000, 1000), and more levels do.",
        holds=[
            ratios["daps", "inverse", 20].value < ratios["daps", "inverse", 100].value,
            lower(steps.scores(H_I, "daps", 50), steps.scores(H_I, "daps", 20)),
        ],
    )
