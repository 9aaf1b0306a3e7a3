"""Errors that papers report on the benchmark, relative L2 or error rate in per cent: 128 x 128
nodes, 500 exact sensors."""

from __future__ import annotations

__all__ = ["PUBLISHED", "best_published"]

_COLUMNS = [
    (pde, task)
    for pde in ("darcy", "poisson", "helmholtz", "navier-stokes")
    for task in ("forward", "inverse")
]
_FUNDPS = "Yao et al., NeurIPS 2025, arXiv 2505.17004"

PUBLISHED: dict[str, tuple[str, dict[tuple[str, str], float]]] = {
    "DiffusionPDE, 2,000 steps": (
        f"as reported in {_FUNDPS}",
        dict(zip(_COLUMNS, (6.07, 7.87, 4.88, 21.10, 12.64, 19.07, 3.78, 9.63), strict=True)),
    ),
    "FunDPS, 500 steps": (
        _FUNDPS,
        dict(zip(_COLUMNS, (2.49, 5.18, 1.99, 20.47, 2.13, 17.16, 3.32, 8.48), strict=True)),
    ),
    "DDIS": (
        "Lin et al., 2026, arXiv 2601.23280",
        {
            ("poisson", "inverse"): 15.78,
            ("helmholtz", "inverse"): 15.08,
            ("navier-stokes", "inverse"): 8.93,
        },
    ),
}
"""For each method its source and its errors by PDE and task."""


def best_published(pde: str, task: str) -> float:
    """The lowest of them, in per cent."""
    return min(errors[pde, task] for _, errors in PUBLISHED.values() if (pde, task) in errors)
