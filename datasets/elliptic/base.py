"""Physics modules of elliptic equations: their sides, and the ones with a constant coefficient."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch

from pdeinv.datasets.base import PDE
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.faces import divergence_form
from pdeinv.datasets.elliptic.problem import (
    Enclosure,
    adrift,
    conditions_on,
    leaks_on,
    source_on,
)
from pdeinv.datasets.elliptic.transform_solver import (
    Discretisation,
    InverseByWaves,
    inverse_by_waves,
    laplacian,
    laplacian_eigenvalues,
    solve_shifted_laplacian,
)
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver
from pdeinv.datasets.features import Feature, check_features
from pdeinv.datasets.sides import NoFlux, Side, Sides
from pdeinv.datasets.uncertain import Drawn, Uncertain
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.symmetry import square_group
from pdeinv.unknown import Unknown

__all__ = ["EllipticPDE", "SourcePDE"]

_RESONANT = 1e-6  # relative distance of k² from an eigenvalue within which a solve is refused


@dataclass(frozen=True)
class EllipticPDE(PDE):
    """An elliptic equation, with a condition on each side.

    A domain with an `active` part is the union of the cells between nodes whose corners are in that
    part. Its edge then follows the nodes: discretisations are of second order where it is along
    rows and columns of them, and of first order elsewhere. Outside, a solution is 0, and nan in
    results.

    Arguments:
        boundary: the conditions on the sides.
        edge: what holds on the edge of the active part within the rectangle: `NoFlux()`, or a
            `Value` that is a number or a function.
        features: lakes, rivers and walls: each a `FixedValue`, a `Leakage` or a `Barrier`.
    """

    boundary: Sides = field(default=Sides(), kw_only=True)
    edge: Side = field(default=NoFlux(), kw_only=True)
    features: tuple[Feature, ...] = field(default=(), kw_only=True)

    operator_symmetries = square_group()
    uncertain_parameters: ClassVar[tuple[str, ...]] = ("boundary",)

    def __post_init__(self) -> None:
        super().__post_init__()
        for one in (self.coefficient_field, self.solution_field):
            if one.kind.startswith("vector"):
                raise InputError(
                    f"the field {one.name!r} of {self.name} must be a scalar or a pseudo-scalar, "
                    f"got {one.kind}; change its kind"
                )
        value = self.edge.quantity.value
        if not (self.edge == NoFlux() or (self.edge.fixes_value and not _array_or_prior(value))):
            raise InputError(
                f"edge of {self.name} must be NoFlux() or the Value of a number or a function, got "
                f"{self.edge.phrase()}; give one of them"
            )
        if self.edge.fixes_value and self.domain.active is None:
            raise InputError(
                f"edge of {self.name} must be NoFlux() where the whole domain is active, got "
                f"{self.edge.phrase()}; state the sides in boundary"
            )
        check_features(self.features, self.domain)

    @cached_property
    def enclosure(self) -> Enclosure:
        """The sides, the edge and what lies within."""
        return Enclosure(self.boundary, self.edge, self.features)

    def conditions(self, grid: Grid) -> Conditions:
        """Return what is given at the nodes of a grid."""
        return conditions_on(self.check_grid(grid), self.enclosure)

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel != 1:
            return super().known_values(channel, points)
        known = self.boundary.known_values(points.numpy(force=True), self.domain)
        return torch.from_numpy(known).to(points)

    def check_anchored(self, grid: Grid) -> None:
        """Refuse an active part that walls, or the grid, cut off from all that fixes a value.

        Raises:
            InputError: there is one.
        """
        if (node := adrift(grid, self.enclosure)) is not None:
            raise InputError(
                f"every part of the active domain of {self.name} must have a value or a leak, got "
                f"none in that of x = {node[0]:g}, y = {node[1]:g} on {grid} nodes; add one, leave "
                f"the part out, or use a finer grid"
            )

    @property
    def floating(self) -> bool:
        """Whether nothing fixes a value."""
        return not self.enclosure.anchored

    @property
    def conditions_phrase(self) -> str:
        """The sides, the edge and what lies within, for people."""
        parts = [self.boundary.phrase()]
        if self.domain.active is not None:
            parts.append(f"{self.edge.phrase()} on the edge of the active part")
        if self.features:
            count = len(self.features)
            parts.append(f"{count} feature{'s' * (count > 1)} within")
        return ", ".join(parts)


@dataclass(frozen=True)
class SourcePDE(EllipticPDE):
    """Δu + shift u = a + source, with the unknown coefficient a on the right-hand side.

    Arguments:
        source: the known part of the right-hand side.
        discretisation: see `Discretisation`.
    """

    source: Distributed = field(default=Distributed(0.0), kw_only=True)
    discretisation: Discretisation = field(default="five-point", kw_only=True)

    linear = True
    numerical_parameters = ("discretisation",)
    uncertain_parameters = ("boundary", "source")

    @property
    @abstractmethod
    def shift(self) -> float:
        """The factor of u next to its Laplacian."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coefficient_field.kind != self.solution_field.kind:
            raise InputError(
                f"coefficient_field and solution_field of {self.name} must be of one kind, got "
                f"{self.coefficient_field.kind} and {self.solution_field.kind}; change one"
            )
        if self.floating and self.shift == 0:
            raise InputError(
                f"boundary of {self.name} must fix a value on one side at least, got "
                f"{self.boundary.phrase()}, which leaves a constant of u open; use Value on a side"
            )
        simple = self.boundary.homogeneous and not self.features and self.domain.active is None
        if self.discretisation == "spectral" and not simple:
            raise InputError(
                f"discretisation of {self.name} must be 'five-point' where a side is not zero or "
                f"the domain is no whole rectangle, got 'spectral' with {self.conditions_phrase}; "
                f"use 'five-point'"
            )

    @property
    def source_units(self) -> str:
        return self.coefficient_field.units

    @property
    def right_hand_side(self) -> str:
        """The right-hand side and the conditions, for people."""
        source = "" if self.source.zero else f" + {self.source.phrase}"
        return f"a{source}, {self.conditions_phrase}"

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        self._check_resonance(grid)
        if not self.shift:
            self.check_anchored(grid)
        conditions = self.conditions(grid)
        f = conditions.with_inflow(self._sources(grid, a), -1)
        if conditions.values is not None:
            f = f - self._laplacian(grid, conditions.values.to(f))
        return conditions.completed(self._solved(grid, f))

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        conditions, leaks = self.conditions(grid), leaks_on(grid, self.enclosure)
        operator = self._laplacian(grid, u)
        if self.shift:
            operator = operator + self.shift * conditions.volumes.inside(u)
        if leaks is not None:
            operator = operator - self._leaking(grid) * conditions.volumes.inside(u)
        equation = conditions.with_inflow(operator) - self._sources(grid, a)
        return conditions.residual(conditions.volumes.at_free(equation), u)

    def _laplacian(self, grid: Grid, u: torch.Tensor) -> torch.Tensor:
        volumes = self.conditions(grid).volumes
        if volumes.pattern is not None:
            return -divergence_form(volumes, torch.ones_like(u), u, "arithmetic")
        return laplacian(volumes, u, self.discretisation)

    def _solved(self, grid: Grid, f: torch.Tensor) -> torch.Tensor:
        """Return u (batch, 1, my, mx) of the whole right-hand side f at the free nodes."""
        volumes = self.conditions(grid).volumes
        leaks = leaks_on(grid, self.enclosure)
        if volumes.pattern is None and leaks is None:
            return solve_shifted_laplacian(volumes, f, self.shift, self.discretisation)
        unit = torch.ones(volumes.shape, dtype=torch.float64, device=f.device)
        diagonal = -self.shift * volumes.times_volume(unit)
        if leaks is not None:
            diagonal = diagonal + leaks.conductance / (volumes.hx * volumes.hy)
        medium = torch.ones(1, 1, *grid.shape, dtype=torch.float64, device=f.device)
        right = -volumes.times_volume(f)
        solver = BalanceSolver(volumes, "arithmetic", "direct")
        return solver(medium, right.movedim(0, -3).unsqueeze(0), diagonal)[0].movedim(-3, 0)

    def inverse(self, grid: Grid) -> InverseByWaves | None:
        """Return how waves solve the equation at the free nodes; None where they do not."""
        volumes = self.conditions(grid).volumes
        if volumes.pattern is not None or leaks_on(grid, self.enclosure) is not None:
            return None
        return inverse_by_waves(volumes, self.shift, self.discretisation)

    def _leaking(self, grid: Grid) -> torch.Tensor:
        """Return the conductance of the leaks per volume, (my, mx)."""
        leaks, volumes = leaks_on(grid, self.enclosure), self.conditions(grid).volumes
        assert leaks is not None
        return volumes.per_volume(leaks.conductance / (volumes.hx * volumes.hy))

    def _sources(self, grid: Grid, a: torch.Tensor) -> torch.Tensor:
        """Return a + source at the free nodes, less what leaks from levels of the features."""
        volumes, leaks = self.conditions(grid).volumes, leaks_on(grid, self.enclosure)
        free = volumes.at_free(volumes.inside(a))
        if leaks is not None:
            free = free - volumes.per_volume(leaks.inflow / (volumes.hx * volumes.hy)).to(a)
        if self.source.zero:
            return free
        return free + source_on(grid, self.enclosure, self.source).to(a)

    def _check_resonance(self, grid: Grid) -> None:
        volumes = self.conditions(grid).volumes
        if volumes.pattern is not None or leaks_on(grid, self.enclosure) is not None:
            return  # the factorisation checks itself
        eigenvalues = laplacian_eigenvalues(volumes, discretisation=self.discretisation)
        gap = float((eigenvalues + self.shift).abs().min())
        if gap < _RESONANT * max(abs(self.shift), self.domain.shorter**-2):
            raise InputError(
                f"k must not be a resonance of the domain with its sides, got k² = {self.shift:g} "
                f"on {grid} nodes; change k slightly"
            )


def _array_or_prior(value: object) -> bool:
    return isinstance(value, np.ndarray | Drawn | Uncertain | Unknown)
