"""The Helmholtz equation with a random source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from pdeinv.datasets.base import PDE
from pdeinv.datasets.elliptic import (
    Discretisation,
    dirichlet_residual,
    dispersion_error,
    interior,
    laplacian,
    laplacian_eigenvalues,
    solve_shifted_laplacian,
    zero_boundary,
    zero_on_sides,
)
from pdeinv.datasets.registry import register
from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group, square_group

__all__ = ["Helmholtz"]

_DISPERSION = 0.01  # relative error of the solution from which five points are doubtful
_PER_WAVE = 6  # nodes per wavelength from which the sines of the grid resolve a wave


@register
@dataclass(frozen=True)
class Helmholtz(PDE):
    """Δu + k²u = a on (0, 1)², u = 0 on the boundary; a is a Gaussian random field inside.

    The source a is set to 0 on the boundary. The discretisation is on a vertex grid. The sine
    transform solves it exactly. Resonances lie near k² = π²(p² + q²), the first at k = 4.44.

    Arguments:
        k: wavenumber, in units of 1 / side of the square.
        alpha, tau, modes: parameters of the source's `GaussianRandomField` of Neumann cosines.
        discretisation: "five-point" for finite differences, of second order, or "spectral" for the
            exact eigenvalues of the sines. Five points shift the resonances: their error grows
            with k. `reconstruct` and `generate` warn where it is large.

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).
    """

    k: float = 1.0
    alpha: float = 2.0
    tau: float = 3.0
    modes: int = 128
    discretisation: Discretisation = "five-point"

    name = "helmholtz"
    equation = "Δu + k²u = a, u = 0 on the boundary"
    coefficient_field = Field("source", "source term a")
    solution_field = Field("wavefield", "wave field u")
    linear = True
    numerical_parameters = ("discretisation",)
    matlab_names = ("f_data", "psi_data")

    @cached_property
    def latent_prior(self) -> GaussianRandomField:
        return GaussianRandomField("neumann", self.alpha, self.tau, self.modes)

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return zero_boundary(interior(latent))

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        n = a.shape[-1]
        eigenvalues = laplacian_eigenvalues(n, discretisation=self.discretisation)
        gap = float((eigenvalues + self.k**2).abs().min())
        if gap < 1e-6 * max(self.k**2, 1.0):
            raise InputError(
                f"k must not be a resonance of the square, got {self.k} on {n} nodes per side; "
                f"change k slightly"
            )
        return zero_boundary(solve_shifted_laplacian(interior(a), self.k**2, self.discretisation))

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel > 1:
            return super().known_values(channel, points)
        return zero_on_sides(points, self.domain)

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        equation = laplacian(u, self.discretisation) + self.k**2 * interior(u) - interior(a)
        return dirichlet_residual(equation, u)

    def doubt(self, grid: Grid) -> str:
        """Return a warning where the grid is too coarse for the wavenumber; see `PDE.doubt`."""
        waves = f"k = {self.k:g} of {self.name} on {min(grid.shape)} nodes per side"
        per_wave = 2 * math.pi / (abs(self.k) * max(grid.spacing)) if self.k else math.inf
        if self.discretisation == "spectral":
            return (
                f"{waves} has {per_wave:.1f} nodes per wavelength, where {_PER_WAVE} or more are "
                f"needed; use a finer grid"
                if per_wave < _PER_WAVE
                else ""
            )
        error = dispersion_error(min(grid.shape), abs(self.k), self.alpha, self.tau)
        return (
            f"{waves} has an estimated dispersion error of {_percent(error)} % of the "
            f"{self.solution_field.name}; use discretisation='spectral' or a finer grid"
            if error > _DISPERSION
            else ""
        )

    @property
    def symmetries(self) -> Group:
        return square_group()


def _percent(error: float) -> str:
    return f"{100 * error:.3g}" if error < 1 else "over 100"
