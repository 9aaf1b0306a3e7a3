"""The claims of docs/published.md."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from pdeinv.benchmarks.claims.claim import Claim, Constant, in_words
from pdeinv.benchmarks.published import PUBLISHED
from pdeinv.benchmarks.reports.published_setting import PAPERS, runs_of
from pdeinv.benchmarks.reports.queries import PLACES, Place, Results

__all__ = ["CONSTANTS", "claims"]

CONSTANTS = (
    Constant("--noise-length 0.005", "a setting"),
    Constant("## Differences", "the papers' constants and ours"),
    Constant("## Constants", "the papers' constants"),
    Constant("## Sources", "references"),
)
_FILE = "published-128"
_PRESET, _EXACT, _DEFAULT = "preset `published`", "the same, exact denoiser", "preset `default`"


def claims(results: Results) -> Iterator[Claim]:
    """Yield the claims of the page."""

    def single(place: Place, method: str, run: str) -> float | None:
        errors = [r["sample_error"] for r in runs_of(results, _FILE, place, method, run)]
        return None if not errors or None in errors else 100 * fmean(errors)

    def times_paper(method: str, run: str) -> list[float]:
        papers = [by for name, (_, by) in PUBLISHED.items() if name.startswith(PAPERS[method])]
        found = {place: single(place, method, run) for place in PLACES}
        return [
            error / max(by[place] for by in papers)
            for place, error in found.items()
            if error is not None
        ]

    shown = {method: times_paper(method, _PRESET) for method in PAPERS}
    yield Claim(
        "FunDPS diverges on {} of the eight tasks, and errs {:.1f} to {:.1f} times as much as the "
        "paper reports on the others. DiffusionPDE errs {:.1f} to {:.1f} times as much as the "
        "higher of its two published figures.",
        in_words(len(PLACES) - len(shown["fundps"])),
        *(end(shown[m]) for m in ("fundps", "diffusionpde") for end in (min, max)),
        holds=[len(shown["diffusionpde"]) == len(PLACES)],
    )
