"""The contract of a physics module."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import described
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Field, Grid, GridKind
from pdeinv.memory import check_states
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group

__all__ = ["PDE"]

_LARGEST = 1e9  # bound on every parameter: the problems are dimensionless


@dataclass(frozen=True, eq=False)
class PDE(ABC):
    """A PDE with a random coefficient: its prior, its solution map and its symmetries.

    A subclass is a frozen dataclass whose fields are the PDE's parameters, each with a default.
    A parameter is a number, a text, True or False; see `pdeinv.annotations` for its check. Fields
    on the grid are tensors of shape (batch, 1, n, n), indexed [y, x]. A *state* is the pair
    (coefficient, solution) along the channel dimension, (batch, 2, n, n).

    Attributes:
        name: name in files, on the command line and in the registry.
        equation: one line for people.
        coefficient_field, solution_field: the two fields.
        grid_kind: kind of the grid on which the PDE is posed.
        linear: whether coefficient and solution are linear in the latent Gaussian field.
        gaussian_coefficient: whether the coefficient is linear in the latent Gaussian field.
        matlab_names: names of the coefficient and the solution in DiffusionPDE's MATLAB files; None
            where there is no such file.
        numerical_parameters: parameters of the scheme, which a learned model need not share.
    """

    name: ClassVar[str]
    coefficient_field: ClassVar[Field]
    solution_field: ClassVar[Field]
    grid_kind: ClassVar[GridKind] = "vertex"
    linear: ClassVar[bool] = False
    gaussian_coefficient: ClassVar[bool] = True
    matlab_names: ClassVar[tuple[str, str] | None] = None
    numerical_parameters: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_fields(self, f"parameter {{}} of {self.name}")
        for name, value in self.parameters.items():
            if not isinstance(value, bool | int | float | str):
                raise InputError(
                    f"parameter {name} of {self.name} must be a number, a text, True or False, got "
                    f"{described(value)}; set it in the class instead"
                )
            if not isinstance(value, str) and not abs(value) <= _LARGEST:
                raise InputError(
                    f"parameter {name} of {self.name} must be at most {_LARGEST:g} in size, got "
                    f"{described(value)}; use the dimensionless equation"
                )
        _ = self.latent_prior  # validates the parameters of the random field

    @property
    @abstractmethod
    def equation(self) -> str:
        """The equation and its boundary conditions in one line."""

    @property
    @abstractmethod
    def latent_prior(self) -> GaussianRandomField:
        """The Gaussian random field from which the coefficient is made."""

    @abstractmethod
    def solve(self, a: torch.Tensor) -> torch.Tensor:
        """Return the solution u of the coefficient a, both (batch, 1, n, n); differentiable.

        Float64 is advised.

        Raises:
            InputError: the coefficient or the grid is not allowed.
            NumericalError: the scheme is unstable, or its iteration stalls.
        """

    @abstractmethod
    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the residual of the equation, (batch, 1, n, n): zero for u = solve(a).

        Boundary nodes hold the violation of the boundary condition.
        """

    @property
    @abstractmethod
    def symmetries(self) -> Group:
        """The group G with solve(g a) = g solve(a) for every g in G."""

    @property
    def coefficient_range(self) -> tuple[float, float] | None:
        """Bounds of the coefficient; None where every real coefficient is allowed."""
        return None

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the coefficient of a latent Gaussian field, both (batch, 1, n, n).

        The default is the identity.
        """
        return latent

    def smoothed(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """Return `coefficient` with each jump smoothed over about `width` of the latent field.

        This makes it differentiable.
        """
        return self.coefficient(latent)

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return a cheap approximation of `solve`, whose derivative replaces that of `solve`.

        The default is `solve` itself.
        """
        return self.solve(a)

    def sample_coefficient(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw n coefficients (n, 1, grid.n, grid.n), float64.

        One seed gives the same functions on every grid.
        """
        check_states(self, self.check_grid(grid).n, n)
        return self.coefficient(self.latent_prior.sample(n, grid, generator))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw n states (n, 2, grid.n, grid.n): coefficients and their solutions.

        Raises:
            NumericalError: a state is not finite.
        """
        check_states(self, self.check_grid(grid).n, n)
        states = self.state(self.latent_prior.white(n, generator), grid)
        if not bool(states.isfinite().all()):
            raise NumericalError(
                f"the states of {self.name} must be finite, got nan or inf; check its parameters"
            )
        return states

    def state(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Return the states of Karhunen–Loève coefficients of the latent field; differentiable.

        Arguments:
            xi: (batch, 1, m, m), the coefficients.
            grid: grid of the states (batch, 2, n, n).
        """
        a = self.coefficient(self.latent_prior.square_root(xi, grid))
        return torch.cat([a, self.solve(a)], dim=1)

    def coefficient_variance(self, grid: Grid) -> torch.Tensor:
        """Return the pointwise prior variance (n, n) of a coefficient.

        The coefficient must be linear in the latent field, node by node.
        """
        return self.coefficient(self.latent_prior.variance(grid).sqrt()[None, None])[0, 0].square()

    def clamp(self, state: torch.Tensor) -> torch.Tensor:
        """Return states (batch, 2, n, n) with the coefficient within `coefficient_range`.

        Coefficients alone, (batch, 1, n, n), are allowed too.
        """
        if self.coefficient_range is None:
            return state
        return torch.cat([state[:, :1].clamp(*self.coefficient_range), state[:, 1:]], dim=1)

    @property
    def fields(self) -> tuple[Field, Field]:
        """The coefficient's and the solution's field."""
        return (self.coefficient_field, self.solution_field)

    @cached_property
    def parameters(self) -> dict[str, float | str]:
        """The PDE's parameters by name."""
        return dataclasses.asdict(self)

    def grid(self, n: int) -> Grid:
        """Return the PDE's grid of n nodes per side."""
        return Grid(n, self.grid_kind)

    def find_channel(self, field_name: str) -> int | None:
        """Return 0 for the coefficient, 1 for the solution and None for any other name.

        Arguments:
            field_name: physical name, or the alias `coefficient` or `solution`.
        """
        for i, alias in enumerate(("coefficient", "solution")):
            if field_name in (alias, self.fields[i].name):
                return i
        return None

    def channel(self, field_name: str) -> int:
        """Return 0 for the coefficient and 1 for the solution, as `find_channel`.

        Raises:
            InputError: the PDE has no such field.
        """
        found = self.find_channel(field_name)
        if found is None:
            raise InputError(self.unknown_field(field_name))
        return found

    def unknown_field(self, field_name: str) -> str:
        """Return the message about a field that the PDE does not have."""
        return (
            f"field must be {self.coefficient_field.name!r} (the coefficient) or "
            f"{self.solution_field.name!r} (the solution) for {self.name}, got "
            f"{described(field_name)}; rename it"
        )

    def check_grid(self, grid: Grid) -> Grid:
        """Return the grid.

        Raises:
            InputError: the grid is of another kind than the PDE's.
        """
        if grid.kind != self.grid_kind:
            raise InputError(
                f"the grid of {self.name} must be of kind {self.grid_kind!r}, got {grid.kind!r}; "
                f"use Grid(n, {self.grid_kind!r})"
            )
        return grid

    def doubt(self, grid: Grid) -> str:
        """Return why results on a grid are doubtful, one sentence to warn with; "" by default."""
        return ""

    def solve_seconds(self, grid: Grid) -> float:
        """Return roughly how long a solve of one coefficient takes where that may be long."""
        return 0.0

    def grid_of(self, field: torch.Tensor) -> Grid:
        """Return the grid of a field (..., n, n).

        Raises:
            InputError: the field is not square.
        """
        ny, nx = field.shape[-2:]
        if ny != nx:
            raise InputError(
                f"a field of {self.name} must be square, got {ny} x {nx} nodes; resample it"
            )
        return self.grid(nx)
