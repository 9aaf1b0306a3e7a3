"""What flows through a porous medium have in common: wells, sources, units, a positive medium."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch

from pdeinv.checks import Positive
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.elliptic.base import EllipticPDE
from pdeinv.datasets.elliptic.faces import FaceMean, balance, relative_conductances
from pdeinv.datasets.elliptic.problem import leaks_on, source_on, wells_on
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver
from pdeinv.datasets.wells import Well, check_wells
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.units import product

__all__ = ["PorousFlow"]

_UNIT = Distributed(1.0)


@dataclass(frozen=True)
class PorousFlow(EllipticPDE):
    """A flow -a ∇u through a medium of any positive a, fed by a source and wells.

    Arguments:
        source: what enters per volume of the medium: a number, an array or a function; recharge per
            area is divided by the thickness.
        wells: point wells. The rate of each, divided by `thickness`, is spread over the nodes of
            its cell that no side fixes; what enters is the rate exactly.
        thickness: of the medium; the rates of wells are volumes per time.
        face_mean: mean of a on the faces between nodes: "arithmetic", or "harmonic", which suits
            media that jump.
        coefficient_field, solution_field: names and units of a and u.
    """

    source: Distributed = _UNIT
    wells: tuple[Well, ...] = field(default=(), kw_only=True)
    thickness: Positive = field(default=1.0, kw_only=True)
    face_mean: FaceMean = field(default="arithmetic", kw_only=True)
    coefficient_field: Field = field(
        default=Field("permeability", "permeability a", interpolation_order=0), kw_only=True
    )
    solution_field: Field = field(default=Field("pressure", "pressure u"), kw_only=True)

    positive_coefficient = True
    uncertain_parameters = ("boundary", "source")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coefficient_field.kind != "scalar":
            raise InputError(
                f"the field {self.coefficient_field.name!r} of {self.name} must be a scalar, got "
                f"{self.coefficient_field.kind}; change its kind"
            )
        check_wells(self.wells, self.domain)
        self._check_wells_on_sides()

    def _check_wells_on_sides(self) -> None:
        if not self.wells:
            return
        points = [(well.x, well.y) for well in self.wells]
        for i, fixed in enumerate(self.boundary.fixes(points, self.domain)):
            if fixed:
                raise InputError(
                    f"well {i} must not be on a side that fixes the {self.solution_field.name}, "
                    f"got x = {points[i][0]:g}, y = {points[i][1]:g}; move it into the domain"
                )

    @property
    def fed(self) -> bool:
        """Whether a source, a well or a side makes u differ from 0."""
        return not (
            self.source.zero and self.enclosure.homogeneous and not any(w.rate for w in self.wells)
        )

    @property
    def inflow_phrase(self) -> str:
        """The source and the wells for people."""
        count = len(self.wells)
        wells = f"{count} well{'s' if count > 1 else ''}" if count else ""
        source = "" if self.source.zero and wells else self.source.phrase
        return " + ".join(term for term in (source, wells) if term)

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

    @property
    def flux_units(self) -> str:
        a, u = self.coefficient_field.units, self.solution_field.units
        length = self.domain.unit
        return a if u == length else product(a, u, _inverse(length))

    @property
    def source_units(self) -> str:
        known = "1" not in (self.coefficient_field.units, self.domain.unit)
        return product(self.flux_units, _inverse(self.domain.unit)) if known else "1"

    def of_coefficient(self, field: Field) -> bool:
        return field in (self.coefficient_field, self.logarithm)

    def functions_of_coefficient(self, a: torch.Tensor) -> torch.Tensor:
        return torch.cat([a, a.log()], dim=1) if self.logarithm in self.fields else a

    def _check_coefficient(self, a: torch.Tensor) -> None:
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

    def _inflow(self, grid: Grid, a: torch.Tensor, *, wells: bool = True) -> torch.Tensor:
        """Return what source, wells, leaks and sides of fluxes bring to each volume where u is at
        the level of what is held, over hx hy, for each coefficient: (batch, 1, my, mx)."""
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        source = conditions.with_inflow(source_on(grid, self.enclosure, self.source))
        total = volumes.times_volume(source)
        cell = self.thickness * volumes.hx * volumes.hy
        if self.wells and wells:
            total = total + wells_on(grid, self.enclosure, self.wells) / cell
        if (leaks := leaks_on(grid, self.enclosure)) is not None:
            total = total + (leaks.inflow - conditions.level * leaks.conductance) / cell
        return total.to(a).expand(*a.shape[:-2], *volumes.shape)

    def _leaking(self, grid: Grid) -> torch.Tensor | None:
        """Return what leaks per unit of u from each volume, over hx hy, (my, mx)."""
        leaks, volumes = leaks_on(grid, self.enclosure), self.conditions(grid).volumes
        if leaks is None:
            return None
        return leaks.conductance / (self.thickness * volumes.hx * volumes.hy)

    def _balanced(self, a: torch.Tensor, f: torch.Tensor, solver: BalanceSolver) -> torch.Tensor:
        """Return u at the free nodes, less the level of the sides, in balance with an inflow f."""
        grid = self.grid_of(a)
        conditions, leaking = self.conditions(grid), self._leaking(grid)
        self.check_anchored(grid)
        if leaking is not None:
            solver = replace(solver, method="direct")
        if conditions.values is not None:
            volumes = conditions.volumes
            across, along = relative_conductances(volumes, a, self.face_mean)
            h2 = volumes.hy**2
            # Of deviations from a level, which a relative residual then does not depend on
            f = f - balance(volumes, (across / h2, along / h2), conditions.deviations.to(a))
        return solver(a, f, leaking)


def _inverse(unit: str) -> str:
    return f"({unit})-1" if " " in unit else f"{unit}-1"
