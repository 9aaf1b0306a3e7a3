"""The contract of a physics module, and the registry of PDEs by name."""

from __future__ import annotations

import dataclasses
import difflib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import torch

from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Field, Grid, GridKind
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group

__all__ = ["PDE", "PDES", "pde_by_name", "register"]

_LARGEST = 1e9  # bound on every parameter: the problems are dimensionless


@dataclass(frozen=True, eq=False)
class PDE(ABC):
    """A PDE with a random coefficient: its prior, its solution map and its symmetries.

    A subclass is a frozen dataclass whose fields are the PDE's parameters, each with a default.
    Fields on the grid are tensors of shape (batch, 1, n, n), indexed [y, x]. A *state* is the pair
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
        for name, value in dataclasses.asdict(self).items():
            if not abs(value) <= _LARGEST:
                raise InputError(
                    f"parameter {name} of {self.name} must be at most {_LARGEST:g} in size, got "
                    f"{value:g}; use the dimensionless equation"
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
        return self.coefficient(self.latent_prior.sample(n, self.check_grid(grid), generator))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw n states (n, 2, grid.n, grid.n): coefficients and their solutions.

        Raises:
            NumericalError: a state is not finite.
        """
        states = self.state(self.latent_prior.white(n, generator), self.check_grid(grid))
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
    def parameters(self) -> dict[str, float]:
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
            f"{self.solution_field.name!r} (the solution) for {self.name}, got {field_name!r}; "
            f"rename it"
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


PDES: dict[str, type[PDE]] = {}
"""Every registered PDE by its name."""

Kind = TypeVar("Kind", bound=type[PDE])


def register(kind: Kind) -> Kind:
    """Register a PDE under its name; a class decorator, above `@dataclass(frozen=True)`.

    `pde_by_name`, the command line and the readers of files then find it.

    Raises:
        InputError: a class of another module or name has the same `name`.
    """
    known = PDES.get(kind.name, kind)
    if (known.__module__, known.__qualname__) != (kind.__module__, kind.__qualname__):
        raise InputError(
            f"the name of a PDE must be new, got {kind.name!r} of {known.__qualname__}; choose "
            f"another name"
        )
    PDES[kind.name] = kind
    return kind


def pde_by_name(name: str, **parameters: float) -> PDE:
    """Return the registered PDE of that name.

    Arguments:
        name: a name in `PDES`.
        parameters: values of some parameters; the others keep their defaults.

    Raises:
        InputError: the name or a parameter is unknown, or a value is not a number of its kind.
    """
    if name not in PDES:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), PDES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "see `pdeinv info`"
        raise InputError(f"pde must be one of {', '.join(sorted(PDES))}, got {name!r}; {hint}")
    known = {
        field.name: int if isinstance(field.default, int) else float
        for field in dataclasses.fields(PDES[name])
    }
    for key, value in parameters.items():
        if key not in known:
            raise InputError(
                f"a parameter of {name} must be one of {', '.join(known)}, got {key!r}; rename it "
                f"or leave it out"
            )
        allowed = (int, float) if known[key] is float else int
        if not isinstance(value, allowed) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(
                f"parameter {key} of {name} must be a finite {known[key].__name__}, got "
                f"{value!r}; mend or leave it out"
            )
    make: Callable[..., PDE] = PDES[name]
    return make(**{key: known[key](value) for key, value in parameters.items()})
