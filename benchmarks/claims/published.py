"""The claims of docs/published.md."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from pdeinv.benchmarks.claims.claim import Claim, Constant, count, in_words
from pdeinv.benchmarks.claims.places import H_F, P_F, P_I
from pdeinv.benchmarks.reports.published_setting import papers_figures, runs_of
from pdeinv.benchmarks.reports.queries import PLACES, Place, Results, mean

__all__ = ["CONSTANTS", "claims"]

CONSTANTS = (
    Constant("--noise-length 0.005", "a setting"),
    Constant("## Differences", "the papers' constants and ours"),
    Constant("## Constants", "the papers' constants"),
    Constant("## Sources", "references"),
)
_FILE = "published-128"
_PRESET, _EXACT = "preset `published`", "the same, exact denoiser"


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""
    harder = [
        mean(results.values("suite-paper", place, "moment", "sample_error", first=2)).value
        > mean(results.values("suite-paper", place, "moment", "sample_error")).value
        for place in PLACES
    ]
    yield Claim("on these two, `moment` errs more than on average on {} tasks.", count(harder))
    fundps, diffusionpde, ddis = (
        _times_paper(results, method) for method in ("fundps", "diffusionpde", "ddis")
    )
    yield Claim(
        "FunDPS diverges on {} of the eight tasks, and errs {:.1f} to {:.1f} times as much as the "
        "paper reports on the others. DiffusionPDE errs {:.1f} to {:.1f} times as much as the "
        "higher of its two published figures.",
        in_words(len(PLACES) - len(fundps)),
        *(min(fundps), max(fundps), min(diffusionpde), max(diffusionpde)),
        holds=[len(diffusionpde) == len(PLACES)],
    )
    yield from _exact_denoiser(results)
    yield Claim(
        "DDIS errs {:.1f} to {:.1f} times as much as its paper reports on inverse tasks",
        *(min(ddis), max(ddis)),
        holds=[len(ddis) == 3],
    )


def _exact_denoiser(results: Results) -> Iterator[Claim]:
    yield Claim(
        "With the exact denoiser FunDPS has errors of {:.2f} and {:.2f} % on Poisson, where the "
        "paper has {:g} and {:g} %.",
        *(_single(results, place, "fundps", _EXACT) for place in (P_F, P_I)),
        *(papers_figures("fundps", place)[0] for place in (P_F, P_I)),
    )
    yield Claim(
        "DiffusionPDE has {:.2f} and {:.2f} %, where its paper has {:g} and {:g} %.",
        *(_single(results, place, "diffusionpde", _EXACT) for place in (P_F, P_I)),
        *(papers_figures("diffusionpde", place)[0] for place in (P_F, P_I)),
    )
    ours = results.values("suite-paper", P_I, "moment", "sample_error", first=2)
    yield Claim(
        "on Poisson inverse a single sample of `moment` has an error of {:.2f} %.",
        100 * mean(ours).value,
    )
    yield Claim(
        "On Helmholtz forward FunDPS diverges even with the exact denoiser.",
        holds=[
            runs_of(results, _FILE, H_F, "fundps", run) != []
            and _single(results, H_F, "fundps", run) is None
            for run in (_PRESET, _EXACT)
        ],
    )


def _single(results: Results, place: Place, method: str, run: str) -> float | None:
    """The mean error of single samples in per cent, None if one diverged or there is none."""
    errors = [r["sample_error"] for r in runs_of(results, _FILE, place, method, run)]
    return None if not errors or None in errors else 100 * fmean(errors)


def _times_paper(results: Results, method: str) -> list[float]:
    """The errors of the published preset over the paper's, on the tasks that have both."""
    found = {place: _single(results, place, method, _PRESET) for place in PLACES}
    return [
        error / max(figures)
        for place, error in found.items()
        if error is not None and (figures := papers_figures(method, place))
    ]
