"""The claims of docs/benchmark.md on the same prior for all, and on each solver's best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pdeinv.benchmarks.claims.claim import Claim, Relation, above, higher, unresolved
from pdeinv.benchmarks.claims.places import D_F, D_I, H_F, H_I, N_F, N_I, P_I
from pdeinv.benchmarks.reports.queried_tables import rival_pair
from pdeinv.benchmarks.reports.queries import (
    FORWARD,
    GUIDED,
    INVERSE,
    PLACES,
    Measured,
    Place,
    Results,
    difference,
    geometric_ratio,
    mean,
    percent,
    ratio,
)

__all__ = ["claims"]

_JOINT, _BEST = ("joint-64", "suite-standard"), ("suite-standard", "suite-standard")
_RIVALS = GUIDED[:-1]
_NEARER = (H_F, D_F, N_F)  # where single samples of FunDPS are nearer than ours


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of these sections."""
    single = _Excess(results, _JOINT, "sample_error")
    means = _Excess(results, _JOINT, "corrected")
    lower = [-single(p, "fundps").value for p in _NEARER]
    overall = [means.overall(method).value for method in _RIVALS]
    yield Claim(
        "With the same prior, single samples of FunDPS err less than those of `moment` on three "
        "forward tasks, by {:.0f} to {:.0f} %, and those of DPS on Navier–Stokes forward. On "
        "inverse tasks those of `moment` err less than all, but on Darcy inverse the difference "
        "from FunDPS is unresolved. The corrected mean of no rival is lower than that of "
        "`moment`. Over all tasks it is {:.0f} to {:.0f} % higher.",
        *(min(lower), max(lower), min(overall), max(overall)),
        holds=[
            *((single(p, "fundps").sign() < 0) == (p in _NEARER) for p in PLACES),
            *((single(p, "dps").sign() < 0) == (p == N_F) for p in PLACES),
            *(
                Relation(0 if (p, m) == (D_I, "fundps") else 1, single(p, m))
                for p in INVERSE
                for m in _RIVALS
            ),
            *(means(p, m).sign() >= 0 for p in PLACES for m in _RIVALS),
            *(above(means.overall(m)) for m in _RIVALS),
        ],
    )
    own, joint = (
        {p: results.values(name, p, "moment") for p in PLACES}
        for name in ("suite-standard", "joint-64")
    )
    changes = {p: percent(ratio(joint[p], own[p])) for p in PLACES}
    yield Claim(
        "With the joint prior the error of `moment` is higher than with its own prior and the PDE "
        "on inverse tasks: by {:.1f} % on Poisson, {:.1f} % on Helmholtz and {:.1f} % on "
        "Navier–Stokes. On Darcy it has {:.2f} % instead of {:.2f}. On forward tasks the "
        "difference is unresolved.",
        *(changes[p] for p in (P_I, H_I, N_I)),
        *(100 * mean(side[D_I]).value for side in (joint, own)),
        holds=[
            *(higher(joint[p], own[p]) for p in INVERSE),
            *(unresolved(joint[p], own[p]) for p in FORWARD),
        ],
    )
    rival = results.values("suite-standard", D_I, "fundps")
    lead, left = (difference(rival, side[D_I]).value for side in (own, joint))
    yield Claim(
        "So on Darcy inverse about two thirds of its lead over FunDPS come from the prior of the "
        "coefficient, the PDE and the threshold of a latent field.",
        holds=[0.55 < 1 - left / lead < 0.75],
    )
    yield from _best(results)


def _best(results: Results) -> Iterator[Claim]:
    """Yield the comparison of each solver with its best prior."""
    single = _Excess(results, _BEST, "sample_error")
    means = _Excess(results, _BEST, "corrected")
    nearer = ((D_F, "fundps"), (N_F, "fundps"), (N_F, "dps"))
    lower = [-single(*cell).value for cell in nearer[:2]]
    yield Claim(
        "Single samples of FunDPS err less on Darcy and Navier–Stokes forward, by {:.0f} and "
        "{:.0f} %, and those of DPS on Navier–Stokes forward. On no other task do those of a "
        "rival. The corrected mean of no rival is lower.",
        *lower,
        holds=[
            *((single(p, m).sign() < 0) == ((p, m) in nearer) for p in PLACES for m in GUIDED),
            *(means(p, m).sign() >= 0 for p in PLACES for m in GUIDED),
        ],
    )


class _Excess:
    """By how many per cent the errors of rivals exceed those of `moment`.

    Arguments:
        results, files, measure: as of `rival_pair`.
    """

    def __init__(self, results: Results, files: tuple[str, str], measure: str) -> None:
        self.results, self.files, self.measure = results, files, measure
        self.power = 0.5 if measure == "corrected" else 1.0

    def __call__(self, place: Place, method: str) -> Measured:
        """Return it for one task."""
        return self._of([place], method)

    def overall(self, method: str) -> Measured:
        """Return its geometric mean over all tasks."""
        return self._of(PLACES, method)

    def _of(self, places: Sequence[Place], method: str) -> Measured:
        joint = self.files == _JOINT
        pairs = [
            rival_pair(self.results, self.files, place, method, self.measure, joint=joint)
            for place in places
        ]
        return percent(geometric_ratio(pairs, self.power))
