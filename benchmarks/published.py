"""What is specific to the published benchmark: its PDEs, the papers' errors, settings by PDE.

The errors are relative L2 or error rates in per cent, on 128 x 128 nodes with 500 exact sensors.
"""

from __future__ import annotations

from typing import Any

from pdeinv.solvers.diffusion import published

__all__ = [
    "DATA_STATISTICS",
    "GROWING_TASKS",
    "PDES",
    "PUBLISHED",
    "SETTINGS",
    "STEPS",
    "best_published",
]

PDES = ("poisson", "helmholtz", "darcy", "navier-stokes")
"""The PDEs of the suites, in the order of the tables."""

SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    # A neural operator stands in for its many solves
    ("ddis", "navier-stokes"): {"physics": "operator"},
}
"""What a suite adds to its settings of a method on one PDE."""

GROWING_TASKS = (("poisson", "inverse"), ("darcy", "forward"), ("navier-stokes", "inverse"))
"""The tasks on which the growth of cost is measured: a linear PDE, one with a coefficient of two
values, and a nonlinear one."""

STEPS = {method: published.STEPS[method] for method in ("diffusionpde", "fundps")}
"""The published number of steps of the solvers whose time is measured."""

_COLUMNS = [
    (pde, task)
    for pde in ("darcy", "poisson", "helmholtz", "navier-stokes")
    for task in ("forward", "inverse")
]
_DIFFUSIONPDE = "Huang et al., NeurIPS 2024, arXiv 2406.17763"
_FUNDPS = "Yao et al., NeurIPS 2025, arXiv 2505.17004"

PUBLISHED: dict[str, tuple[str, dict[tuple[str, str], float]]] = {
    "DiffusionPDE, 2,000 steps": (
        f"table 1 of {_DIFFUSIONPDE}",
        dict(zip(_COLUMNS, (2.5, 3.2, 4.5, 20.0, 8.8, 22.6, 6.9, 10.4), strict=True)),
    ),
    "DiffusionPDE, run again by FunDPS's authors": (
        f"table 1 of {_FUNDPS}",
        dict(zip(_COLUMNS, (6.07, 7.87, 4.88, 21.10, 12.64, 19.07, 3.78, 9.63), strict=True)),
    ),
    "FunDPS, 500 steps": (
        f"table 1 of {_FUNDPS}",
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
"""For each method its source and its errors by PDE and task, of single samples."""

DATA_STATISTICS = {
    ("poisson", "source"): {"std": 0.292},
    ("poisson", "potential"): {"std": 4.17e-3},
    ("helmholtz", "source"): {"std": 0.284},
    ("helmholtz", "wavefield"): {"std": 4.28e-3},
    ("darcy", "pressure"): {"mean": 5.69e-3, "std": 3.79e-3},
    ("navier-stokes", "initial_vorticity"): {"std": 0.262},
    ("navier-stokes", "final_vorticity"): {"std": 0.256},
}
"""Statistics over all nodes and samples of DiffusionPDE's training data, by PDE and field.

Reference:
    Huang et al., *DiffusionPDE*, NeurIPS 2024 (arXiv 2406.17763), the published datasets.
"""


def best_published(pde: str, task: str) -> tuple[float, str] | None:
    """Return the lowest published error of a task in per cent and its method, None without one."""
    errors = [
        (by_task[pde, task], name.split(",")[0])
        for name, (_, by_task) in PUBLISHED.items()
        if (pde, task) in by_task
    ]
    return min(errors, default=None)
