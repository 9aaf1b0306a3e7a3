"""Poisson's equation with a random source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from pdeinv.datasets.base import PDE
from pdeinv.datasets.elliptic import (
    Discretisation,
    dirichlet_residual,
    interior,
    laplacian,
    solve_shifted_laplacian,
    zero_boundary,
    zero_on_sides,
)
from pdeinv.datasets.registry import register
from pdeinv.grid import Field
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group, square_group

__all__ = ["Poisson"]


@register
@dataclass(frozen=True)
class Poisson(PDE):
    """Δu = a on (0, 1)², u = 0 on the boundary; a is a Gaussian random field of Neumann cosines.

    The discretisation is on a vertex grid. The sine transform solves it exactly.

    Arguments:
        alpha, tau, modes: parameters of the source's `GaussianRandomField`.
        discretisation: "five-point" for finite differences, of second order, or "spectral" for the
            exact eigenvalues of the sines.

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).
    """

    alpha: float = 2.0
    tau: float = 3.0
    modes: int = 128
    discretisation: Discretisation = "five-point"

    name = "poisson"
    equation = "Δu = a, u = 0 on the boundary"
    coefficient_field = Field("source", "source term a")
    solution_field = Field("potential", "potential u")
    linear = True
    numerical_parameters = ("discretisation",)
    matlab_names = ("f_data", "phi_data")

    @cached_property
    def latent_prior(self) -> GaussianRandomField:
        return GaussianRandomField("neumann", self.alpha, self.tau, self.modes)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        self.grid_of(a)
        return zero_boundary(solve_shifted_laplacian(interior(a), 0.0, self.discretisation))

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel != 1:
            return super().known_values(channel, points)
        return zero_on_sides(points, self.domain)

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return dirichlet_residual(laplacian(u, self.discretisation) - interior(a), u)

    @property
    def symmetries(self) -> Group:
        return square_group()
