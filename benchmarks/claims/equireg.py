"""The claims of docs/equireg.md on the suites."""

from __future__ import annotations

from collections.abc import Iterator

from pdeinv.benchmarks.claims import equireg_functions, equireg_steps
from pdeinv.benchmarks.claims.claim import Claim, Constant, above, below
from pdeinv.benchmarks.claims.places import (
    D_I,
    FEW,
    H_F,
    H_I,
    N_F,
    N_I,
    NARROWED,
    P_F,
    P_I,
    short_of,
)
from pdeinv.benchmarks.reports.queries import GUIDED, PLACES, Place, Results, Suite

__all__ = ["CONSTANTS", "claims"]

CONSTANTS = (
    Constant("60 % is right", "a definition"),
    Constant("deviation 0.5", "a setting"),
    Constant("σ = 0.1", "a setting"),
    Constant("σ = 0.3", "a setting"),
    Constant("At σ = 0.02 and 0.05", "a setting"),
    Constant("At σ = 0.02 it", "a setting"),
    Constant("a denoiser at σ up to 0.2", "a setting"),
    Constant("with its 95 % interval", "a setting"),
    Constant("half-width of its 95 % interval", "a setting"),
)
_SIGNS: dict[tuple[Place, str], int] = {
    **dict.fromkeys([(N_F, "daps"), (N_F, "ddis"), (H_F, "daps"), (D_I, "daps")], -1),
    **dict.fromkeys([(p, "diffusionpde") for p in (P_I, H_F, N_F, N_I)], -1),
    **dict.fromkeys([(D_I, m) for m in GUIDED if m != "daps"], 1),
    **dict.fromkeys([(H_I, m) for m in ("fundps", "diffusionpde")], 1),
    **dict.fromkeys([(N_I, m) for m in ("fundps", "dps")], 1),
    (P_F, "dps"): 1,
}
"""Where the corrected mean improves (-1) or gets worse (1), as the first paragraph states it."""


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""
    standard, paper = Suite(results, "suite-standard"), Suite(results, "suite-paper")
    yield from _verdict(standard, paper)
    yield Claim("where a difference counts beyond {:.1f} standard errors", FEW)
    yield from _paper(paper)
    yield from equireg_functions.claims(results)
    yield Claim(
        "It separates best on Darcy, where single samples gain nothing.",
        holds=(not below(standard.by_equireg(D_I, m, "sample_error")) for m in GUIDED),
    )
    yield from equireg_steps.claims(results)


def _verdict(suite: Suite, paper: Suite) -> Iterator[Claim]:
    """Yield the first paragraph."""
    yield Claim(
        "It helps the mean and keeps the coverage on Navier–Stokes forward with DAPS and DDIS, and "
        "on Helmholtz forward with DAPS. With DiffusionPDE it helps the mean at the price of "
        "coverage, on Navier–Stokes, Helmholtz forward and Poisson inverse.",
        holds=[
            *(
                suite.by_equireg(p, m, "corrected").sign() == _SIGNS.get((p, m), 0)
                for p in PLACES
                for m in GUIDED
            ),
            *(
                suite.coverage(m, True, [p]).value > 60
                for p, m in ((N_F, "daps"), (N_F, "ddis"), (H_F, "daps"))
            ),
            *(below(suite.coverage_by_equireg("diffusionpde", [p])) for p in (P_I, H_F, N_F, N_I)),
        ],
    )
    yield Claim(
        "With FunDPS and DPS only single samples gain, on all PDEs but Darcy; the mean of many "
        "samples does not. It hurts the mean on Darcy inverse with every solver but DAPS, and on "
        "Helmholtz inverse with FunDPS and DiffusionPDE. It also hurts it on Navier–Stokes inverse "
        "with FunDPS and DPS, and on Poisson forward with DPS. With these three solvers most "
        "intervals become too narrow.",
        holds=[
            *(
                (suite.by_equireg(p, m, "sample_error").sign() < 0) == (p[0] != "darcy")
                for p in PLACES
                for m in ("fundps", "dps")
            ),
            *(
                sum(bool(below(short_of(suite.coverage(m, True, [p])))) for p in PLACES)
                > len(PLACES) / 2
                for m in NARROWED
            ),
        ],
    )
    changes = [paper.by_equireg(N_I, m, "corrected") for m in ("fundps", "diffusionpde")]
    yield Claim(
        "With 500 sensors the mean gets worse by about a fifth on Navier–Stokes inverse.",
        holds=[*map(above, changes), *(15 < change.value < 25 for change in changes)],
    )


def _paper(suite: Suite) -> Iterator[Claim]:
    """Yield the changes with 128 x 128 nodes."""
    changes = {
        (p, m): suite.by_equireg(p, m, "corrected")
        for p in PLACES
        for m in ("fundps", "diffusionpde")
    }

    def covered(place: Place, *cells: tuple[str, bool]) -> list[float]:
        return [suite.coverage(method, on, [place]).value for method, on in cells]

    yield Claim(
        "the corrected mean gets worse by {:.1f} % (FunDPS) and {:.1f} % (DiffusionPDE). Coverage "
        "falls from {:.0f} and {:.0f} to {:.0f} and {:.0f} %.",
        *(changes[N_I, m] for m in ("fundps", "diffusionpde")),
        *covered(N_I, *((m, on) for on in (False, True) for m in ("fundps", "diffusionpde"))),
        holds=[
            *(above(changes[N_I, m]) for m in ("fundps", "diffusionpde")),
            *(below(suite.coverage_by_equireg(m, [N_I])) for m in ("fundps", "diffusionpde")),
        ],
    )
    raised = suite.by_equireg(N_F, "diffusionpde")
    yield Claim(
        "DiffusionPDE's mean of 4 samples gets worse by {:.0f} %, and its coverage falls from "
        "{:.0f} to {:.0f} %.",
        raised.value,
        *covered(N_F, ("diffusionpde", False), ("diffusionpde", True)),
        holds=[above(raised)],
    )
    yield Claim(
        "DiffusionPDE's corrected mean gets worse by {:.1f} %. Coverage falls from {:.0f} to "
        "{:.0f} %.",
        changes[H_I, "diffusionpde"],
        *covered(H_I, ("diffusionpde", False), ("diffusionpde", True)),
        holds=[above(changes[H_I, "diffusionpde"])],
    )
    yield Claim(
        "On no task does the corrected mean improve by more than its uncertainty.",
        holds=(not below(change) for change in changes.values()),
    )
