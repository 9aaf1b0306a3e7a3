"""A toy PDE: a smooth nonlinear map of a screened Poisson solve."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdeinv.coefficients import SpectralField
from pdeinv.datasets.base import PDE
from pdeinv.datasets.elliptic.transform_solver import solve_shifted_laplacian
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.registry import register
from pdeinv.fields import Field
from pdeinv.symmetry import square_group

__all__ = ["Toy"]


@register
@dataclass(frozen=True)
class Toy(PDE):
    """Δv - κ² v = a on (0, 1)², v = 0 on the boundary; u = v + (sqrt(s² + v²) - s) / 2.

    So u grows between half and one and a half times as fast as v.

    Arguments:
        kappa: inverse length of the screening.
        size: s, beyond which the response bends.
    """

    kappa: float = 3.0
    size: float = 0.003

    name = "toy"
    equation = "Δv - κ² v = a, u = v + (sqrt(s² + v²) - s) / 2, u = 0 on the boundary"
    coefficient_field = Field("load", "load a")
    solution_field = Field("deflection", "deflection u")
    operator_symmetries = square_group()

    @property
    def default_prior(self) -> SpectralField:
        return SpectralField("neumann", alpha=2.0, tau=3.0, modes=32)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        volumes = Volumes(*self.grid_of(a).shape, *self.domain.lengths)
        inside = solve_shifted_laplacian(volumes, volumes.inside(a), -(self.kappa**2))
        v = volumes.extended(inside)
        return v + (torch.hypot(v, torch.full_like(v, self.size)) - self.size) / 2

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return u - self.solve(a)
