"""What the claims of several pages share: short names of tasks and solvers, and theory."""

from __future__ import annotations

from scipy.stats import t as student_t

from pdeinv.benchmarks.reports.queries import PLACES, Measured

__all__ = [
    *("D_F", "D_I", "H_F", "H_I", "N_F", "N_I", "P_F", "P_I"),
    *("FEW", "GAUSSIAN", "NARROWED", "OI", "ON_OFF", "of_samples", "short_of"),
]

P_F, P_I, H_F, H_I, D_F, D_I, N_F, N_I = PLACES
"""Poisson, Helmholtz, Darcy and Navier–Stokes; forward and inverse."""
GAUSSIAN = (P_F, P_I, H_F, H_I, N_F, N_I)
"""The tasks with a Gaussian coefficient."""
OI = "optimal-interpolation"
NARROWED = ("fundps", "dps", "diffusionpde")
"""The solvers whose intervals EquiReg makes too narrow."""
ON_OFF = (True, False)
FEW = float(student_t.ppf(0.975, 3))
"""The number of standard errors beyond which a difference of four instances counts."""


def of_samples(n: int) -> float:
    """Return how many times as much the mean of n exact samples errs as the exact mean."""
    return (1 + 1 / n) ** 0.5


def short_of(covered: Measured, level: int = 60) -> Measured:
    """Return by how much a coverage differs from the level of its intervals, in per cent."""
    return Measured(covered.value - level, covered.error, covered.n)
