"""The claims of docs/benchmark.md."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims import fresh, paper, priors
from pdeinv.benchmarks.claims.claim import (
    Claim,
    Constant,
    Relation,
    above,
    below,
    count,
    higher,
    lower,
    unresolved,
)
from pdeinv.benchmarks.claims.places import (
    D_F,
    D_I,
    GAUSSIAN,
    H_F,
    H_I,
    N_F,
    N_I,
    NARROWED,
    OI,
    P_F,
    P_I,
    of_samples,
    short_of,
)
from pdeinv.benchmarks.reports.queries import (
    FORWARD,
    GUIDED,
    INVERSE,
    PLACES,
    Measured,
    Place,
    Results,
    Suite,
    geometric_ratio,
    mean,
    percent,
    ratio,
    root,
)

__all__ = ["CONSTANTS", "claims"]

CONSTANTS = (
    Constant(
        "A difference stated below exceeds two standard errors of the paired instances, unless the "
        "text calls it unresolved.",
        "the rule itself",
    ),
    Constant("wrong side of 7.5", "the threshold of the error rate"),
    Constant("errs √2 times", "theory"),
    Constant("√2 times the limit", "theory"),
    Constant("coverage of 90 %", "a setting"),
    Constant("coverage of 60 %", "a setting"),
    Constant("Both are 60 %.", "a setting"),
    Constant("61.8 % is right", "a computation for Gaussians"),
    Constant("it shows 90 % instead", "a setting"),
    Constant("is low whatever their spread", "a definition"),
    Constant("3 % of the nodes", "a setting"),
    Constant("trained for 15 minutes", "a setting"),
)


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""
    standard = Suite(results, "suite-standard")
    yield Claim(
        "errs {:.2f} times as much as its mean. For 19 samples it is {:.2f} times.",
        *map(of_samples, (4, 19)),
    )
    yield from _limit(standard)
    yield from _published(standard)
    yield from _linear(standard)
    yield from _others(standard)
    yield from _three_figures(standard, Suite(results, "suite-paper"))
    yield from priors.claims(results)
    yield from fresh.claims(results)
    yield from paper.claims(results)


def _limit(suite: Suite) -> Iterator[Claim]:
    """Yield which methods reach the limit."""
    near = {p: unresolved(suite.scores(p, "moment"), suite.scores(p, "limit")) for p in PLACES}
    ratios = [suite.over_limit(p, "moment").value for p in GAUSSIAN]
    yield Claim(
        "**`moment`** stays within two standard errors of the limit on {} tasks. On the six with "
        "a Gaussian coefficient the ratio is {:.3f} to {:.3f}. On Darcy forward it is {:.3f}. On "
        "Darcy inverse it is {:.2f}: unresolved.",
        *(count(near.values()), min(ratios), max(ratios)),
        *(suite.over_limit(p, "moment") for p in (D_F, D_I)),
        holds=[*(near[p] for p in GAUSSIAN), near[D_I], not near[D_F]],
    )
    far = [suite.over_limit(p, OI).value for p in (D_F, D_I, N_I)]
    yield Claim(
        "is within two standard errors of the limit on the forward tasks of Poisson, Helmholtz "
        "and Navier–Stokes. On the inverse tasks of Poisson and Helmholtz it is {:.1f} and "
        "{:.1f} % above. On both tasks of Darcy and on Navier–Stokes inverse it has {:.1f} to "
        "{:.1f} times the limit's error.",
        *(suite.change(p, OI, "limit").value for p in (P_I, H_I)),
        *(min(far), max(far)),
        holds=[
            *(unresolved(suite.scores(p, OI), suite.scores(p, "limit")) for p in (P_F, H_F, N_F)),
            *(
                higher(suite.scores(p, OI), suite.scores(p, "limit"))
                for p in (P_I, H_I, D_F, D_I, N_I)
            ),
        ],
    )


def _published(suite: Suite) -> Iterator[Claim]:
    """Yield comparisons among the published solvers."""
    forward, inverse = (
        [suite.over_limit(p, "fundps").value for p in places] for places in (FORWARD, INVERSE)
    )
    yield Claim(
        "FunDPS comes nearest to the limit: {:.2f} to {:.2f} times its error on forward tasks, "
        "{:.2f} to {:.2f} times on inverse ones.",
        *(min(forward), max(forward), min(inverse), max(inverse)),
        holds=(below(_overall(suite, "fundps", m)) for m in GUIDED[1:]),
    )

    def led(place: Place, other: str) -> Relation:
        return lower(suite.scores(place, "fundps"), suite.scores(place, other))

    def equal(place: Place, other: str) -> Relation:
        return unresolved(suite.scores(place, "fundps"), suite.scores(place, other))

    evaluations = [
        sum(mean(suite.scores(p, m, measure="network_evaluations")).value for p in PLACES)
        for m in ("dps", "fundps")
    ]
    yield Claim(
        "DPS takes half of FunDPS's evaluations.",
        holds=[round(10 * evaluations[0] / evaluations[1]) == 5],
    )
    yield Claim(
        "FunDPS has a lower error on the inverse tasks of Poisson ({:.0f} %) and Darcy "
        "({:.0f} %). On the other six tasks the difference is unresolved.",
        *(-suite.change(p, "fundps", "dps").value for p in (P_I, D_I)),
        holds=[
            *(led(p, "dps") for p in (P_I, D_I)),
            *(equal(p, "dps") for p in PLACES if p not in (P_I, D_I)),
        ],
    )
    yield Claim(
        "FunDPS has a lower error than DiffusionPDE on {} tasks. On Helmholtz inverse, "
        "DiffusionPDE's is {:.0f} % lower, unresolved.",
        count(led(p, "diffusionpde") for p in PLACES),
        -suite.change(H_I, "diffusionpde", "fundps").value,
        holds=[equal(H_I, "diffusionpde")],
    )
    yield Claim(
        "FunDPS has a lower error than DDIS and DAPS on all eight tasks. Over all tasks, the "
        "difference of DiffusionPDE and DDIS is unresolved.",
        holds=[
            *(led(p, m) for p in PLACES for m in ("ddis", "daps")),
            Relation(0, _overall(suite, "diffusionpde", "ddis")),
        ],
    )


def _overall(suite: Suite, method: str, other: str) -> Measured:
    pairs = [(suite.scores(p, method), suite.scores(p, other)) for p in PLACES]
    return percent(geometric_ratio(pairs))


def _linear(suite: Suite) -> Iterator[Claim]:
    """Yield comparisons of the linear estimator with the published solvers."""
    best = {
        p: [
            lower(suite.scores(p, OI), suite.scores(p, m, e)) for m in GUIDED for e in (False, True)
        ]
        for p in PLACES
    }
    yield Claim(
        "Its error is lower than that of every guided solver on {} tasks: Poisson inverse, "
        "Helmholtz forward and inverse, Navier–Stokes forward.",
        count(all(found) for found in best.values()),
        holds=(all(best[p]) for p in (P_I, H_F, H_I, N_F)),
    )
    squares = {i: e**2 for i, e in suite.scores(N_F, OI).items()}
    yield Claim(
        "a correction for the four samples shrinks its lead over FunDPS from {:.0f} to {:.0f} %.",
        -suite.change(N_F, OI, "fundps").value,
        -1 * percent(root(ratio(squares, suite.scores(N_F, "fundps", measure="corrected")))),
    )
    yield Claim(
        "On Poisson forward and Darcy inverse it is {:.0f} and {:.0f} % below FunDPS, unresolved.",
        *(-suite.change(p, OI, "fundps").value for p in (P_F, D_I)),
        holds=(unresolved(suite.scores(p, OI), suite.scores(p, "fundps")) for p in (P_F, D_I)),
    )
    yield Claim(
        "On Darcy forward and Navier–Stokes inverse, FunDPS has the lower error.",
        holds=(lower(suite.scores(p, "fundps"), suite.scores(p, OI)) for p in (D_F, N_I)),
    )


def _three_figures(standard: Suite, paper: Suite) -> Iterator[Claim]:
    """Yield what EquiReg changes over all tasks."""
    signs = {"fundps": 1, "dps": 1, "diffusionpde": -1}
    yield Claim(
        "With 125 sensors, single samples gain with every solver. The corrected mean gains with "
        "DiffusionPDE alone; with FunDPS and DPS it gets worse, with DAPS and DDIS its change is "
        "unresolved. The coverage falls with every solver. FunDPS, DPS and DiffusionPDE are left "
        "with {:.0f}, {:.0f} and {:.0f} %, which is too narrow.",
        *(standard.coverage(m, True).value for m in NARROWED),
        holds=[
            *(below(standard.by_equireg_overall(m, "sample_error")) for m in GUIDED),
            *(
                Relation(signs.get(m, 0), standard.by_equireg_overall(m, "corrected"))
                for m in GUIDED
            ),
            *(below(standard.coverage_by_equireg(m)) for m in GUIDED),
            *(below(short_of(standard.coverage(m, True))) for m in NARROWED),
        ],
    )
    worse, unclear = (paper.by_equireg_overall(m, "corrected") for m in ("fundps", "diffusionpde"))
    yield Claim(
        "With 500 sensors (4 instances) the corrected mean gets worse with FunDPS, by {:.1f} %; "
        "with DiffusionPDE the change is unresolved.",
        worse,
        holds=[above(worse), Relation(0, unclear)],
    )


def _others(suite: Suite) -> Iterator[Claim]:
    """Yield what EquiReg, the regressor and kriging do."""
    changes = {m: suite.by_equireg_overall(m) for m in GUIDED}
    yield Claim(
        "**EquiReg** lowers the error of the mean of 4 samples over all tasks, by {:.1f} % (DPS) "
        "to {:.1f} % (DiffusionPDE). It also draws the samples together, and a mean of few such "
        "samples errs less.",
        *(-changes[m].value for m in ("dps", "diffusionpde")),
        holds=[
            *map(below, changes.values()),
            min(changes.values(), key=lambda found: found.value) == changes["diffusionpde"],
            max(changes.values(), key=lambda found: found.value) == changes["dps"],
        ],
    )
    ratios = [suite.over_limit(p, "fno").value for p in PLACES]
    covered = [suite.coverage("fno", places=[p], level=90).value for p in PLACES if p != D_I]
    seconds = [mean(suite.scores(p, "fno", measure="seconds_per_instance")).value for p in PLACES]
    yield Claim("takes a quarter of a second.", holds=[round(4 * sum(seconds) / len(seconds)) == 1])
    yield Claim(
        "Its error is {:.1f} to {:.1f} times the limit. Its coverage of 90 % is {:.0f} to "
        "{:.0f} %, but {:.0f} % for Darcy's permeability.",
        *(min(ratios), max(ratios), min(covered), max(covered)),
        suite.coverage("fno", places=[D_I], level=90).value,
    )
    yield Claim(
        "On Navier–Stokes forward its error is lower than that of all published solvers without "
        "EquiReg. On the forward tasks of Poisson and Helmholtz it is within two standard errors "
        "of FunDPS and DPS, and below the other three.",
        holds=[
            *(lower(suite.scores(N_F, "kriging"), suite.scores(N_F, m)) for m in GUIDED),
            *(
                (unresolved if m in ("fundps", "dps") else lower)(
                    suite.scores(p, "kriging"), suite.scores(p, m)
                )
                for p in (P_F, H_F)
                for m in GUIDED
            ),
        ],
    )
