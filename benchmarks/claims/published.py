"""The claims of docs/published.md."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from pdeinv.benchmarks.claims.claim import Claim, Constant, count, in_words
from pdeinv.benchmarks.claims.places import H_F, P_F, P_I
from pdeinv.benchmarks.published import PUBLISHED
from pdeinv.benchmarks.reports.published_setting import PAPERS, runs_of
from pdeinv.benchmarks.reports.queries import PLACES, Place, Results, mean

__all__ = ["CONSTANTS", "claims"]

CONSTANTS = (
    Constant("--noise-length 0.005", "a setting"),
    Constant("## Differences", "the papers' constants and ours"),
    Constant("## Constants", "the papers' constants"),
    Constant("## Sources", "references"),
)
_FILE = "published-128"
_SECOND = ("diffusionpde", "DiffusionPDE has")
_WHERE = {
    "fundps": " on Poisson, where the paper has {:g} and {:g} %.",
    "diffusionpde": ", where its paper has {:g} and {:g} %.",
}
_PRESET, _EXACT = "preset `published`", "the same, exact denoiser"


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""

    def single(place: Place, method: str, run: str) -> float | None:
        errors = [r["sample_error"] for r in runs_of(results, _FILE, place, method, run)]
        return None if not errors or None in errors else 100 * fmean(errors)

    def times_paper(method: str, run: str) -> list[float]:
        papers = [by for name, (_, by) in PUBLISHED.items() if name.startswith(PAPERS[method])]
        found = {place: single(place, method, run) for place in PLACES}
        return [
            error / max(by[place] for by in papers if place in by)
            for place, error in found.items()
            if error is not None and any(place in by for by in papers)
        ]

    harder = [
        mean(results.values("suite-paper", place, "moment", "sample_error", first=2)).value
        > mean(results.values("suite-paper", place, "moment", "sample_error")).value
        for place in PLACES
    ]
    yield Claim("on these two, `moment` errs more than on average on {} tasks.", count(harder))
    shown = {method: times_paper(method, _PRESET) for method in ("fundps", "diffusionpde")}
    yield Claim(
        "FunDPS diverges on {} of the eight tasks, and errs {:.1f} to {:.1f} times as much as the "
        "paper reports on the others. DiffusionPDE errs {:.1f} to {:.1f} times as much as the "
        "higher of its two published figures.",
        in_words(len(PLACES) - len(shown["fundps"])),
        *(end(shown[m]) for m in ("fundps", "diffusionpde") for end in (min, max)),
        holds=[len(shown["diffusionpde"]) == len(PLACES)],
    )
    for method, start in (("fundps", "With the exact denoiser FunDPS has errors of"), _SECOND):
        title = next(name for name in PUBLISHED if name.startswith(PAPERS[method]))
        yield Claim(
            start + " {:.2f} and {:.2f} %" + _WHERE[method],
            *(single(place, method, _EXACT) for place in (P_F, P_I)),
            *(PUBLISHED[title][1][place] for place in (P_F, P_I)),
        )
    ours = results.values("suite-paper", P_I, "moment", "sample_error", first=2)
    yield Claim(
        "on Poisson inverse a single sample of `moment` has an error of {:.2f} %.",
        100 * mean(ours).value,
    )
    yield Claim(
        "On Helmholtz forward FunDPS diverges even with the exact denoiser.",
        holds=[
            runs_of(results, _FILE, H_F, "fundps", run) != [] and single(H_F, "fundps", run) is None
            for run in (_PRESET, _EXACT)
        ],
    )
    ddis = times_paper("ddis", _PRESET)
    yield Claim(
        "DDIS errs {:.1f} to {:.1f} times as much as its paper reports on inverse tasks",
        *(min(ddis), max(ddis)),
        holds=[len(ddis) == 3],
    )
