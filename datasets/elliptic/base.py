"""Physics modules of elliptic equations: their sides, and the ones with a constant coefficient."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from pdeinv.datasets.base import PDE
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.elliptic.conditions import Conditions
from pdeinv.datasets.elliptic.problem import conditions_on, source_on
from pdeinv.datasets.elliptic.transform_solver import (
    Discretisation,
    laplacian,
    laplacian_eigenvalues,
    solve_shifted_laplacian,
)
from pdeinv.datasets.sides import Sides
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.symmetry import square_group

__all__ = ["EllipticPDE", "SourcePDE"]

_RESONANT = 1e-6  # relative distance of k² from an eigenvalue within which a solve is refused


@dataclass(frozen=True)
class EllipticPDE(PDE):
    """An elliptic equation, with a condition on each side.

    Arguments:
        boundary: the conditions on the sides.
    """

    boundary: Sides = field(default=Sides(), kw_only=True)

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

    def conditions(self, grid: Grid) -> Conditions:
        """Return what the sides hold at the nodes of a grid."""
        return conditions_on(self.check_grid(grid), self.boundary)

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel != 1:
            return super().known_values(channel, points)
        known = self.boundary.known_values(points.numpy(force=True), self.domain)
        return torch.from_numpy(known).to(points)

    @property
    def floating(self) -> bool:
        """Whether no side fixes a value."""
        return not any(side.fixes_value for _, side in self.boundary.items())


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
        if self.discretisation == "spectral" and not self.boundary.homogeneous:
            raise InputError(
                f"discretisation of {self.name} must be 'five-point' where a side is not zero, got "
                f"'spectral' with {self.boundary.phrase()}; use 'five-point'"
            )

    @property
    def source_units(self) -> str:
        return self.coefficient_field.units

    @property
    def right_hand_side(self) -> str:
        """The right-hand side and the conditions, for people."""
        source = "" if self.source.zero else f" + {self.source.phrase}"
        return f"a{source}, {self.boundary.phrase()}"

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        self._check_resonance(grid)
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        f = conditions.with_inflow(self._sources(grid, a), -1)
        if conditions.values is not None:
            f = f - laplacian(volumes, conditions.values.to(f))
        return conditions.completed(
            solve_shifted_laplacian(volumes, f, self.shift, self.discretisation)
        )

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        conditions = self.conditions(grid)
        operator = laplacian(conditions.volumes, u, self.discretisation)
        if self.shift:
            operator = operator + self.shift * conditions.volumes.inside(u)
        equation = conditions.with_inflow(operator) - self._sources(grid, a)
        return conditions.residual(equation, u)

    def _sources(self, grid: Grid, a: torch.Tensor) -> torch.Tensor:
        """Return a + source at the free nodes."""
        free = self.conditions(grid).volumes.inside(a)
        if self.source.zero:
            return free
        return free + source_on(grid, self.boundary, self.source).to(a)

    def _check_resonance(self, grid: Grid) -> None:
        eigenvalues = laplacian_eigenvalues(
            self.conditions(grid).volumes, discretisation=self.discretisation
        )
        gap = float((eigenvalues + self.shift).abs().min())
        if gap < _RESONANT * max(abs(self.shift), self.domain.shorter**-2):
            raise InputError(
                f"k must not be a resonance of the domain with its sides, got k² = {self.shift:g} "
                f"on {grid} nodes; change k slightly"
            )
