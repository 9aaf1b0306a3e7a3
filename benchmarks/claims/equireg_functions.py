"""The claims of docs/equireg.md on functions that separate the prior's manifold."""

from __future__ import annotations

import math
from collections.abc import Iterator

from pdeinv.benchmarks.claims.claim import Claim
from pdeinv.benchmarks.reports.queries import Results

__all__ = ["claims"]

_GAUSSIAN = ("poisson", "helmholtz", "navier-stokes")
_SEPARATES = 0.9
"""The area under the ROC from which a function separates fields."""


def claims(results: Results) -> Iterator[Claim]:
    """Yield these claims."""
    rows = results.rows("equivariance")
    areas = {(r["pde"], r["function"]): r["area"] for r in rows}
    ratios = {(r["pde"], r["function"]): r["ratio"] for r in rows}
    levels = {s: f"denoiser at σ = {s}" for s in (0.02, 0.05, 0.1, 0.2, 0.5)}
    yield Claim(
        "For Darcy's two-valued fields every denoiser separates the manifold from all four kinds.",
        holds=(
            len(found) == 4 and min(found.values()) > _SEPARATES
            for found in (areas["darcy", name] for name in levels.values())
        ),
    )
    noised = [areas[pde, levels[s]]["noised"] for pde in _GAUSSIAN for s in levels if s <= 0.2]
    yield Claim(
        "separates noised fields (area of {:.2f} or more). At σ = 0.02 and 0.05 it also separates "
        "mixtures of two Navier–Stokes fields. At σ = 0.02 it separates guided estimates of "
        "Helmholtz.",
        math.floor(100 * min(noised) + 0.5) / 100,
        holds=[
            *(areas["navier-stokes", levels[s]]["mixed"] > _SEPARATES for s in (0.02, 0.05)),
            areas["helmholtz", levels[0.02]]["guided estimates"] > _SEPARATES,
        ],
    )
    smooth = [
        ratios[pde, name][kind]
        for pde in _GAUSSIAN
        for name in levels.values()
        for kind in ("blurred", "guided estimates")
    ]
    yield Claim(
        "Blurred fields and the other guided estimates mostly have a lower R than the prior's own "
        "fields.",
        holds=[sum(ratio < 1 for ratio in smooth) > 0.9 * len(smooth)],
    )
    inverse = {pde: areas[pde, "inverse operator"]["noised"] for pde in ("darcy", *_GAUSSIAN)}
    yield Claim(
        "The inverse operators separate noised fields, best on Helmholtz and Poisson. Darcy's "
        "forward operator separates mixtures.",
        holds=[
            *(inverse[pde] > _SEPARATES for pde in ("helmholtz", "poisson")),
            *(0.7 < inverse[pde] < _SEPARATES for pde in ("darcy", "navier-stokes")),
            areas["darcy", "operator"]["mixed"] > _SEPARATES,
        ],
    )
    yield Claim(
        "about as equivariant on the manifold as off it.",
        holds=(
            0.85 < ratio < 1.15
            for (_, name), found in ratios.items()
            if name == "operator's encoder"
            for ratio in found.values()
        ),
    )
