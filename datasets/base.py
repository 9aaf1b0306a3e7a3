"""The contract of a physics module."""

from __future__ import annotations

import dataclasses
import difflib
import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Field, Grid
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group

__all__ = ["PDE", "pde_by_name"]

_LARGEST = 1e9  # no parameter of a non-dimensional problem is larger


class PDE(ABC):
    """A PDE with a random coefficient: what to sample, how to solve it, what it is symmetric under.

    A subclass is a frozen dataclass whose fields are the PDE's parameters. Fields on the grid are
    tensors of shape (batch, 1, n, n), indexed [y, x]; a *state* is the pair (coefficient, solution)
    along the channel dimension, (batch, 2, n, n).
    """

    name: ClassVar[str]
    equation: ClassVar[str]
    coefficient_field: ClassVar[Field]
    solution_field: ClassVar[Field]
    grid_kind: ClassVar[str] = "vertex"
    linear: ClassVar[bool] = False
    """True where both the coefficient and the solution are linear in the latent Gaussian field."""
    gaussian_coefficient: ClassVar[bool] = True
    """True where the coefficient is linear in the latent Gaussian field, and so Gaussian itself."""
    coefficient_range: ClassVar[tuple[float, float] | None] = None
    """Bounds within which `solve` is meaningful; None where any real coefficient is."""

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            if not abs(value) <= _LARGEST:
                raise InputError(
                    f"{self.name}'s parameter {name} = {value:g} is out of range; use a value up "
                    f"to {_LARGEST:g}"
                )
        _ = self.latent_prior  # refuses what the random field cannot have

    @property
    @abstractmethod
    def latent_prior(self) -> GaussianRandomField:
        """The Gaussian random field behind the coefficient."""

    @abstractmethod
    def solve(self, a: torch.Tensor) -> torch.Tensor:
        """Solution u of the coefficient a, both (batch, 1, n, n); differentiable, float64
        advised."""

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
        """Coefficient of a latent Gaussian field, both (batch, 1, n, n); the identity unless a PDE
        says otherwise."""
        return latent

    def smoothed(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """`coefficient` with its jumps spread over about `width` of the latent field, so that it
        can be differentiated."""
        return self.coefficient(latent)

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """A cheap approximation of `solve`, whose derivative can stand in for that of `solve`;
        `solve` itself by default."""
        return self.solve(a)

    def sample_coefficient(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """n random coefficients (n, 1, grid.n, grid.n), float64; one seed means the same functions
        on every grid."""
        return self.coefficient(self.latent_prior.sample(n, self.check_grid(grid), generator))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """n random states (n, 2, grid.n, grid.n): coefficients and their solutions."""
        return self.state(self.latent_prior.white(n, generator), self.check_grid(grid))

    def state(self, xi: torch.Tensor, grid: Grid) -> torch.Tensor:
        """States (batch, 2, n, n) of Karhunen–Loève coefficients (batch, 1, m, m) of the latent
        field; differentiable."""
        a = self.coefficient(self.latent_prior.square_root(xi, grid))
        return torch.cat([a, self.solve(a)], dim=1)

    def coefficient_variance(self, grid: Grid) -> torch.Tensor:
        """Pointwise prior variance (n, n) of a coefficient that is linear in the latent field, node
        by node."""
        return self.coefficient(self.latent_prior.variance(grid).sqrt()[None, None])[0, 0].square()

    def clamp(self, state: torch.Tensor) -> torch.Tensor:
        """States (batch, 2, n, n), or coefficients (batch, 1, n, n), with the coefficient within
        `coefficient_range`."""
        if self.coefficient_range is None:
            return state
        return torch.cat([state[:, :1].clamp(*self.coefficient_range), state[:, 1:]], dim=1)

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
        """0 for the coefficient, 1 for the solution, by physical name or by the alias `coefficient`
        / `solution`."""
        for i, alias in enumerate(("coefficient", "solution")):
            if field_name in (alias, self.fields[i].name):
                return i
        raise InputError(
            f"field {field_name!r} is unknown to {self.name}; use {self.coefficient_field.name!r} "
            f"(the coefficient) or {self.solution_field.name!r} (the solution)"
        )

    def check_grid(self, grid: Grid) -> Grid:
        if grid.kind != self.grid_kind:
            raise InputError(
                f"{self.name} lives on a {self.grid_kind} grid, not on a {grid.kind} one"
            )
        return grid

    def grid_of(self, field: torch.Tensor) -> Grid:
        """The grid of a field of shape (..., n, n)."""
        ny, nx = field.shape[-2:]
        if ny != nx:
            raise InputError(
                f"a field of {ny} x {nx} nodes is not square; {self.name} is posed on the unit "
                f"square"
            )
        return self.grid(nx)


def pde_by_name(name: str, **parameters: float) -> PDE:
    """The PDE exported by `pdeinv.datasets` under that name, with the given parameters and the
    defaults of the others.

    Raises:
        InputError: the name or a parameter is unknown, or a parameter is not a number of its kind.
    """
    from pdeinv.datasets import PDES  # that module imports this one

    if name not in PDES:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), PDES, n=1)
        hint = f"did you mean {close[0]!r}? The known ones are" if close else "use one of"
        raise InputError(f"PDE {name!r} is unknown; {hint} {', '.join(sorted(PDES))}")
    known = {field.name: type(field.default) for field in dataclasses.fields(PDES[name])}
    for key, value in parameters.items():
        if key not in known:
            raise InputError(
                f"{name} has no parameter {key!r}; its parameters are {', '.join(known)}"
            )
        allowed = (int, float) if known[key] is float else known[key]
        if not isinstance(value, allowed) or isinstance(value, bool) or not math.isfinite(value):
            raise InputError(
                f"parameter {key} = {value!r} of {name} is not a finite {known[key].__name__}; "
                f"the parameters are "
                f"{', '.join(f'{other} ({kind.__name__})' for other, kind in known.items())}"
            )
    return PDES[name](**{key: known[key](value) for key, value in parameters.items()})
