"""Short names of the eight tasks and of groups of solvers, for the claims."""

from __future__ import annotations

from pdeinv.benchmarks.reports.queries import PLACES

__all__ = [
    *("D_F", "D_I", "H_F", "H_I", "N_F", "N_I", "P_F", "P_I"),
    *("GAUSSIAN", "NARROWED", "OI", "ON_OFF"),
]

P_F, P_I, H_F, H_I, D_F, D_I, N_F, N_I = PLACES
"""Poisson, Helmholtz, Darcy and Navier–Stokes; forward and inverse."""
GAUSSIAN = (P_F, P_I, H_F, H_I, N_F, N_I)
"""The tasks with a Gaussian coefficient."""
OI = "optimal-interpolation"
NARROWED = ("fundps", "dps", "diffusionpde")
"""The solvers whose intervals EquiReg makes too narrow."""
ON_OFF = (True, False)
