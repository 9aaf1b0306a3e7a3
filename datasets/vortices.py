"""Vorticity of flows that have evolved: coherent vortices and filaments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import Bounds, Positive
from pdeinv.coefficients import CoefficientPrior, SpectralField
from pdeinv.datasets.navier_stokes import NavierStokes
from pdeinv.errors import InputError
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.symmetry import Symmetry
from pdeinv.transforms import fourier_resample

__all__ = ["Vortices"]

_STEP = 0.1  # of the scheme, over the strength


@dataclass(frozen=True)
class Vortices(CoefficientPrior):
    """The vorticity of an unforced flow on a torus, some time after a Gaussian start.

    The start is the published initial vorticity times a factor. In time like vortices merge, and
    what is between them is drawn out to filaments. Lengths are shares of the domain's shorter side.

    Arguments:
        strength: factor of the start.
        viscosity: of the flow, in squared shorter sides over units of time.
        time: for which it evolves.
        nodes: on the shorter side of the simulation; the field is that of its Fourier series on
            any grid.

    Reference:
        McWilliams, *The emergence of isolated coherent vortices in turbulent flow*, J. Fluid Mech.
        146, 1984.

    Example:
        >>> from pdeinv import Grid, datasets
        >>> datasets.Vortices(time=0.5).sample(2, Grid(16, kind="periodic")).shape
        torch.Size([2, 1, 16, 16])
    """

    strength: Positive = 4.0
    viscosity: Positive = 1e-4
    time: Positive = 5.0
    nodes: Annotated[int, Bounds(least=16, most=512)] = 64

    name = "vortices"
    affine = False

    def __post_init__(self) -> None:
        check_fields(self, f"{{}} of the {self.name} prior")

    def phrase(self, domain: Domain) -> str:
        return (
            f"the vorticity of a flow of viscosity {self.viscosity:g} at the time {self.time:g}, "
            f"from {self.strength:g} times the published field, on {self.nodes} nodes"
        )

    def check_domain(self, domain: Domain, kind: GridKind) -> None:
        if kind != "periodic":
            raise InputError(
                f"the domain of the {self.name} prior must be periodic, got one with sides; use "
                f"navier-stokes, or another prior"
            )

    def keeps(self, element: Symmetry, domain: Domain) -> bool:
        return element.determinant > 0  # filaments wind about a vortex in one sense

    def keeps_as_pseudo_scalar(self, element: Symmetry, domain: Domain) -> bool:
        return True

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        self.check_domain(grid.domain, grid.kind)
        width, height = grid.domain.aspect
        unit = Domain((0.0, width, 0.0, height))
        flow = NavierStokes(
            viscosity=self.viscosity, time=self.time, dt=_STEP / self.strength, domain=unit
        )
        start = SpectralField("periodic", alpha=2.5, tau=7.0)
        nodes = flow.grid(self.nodes)
        if not n:
            return torch.zeros(0, 1, *grid.shape, dtype=torch.float64)
        sizes = (min(flow.at_once, n - i) for i in range(0, n, flow.at_once))
        found = torch.cat(
            [flow.solve(self.strength * start.sample(k, nodes, generator)) for k in sizes]
        )
        finer = -(-self.nodes // min(grid.shape))  # than the grid, so that no wave is cut off
        ny, nx = grid.shape
        return fourier_resample(found, (finer * ny, finer * nx))[..., ::finer, ::finer]
