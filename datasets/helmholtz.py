"""The Helmholtz equation with a random source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from pdeinv.datasets.base import PDE, register
from pdeinv.datasets.elliptic import (
    dirichlet_residual,
    interior,
    laplacian,
    laplacian_eigenvalues,
    solve_shifted_laplacian,
    zero_boundary,
)
from pdeinv.errors import InputError
from pdeinv.grid import Field
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group, square_group

__all__ = ["Helmholtz"]


@register
@dataclass(frozen=True)
class Helmholtz(PDE):
    """Δu + k²u = a on (0, 1)², u = 0 on the boundary; a is a Gaussian random field inside.

    The source a is set to 0 on the boundary. The discretisation is five-point finite differences on
    a vertex grid, of second order. The sine transform solves it exactly. Resonances lie near k² =
    π²(p² + q²), the first at k = 4.44.

    Arguments:
        k: wavenumber, in units of 1 / side of the square.
        alpha, tau, modes: parameters of the source's `GaussianRandomField` of Neumann cosines.

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).
    """

    k: float = 1.0
    alpha: float = 2.0
    tau: float = 3.0
    modes: int = 128

    name = "helmholtz"
    equation = "Δu + k²u = a, u = 0 on the boundary"
    coefficient_field = Field("source", "source term a", boundary_value=0.0)
    solution_field = Field("wavefield", "wave field u", boundary_value=0.0)
    linear = True
    matlab_names = ("f_data", "psi_data")

    @cached_property
    def latent_prior(self) -> GaussianRandomField:
        return GaussianRandomField("neumann", self.alpha, self.tau, self.modes)

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return zero_boundary(interior(latent))

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        n = self.grid_of(a).n
        gap = float((laplacian_eigenvalues(n) + self.k**2).abs().min())
        if gap < 1e-6 * max(self.k**2, 1.0):
            raise InputError(
                f"k must not be a resonance of the square, got {self.k} on {n} nodes per side; "
                f"change k slightly"
            )
        return zero_boundary(solve_shifted_laplacian(interior(a), self.k**2))

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return dirichlet_residual(laplacian(u) + self.k**2 * interior(u) - interior(a), u)

    @property
    def symmetries(self) -> Group:
        return square_group()
