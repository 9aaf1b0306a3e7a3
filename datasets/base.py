"""The contract of a physics module."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group

__all__ = ["PDE"]


class PDE(ABC):
    """A PDE with a random coefficient: what to sample, how to solve it, what it is symmetric under.

    A subclass is a frozen dataclass whose fields are the PDE's parameters. Fields on the grid are tensors of shape
    (batch, 1, n, n), indexed [y, x]; a *state* is the pair (coefficient, solution) along the channel dimension,
    (batch, 2, n, n).
    """

    name: ClassVar[str]
    equation: ClassVar[str]
    coefficient_field: ClassVar[Field]
    solution_field: ClassVar[Field]
    grid_kind: ClassVar[str] = "vertex"
    linear: ClassVar[bool] = False
    """True where both the coefficient and the solution are linear in the latent Gaussian field."""
    coefficient_range: ClassVar[tuple[float, float] | None] = None
    """Bounds within which `solve` is meaningful; None where any real coefficient is."""

    @property
    @abstractmethod
    def latent_prior(self) -> GaussianRandomField:
        """The Gaussian random field behind the coefficient."""

    @abstractmethod
    def solve(self, a: torch.Tensor) -> torch.Tensor:
        """Solution u of the coefficient a, both (batch, 1, n, n); differentiable, float64 advised."""

    @abstractmethod
    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """What the pair leaves of the equation, (batch, 1, n, n): zero for u = solve(a).

        Boundary nodes hold the violation of the boundary condition.
        """

    @property
    @abstractmethod
    def symmetries(self) -> Group:
        """The group G with solve(g a) = g solve(a) for every g in G."""

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        """Coefficient of a latent Gaussian field, both (batch, 1, n, n); the identity unless a PDE says otherwise."""
        return latent

    def sample_coefficient(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """n random coefficients (n, 1, grid.n, grid.n), float64; one seed means the same functions on every grid."""
        return self.coefficient(self.latent_prior.sample(n, self.check_grid(grid), generator))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """n random states (n, 2, grid.n, grid.n): coefficients and their solutions."""
        a = self.sample_coefficient(n, grid, generator)
        return torch.cat([a, self.solve(a)], dim=1)

    @property
    def fields(self) -> tuple[Field, Field]:
        return (self.coefficient_field, self.solution_field)

    @cached_property
    def parameters(self) -> dict[str, float]:
        """The PDE's parameters by name."""
        return dataclasses.asdict(self)

    def grid(self, n: int) -> Grid:
        return Grid(n, self.grid_kind)

    def channel(self, field_name: str) -> int:
        """0 for the coefficient, 1 for the solution, by physical name or by the alias `coefficient` / `solution`."""
        for i, alias in enumerate(("coefficient", "solution")):
            if field_name in (alias, self.fields[i].name):
                return i
        raise InputError(
            f"field {field_name!r} is unknown to {self.name}; use {self.coefficient_field.name!r} "
            f"(the coefficient) or {self.solution_field.name!r} (the solution)"
        )

    def check_grid(self, grid: Grid) -> Grid:
        if grid.kind != self.grid_kind:
            raise InputError(f"{self.name} lives on a {self.grid_kind} grid, not on a {grid.kind} one")
        return grid

    def grid_of(self, field: torch.Tensor) -> Grid:
        """The grid of a field of shape (..., n, n)."""
        ny, nx = field.shape[-2:]
        if ny != nx:
            raise InputError(f"a field of {ny} x {nx} nodes is not square; {self.name} is posed on the unit square")
        return self.grid(nx)
