"""A PDE of a user's own file, for the tests to run: the screened Poisson equation, registered."""

from dataclasses import dataclass

import torch

from pdeinv.coefficients import GaussianField
from pdeinv.datasets.base import PDE
from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.transform_solver import laplacian, solve_shifted_laplacian
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.registry import register
from pdeinv.datasets.sides import Sides
from pdeinv.fields import Field
from pdeinv.symmetry import square_group


@register
@dataclass(frozen=True)
class ScreenedPoisson(PDE):
    """Δu - screening u = a on a rectangle, u = 0 on the boundary.

    Arguments:
        screening: inverse square of the screening length, not negative.
    """

    screening: float = 10.0

    name = "screened-poisson"
    equation = "Δu - screening u = a, u = 0 on the boundary"
    coefficient_field = Field("charge", "charge density a")
    solution_field = Field("voltage", "voltage u")
    operator_symmetries = square_group()
    linear = True
    matlab_names = ("charge_data", "voltage_data")

    @property
    def default_prior(self) -> GaussianField:
        return GaussianField(0.0, 1.0, length=0.3 * self.domain.shorter, smoothness=2.5)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        volumes = Volumes(*self.grid_of(a).shape, *self.domain.lengths)
        inside = solve_shifted_laplacian(volumes, volumes.inside(a), -self.screening)
        return volumes.extended(inside)

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel == 0:
            return super().known_values(channel, points)
        return torch.from_numpy(Sides().known_values(points.numpy(), self.domain))

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        volumes = Volumes(*self.grid_of(a).shape, *self.domain.lengths)
        equation = laplacian(volumes, u) - volumes.inside(self.screening * u + a)
        return Conditions(volumes).residual(equation, u)
