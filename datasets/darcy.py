"""Darcy flow through a medium of any positive permeability."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import torch

from pdeinv.checks import Bounds, Positive
from pdeinv.coefficients import SpectralField, TwoPhase
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.elliptic.base import EllipticPDE
from pdeinv.datasets.elliptic.faces import (
    FaceMean,
    balance,
    divergence_form,
    relative_conductances,
)
from pdeinv.datasets.elliptic.fluxes import nodal_fluxes
from pdeinv.datasets.elliptic.problem import source_on, wells_on
from pdeinv.datasets.elliptic.variable_coefficient import (
    BalanceSolver,
    Method,
    iterates,
    piecewise,
)
from pdeinv.datasets.registry import register
from pdeinv.datasets.wells import Well, check_wells
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.units import product

__all__ = ["Darcy"]

_ROUGH = 2.4e-4  # relative residual of the cheap solve
_UNIT = Distributed(1.0)


@register
@dataclass(frozen=True)
class Darcy(EllipticPDE):
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

    source: Distributed = _UNIT
    tolerance: Annotated[float, Bounds(above=0, below=1)] = 1e-11
    wells: tuple[Well, ...] = field(default=(), kw_only=True)
    thickness: Positive = field(default=1.0, kw_only=True)
    face_mean: FaceMean = field(default="arithmetic", kw_only=True)
    method: Method = field(default="auto", kw_only=True)
    coefficient_field: Field = field(
        default=Field("permeability", "permeability a", interpolation_order=0), kw_only=True
    )
    solution_field: Field = field(default=Field("pressure", "pressure u"), kw_only=True)

    name = "darcy"
    positive_coefficient = True
    numerical_parameters = ("tolerance", "method")
    matlab_names = ("thresh_a_data", "thresh_p_data")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coefficient_field.kind != "scalar":
            raise InputError(
                f"the field {self.coefficient_field.name!r} of {self.name} must be a scalar, got "
                f"{self.coefficient_field.kind}; change its kind"
            )
        check_wells(self.wells, self.domain)
        if self.floating:
            raise InputError(
                f"boundary of {self.name} must fix a value on one side at least, got "
                f"{self.boundary.phrase()}, which leaves a constant of the "
                f"{self.solution_field.name} open; use Value on a side"
            )
        if self.source.zero and self.boundary.homogeneous and not any(w.rate for w in self.wells):
            raise InputError(
                f"source of {self.name} must not be 0 where all sides are 0 and no well flows, got "
                f"{self.source.phrase}: the {self.solution_field.name} would be 0 everywhere; give "
                f"a source, a well or a side"
            )
        self._check_wells_on_sides()

    def _check_wells_on_sides(self) -> None:
        if not self.wells:
            return
        points = [(well.x, well.y) for well in self.wells]
        for i, value in enumerate(self.boundary.known_values(points, self.domain)):
            if value == value:
                raise InputError(
                    f"well {i} must not be on a side that fixes the {self.solution_field.name}, "
                    f"got x = {points[i][0]:g}, y = {points[i][1]:g}; move it into the domain"
                )

    @property
    def default_prior(self) -> TwoPhase:
        return TwoPhase(SpectralField("neumann", alpha=2.0, tau=3.0), low=3.0, high=12.0)

    @property
    def equation(self) -> str:
        count = len(self.wells)
        wells = f"{count} well{'s' if count > 1 else ''}" if count else ""
        source = "" if self.source.zero and wells else self.source.phrase
        inflow = " + ".join(term for term in (source, wells) if term)
        return f"-∇·(a ∇u) = {inflow}, {self.boundary.phrase()}"

    @property
    def derived(self) -> tuple[Field, ...]:
        a, u, length = self.coefficient_field, self.solution_field, self.domain.unit
        units = (
            a.units
            if u.units == length
            else product(a.units, u.units, f"({length})-1" if " " in length else f"{length}-1")
        )
        flux_x = Field("flux_x", "flux along x", units, 1, "vector-x")
        flux_y = Field("flux_y", "flux along y", units, 1, "vector-y")
        return (flux_x, flux_y, self.logarithm)

    @property
    def logarithm(self) -> Field:
        a = self.coefficient_field
        return Field(
            f"log_{a.name}",
            f"natural logarithm of the {a.long_name}",
            "1" if a.units == "1" else f"ln(re 1 {a.units})",
            a.interpolation_order,
        )

    @property
    def well_units(self) -> str:
        a, u = self.coefficient_field.units, self.solution_field.units
        if "1" in (a, u):
            return "1"
        return product(a, u) if self.thickness == 1 else product(a, u, self.domain.unit)

    def of_coefficient(self, field: Field) -> bool:
        return field in (self.coefficient_field, self.logarithm)

    def functions_of_coefficient(self, a: torch.Tensor) -> torch.Tensor:
        return torch.cat([a, a.log()], dim=1) if self.logarithm in self.fields else a

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
        if self.method == "direct":
            return self.solve(a)
        rough = replace(self, tolerance=max(self.tolerance, _ROUGH), method="iterative")

        def roughly(a: torch.Tensor) -> torch.Tensor:
            return rough._solved(a.float(), a)

        return piecewise(iterates(a, torch.float32), roughly, self.solve, a)

    @property
    def for_many_adjoints(self) -> Darcy:
        return replace(self, method="direct") if self.method == "auto" else self

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        wrong = ~((a > 0) & a.isfinite())
        if bool(wrong.any()):
            raise InputError(
                f"the {self.coefficient_field.name} must be positive and finite everywhere, got "
                f"{float(a[wrong][0]):.3g}; mend the field"
            )
        if a.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"the {self.coefficient_field.name} must be float32 or float64, got "
                f"{str(a.dtype).removeprefix('torch.')}; convert it"
            )
        return self._solved(a, a)

    def _solved(self, a: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return the solution of a, in the type of another tensor: levels that are large compared
        with the differences of u would round them in single precision."""
        grid = self.grid_of(a)
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        f = self._inflow(grid, a)
        if conditions.values is not None:
            across, along = relative_conductances(volumes, a, self.face_mean)
            h2 = volumes.hy**2
            # Of deviations from a level, which a relative residual then does not depend on
            f = f - balance(volumes, (across / h2, along / h2), conditions.deviations.to(a))
        solver = BalanceSolver(volumes, self.face_mean, self.method, self.tolerance)
        u = solver(a, f).to(like)
        return conditions.completed(u + conditions.level if conditions.level else u)

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        outflow = divergence_form(volumes, a, u, self.face_mean)
        return conditions.residual(outflow - volumes.per_volume(self._inflow(grid, a)), u)

    def _inflow(self, grid: Grid, a: torch.Tensor) -> torch.Tensor:
        """Return what source, wells and sides of fluxes bring to each volume, over hx hy, for each
        coefficient: (batch, 1, my, mx)."""
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        source = conditions.with_inflow(source_on(grid, self.boundary, self.source))
        total = volumes.times_volume(source)
        if self.wells:
            wells = wells_on(grid, self.boundary, self.wells)
            total = total + wells / (self.thickness * volumes.hx * volumes.hy)
        return total.to(a).expand(*a.shape[:-2], *volumes.shape)
