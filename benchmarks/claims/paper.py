"""The claims of docs/benchmark.md on the suite with 128 x 128 nodes."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim, Relation, above, below, count, lower, unresolved
from pdeinv.benchmarks.claims.places import D_F, D_I, FEW, H_I, N_F, N_I, OI, P_I
from pdeinv.benchmarks.claims.single import (
    DIFFUSIONPDE,
    FUNDPS,
    less_than_exact,
    lowest_less_than_exact,
)
from pdeinv.benchmarks.reports.queries import (
    FORWARD,
    INVERSE,
    PLACES,
    Place,
    Results,
    Suite,
    percent,
    ratio,
)

__all__ = ["claims"]

_BOTH = ("fundps", "diffusionpde")


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of this part of the page."""
    standard, paper = Suite(results, "suite-standard"), Suite(results, "suite-paper")
    yield Claim("a difference counts beyond {:.1f} standard errors.", FEW)
    yield from _moment(paper)
    yield from _published(paper)
    yield from _equireg(standard, paper)
    yield from _single(results)
    falls = {
        method: [
            percent(ratio(paper.scores(p, method), standard.scores(p, method))) for p in PLACES
        ]
        for method in ("fno", "limit")
    }
    yield Claim(
        "From 125 sensors to 500 its error falls by {:.0f} to {:.0f} %, that of the limit by "
        "{:.0f} to {:.0f} %.",
        *(end(-found.value for found in falls[m]) for m in falls for end in (min, max)),
        holds=(below(found) for changes in falls.values() for found in changes),
    )


def _moment(suite: Suite) -> Iterator[Claim]:
    scores = {p: (suite.scores(p, "moment"), suite.scores(p, "limit")) for p in PLACES}
    above_limit = {p: suite.change(p, "moment", "limit") for p in PLACES}
    yield Claim(
        "**`moment`** is within two standard errors of the limit on {} tasks. It is above it on "
        "Helmholtz inverse, by {:.1f} %, on Navier–Stokes inverse, by {:.2f} %, and on Darcy "
        "inverse, with {:.2f} times its error.",
        count(unresolved(*pair) for pair in scores.values()),
        above_limit[H_I],
        above_limit[N_I],
        suite.over_limit(D_I, "moment"),
        holds=(above(above_limit[p]) for p in (H_I, N_I, D_I)),
    )


def _published(suite: Suite) -> Iterator[Claim]:
    forward, inverse = (
        [suite.over_limit(p, m).value for p in places for m in _BOTH]
        for places in (FORWARD, INVERSE)
    )
    yield Claim(
        "have {:.2f} to {:.2f} times the limit's error on forward tasks without EquiReg, and "
        "{:.2f} to {:.1f} times on inverse ones. Optimal interpolation has a lower error than "
        "both on the inverse tasks of Poisson and Helmholtz and on Navier–Stokes forward. Both "
        "have a lower error on Navier–Stokes inverse.",
        *(min(forward), max(forward), min(inverse), max(inverse)),
        holds=[
            *(
                lower(suite.scores(p, OI), suite.scores(p, m))
                for p in (P_I, H_I, N_F)
                for m in _BOTH
            ),
            *(lower(suite.scores(N_I, m), suite.scores(N_I, OI)) for m in _BOTH),
        ],
    )


def _equireg(standard: Suite, paper: Suite) -> Iterator[Claim]:
    def change(place: Place, method: str) -> float:
        return paper.by_equireg(place, method).value

    def covered(place: Place, method: str, on: bool) -> float:
        return paper.coverage(method, on, [place]).value

    yield Claim(
        "On Navier–Stokes inverse it raises the error, by {:.0f} % (FunDPS) and {:.0f} % "
        "(DiffusionPDE), and the coverage falls from {:.0f} and {:.0f} to {:.0f} and "
        "{:.0f} %. With 125 sensors it lowered the error there by as much.",
        *(change(N_I, m) for m in _BOTH),
        *(covered(N_I, m, False) for m in _BOTH),
        *(covered(N_I, m, True) for m in _BOTH),
        holds=[
            *(above(paper.by_equireg(N_I, m)) for m in _BOTH),
            *(below(paper.coverage_by_equireg(m, [N_I])) for m in _BOTH),
            *(
                round(-standard.by_equireg(N_I, m).value) in range(6, 12)
                and below(standard.by_equireg(N_I, m))
                for m in _BOTH
            ),
        ],
    )
    yield Claim(
        "On Navier–Stokes forward it raises DiffusionPDE's error by {:.0f} %, and the coverage "
        "falls from {:.0f} to {:.0f} %.",
        change(N_F, "diffusionpde"),
        *(covered(N_F, "diffusionpde", on) for on in (False, True)),
        holds=[
            above(paper.by_equireg(N_F, "diffusionpde")),
            below(paper.coverage_by_equireg("diffusionpde", [N_F])),
        ],
    )
    falls = {(p, m): paper.by_equireg(p, m) for p in (P_I, H_I) for m in _BOTH}
    yield Claim(
        "On the inverse tasks of Poisson and Helmholtz the errors fall by {:.0f} to {:.0f} %. Of "
        "these four, only FunDPS's on Poisson is resolved.",
        *(end(-found.value for found in falls.values()) for end in (min, max)),
        holds=(
            Relation(-1 if cell == (P_I, "fundps") else 0, found) for cell, found in falls.items()
        ),
    )


def _single(results: Results) -> Iterator[Claim]:
    """Yield which published figures are below what an exact sample has."""
    rest = [lowest_less_than_exact(results, p) for p in FORWARD if p != D_F]
    apart = [-found.value / found.error for found in rest]
    darcy = [less_than_exact(results, D_F, name) for name in (FUNDPS, DIFFUSIONPDE)]
    yield Claim(
        "On Darcy forward, FunDPS and DiffusionPDE are below it by {:.1f} and {:.1f} standard "
        "errors of our instances. The lowest figures of the other forward tasks are below it, too, "
        "by {:.1f} to {:.1f}. No inverse figure is.",
        *(-found.value / found.error for found in darcy),
        *(min(apart), max(apart)),
        holds=[
            *map(below, darcy),
            *(lowest_less_than_exact(results, p).value > 0 for p in INVERSE if p != D_I),
        ],
    )
