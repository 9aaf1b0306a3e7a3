"""Darcy flow through a medium of any positive permeability."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated

import torch

from pdeinv.checks import Bounds
from pdeinv.coefficients import SpectralField, TwoPhase
from pdeinv.datasets.elliptic.faces import divergence_form
from pdeinv.datasets.elliptic.fluxes import nodal_fluxes
from pdeinv.datasets.elliptic.porous_flow import PorousFlow
from pdeinv.datasets.elliptic.variable_coefficient import (
    BalanceSolver,
    Method,
    iterates,
    piecewise,
)
from pdeinv.datasets.registry import register
from pdeinv.errors import InputError
from pdeinv.fields import Field

__all__ = ["Darcy"]

_ROUGH = 2.4e-4  # relative residual of the cheap solve


@register
@dataclass(frozen=True)
class Darcy(PorousFlow):
    """-∇·(a ∇u) = source + wells, for any positive a.

    The discretisation is five-point finite volumes on the nodes, of second order for smooth a. A
    sparse factorisation solves it, or conjugate gradients where the contrast of a is low. Gradients
    come from the adjoint equation, whose operator is the same.

    The state can have the flux -a ∇u and the logarithm of a as further channels.

    Arguments:
        source: what enters per volume of the medium: a number, an array or a function; recharge per
            area is divided by the thickness.
        tolerance: relative residual at which an instance's iteration stops.
        domain: the rectangle.
        boundary: the conditions on the sides; a `Flux` is a ∂u/∂n.
        wells: point wells. The rate of each, divided by `thickness`, is spread over the nodes of
            its cell that no side fixes; what enters is the rate exactly.
        thickness: of the medium; the rates of wells are volumes per time.
        face_mean: mean of a on the faces between nodes: "arithmetic", or "harmonic", which suits
            media that jump.
        method: "direct", "iterative", or "auto", which takes the one that suits the contrast.
        coefficient_field, solution_field: names and units of a and u.

    Reference:
        Li et al., *Fourier neural operator*, ICLR 2021, section 5.2 (arXiv 2010.08895); Huang et
        al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).

    Example:
        >>> from pdeinv import Field
        >>> from pdeinv.datasets import Darcy, NoFlux, Sides, Value, Well
        >>> from pdeinv.grid import Domain
        >>> aquifer = Darcy(
        ...     source=0.0,
        ...     domain=Domain((0.0, 3000.0, 0.0, 1200.0), "m"),
        ...     boundary=Sides(Value(52), Value(50), NoFlux(), NoFlux()),
        ...     wells=(Well(1000.0, 500.0, rate=-800.0),),
        ...     thickness=20.0,
        ...     solution_field=Field("head", "hydraulic head", "m"),
        ... )
        >>> aquifer.equation
        '-∇·(a ∇u) = 1 well, u = 52 on the left, u = 50 on the right, no flux on the bottom and top'
        >>> aquifer.grid(48).shape
        (48, 119)
    """

    tolerance: Annotated[float, Bounds(above=0, below=1)] = 1e-11
    method: Method = field(default="auto", kw_only=True)

    name = "darcy"
    numerical_parameters = ("tolerance", "method")
    matlab_names = ("thresh_a_data", "thresh_p_data")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floating:
            raise InputError(
                f"boundary of {self.name} must fix a value on one side at least, got "
                f"{self.boundary.phrase()}, which leaves a constant of the "
                f"{self.solution_field.name} open; use Value on a side"
            )
        if not self.fed:
            raise InputError(
                f"source of {self.name} must not be 0 where all sides are 0 and no well flows, got "
                f"{self.source.phrase}: the {self.solution_field.name} would be 0 everywhere; give "
                f"a source, a well or a side"
            )

    @property
    def default_prior(self) -> TwoPhase:
        return TwoPhase(SpectralField("neumann", alpha=2.0, tau=3.0), low=3.0, high=12.0)

    @property
    def equation(self) -> str:
        return f"-∇·(a ∇u) = {self.inflow_phrase}, {self.conditions_phrase}"

    @property
    def derived(self) -> tuple[Field, ...]:
        flux_x = Field("flux_x", "flux along x", self.flux_units, 1, "vector-x")
        flux_y = Field("flux_y", "flux along y", self.flux_units, 1, "vector-y")
        return (flux_x, flux_y, self.logarithm)

    def derive(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        made: dict[str, torch.Tensor] = {}
        for wanted in self.fields[2:]:
            if wanted.kind == "scalar":
                made[wanted.kind] = a.log()
            elif wanted.kind not in made:
                pair = nodal_fluxes(self.conditions(self.grid_of(a)), a, u, self.face_mean)
                made["vector-x"], made["vector-y"] = pair
        return torch.cat([made[wanted.kind] for wanted in self.fields[2:]], dim=1)

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return `solve` by iterations in single precision, stopped early: u has four digits.

        Where the contrast of a is too high for them, it is `solve` itself.
        """
        if self.method == "direct" or self.conditions(self.grid_of(a)).volumes.pattern is not None:
            return self.solve(a)

        def roughly(a: torch.Tensor) -> torch.Tensor:
            return self._rough._solved(a.float(), a)

        return piecewise(iterates(a, torch.float32), roughly, self.solve, a)

    @cached_property
    def _rough(self) -> Darcy:
        return replace(self, tolerance=max(self.tolerance, _ROUGH), method="iterative")

    @property
    def for_many_adjoints(self) -> Darcy:
        return replace(self, method="direct") if self.method == "auto" else self

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        self._check_coefficient(a)
        return self._solved(a, a)

    def _solved(self, a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return the solution of a, in the type of another tensor: levels that are large compared
        with the differences of u would round them in single precision."""
        grid = self.grid_of(a)
        conditions = self.conditions(grid)
        solver = BalanceSolver(conditions.volumes, self.face_mean, self.method, self.tolerance)
        u = self._balanced(a, self._inflow(grid, a), solver).to(like)
        return conditions.completed(u + conditions.level if conditions.level else u)

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        outflow = divergence_form(volumes, a, u, self.face_mean)
        inflow = self._inflow(grid, a)
        if (leaking := self._leaking(grid)) is not None:
            inflow = inflow - leaking * (volumes.inside(u) - conditions.level)
        return conditions.residual(volumes.at_free(outflow - volumes.per_volume(inflow)), u)
