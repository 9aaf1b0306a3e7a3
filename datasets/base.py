"""The contract of a physics module."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import described
from pdeinv.datasets.channels import Channels
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.stated import Stated
from pdeinv.datasets.symmetries import common_symmetries
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.memory import check_states
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group, Symmetry, trivial_group

if TYPE_CHECKING:
    pass

__all__ = ["PDE"]

_LARGEST = 1e9  # bound on every number among the parameters


@dataclass(frozen=True, eq=False)
class PDE(Stated, Channels):
    """A PDE with a random coefficient: its prior, its solution map and its symmetries.

    A subclass is a frozen dataclass whose fields are the PDE's parameters, each with a default; see
    `pdeinv.annotations` for their checks. Fields on the grid are tensors of shape (batch, 1, ny,
    nx), indexed [y, x]. A *state* is (batch, channel, ny, nx): channel 0 is the coefficient,
    channel 1 the solution, and the others are the derived fields that `outputs` names. Several
    `Experiments` on one coefficient have these others for each experiment in turn.

    Attributes:
        name: name in files, on the command line and in the registry.
        equation: one line for people.
        domain: the rectangle on which the PDE is posed; a parameter.
        coefficient_field, solution_field: the two fields.
        outputs: names of the derived fields that are channels of the state; a parameter. See
            `reading`.
        grid_kind: kind of the grid on which the PDE is posed.
        operator_symmetries: symmetries of the operator alone, whatever the domain, the sides and
            the sources are; those of a square or a torus. The default is the identity.
        linear: whether all channels are affine in the latent Gaussian field.
        gaussian_coefficient: whether the coefficient is linear in the latent Gaussian field.
        matlab_names: names of the coefficient and the solution in DiffusionPDE's MATLAB files; None
            where there is no such file.
        numerical_parameters: parameters of the scheme, which a learned model need not share.
        benchmark_parameters: parameters that make the PDE of this name the published problem, where
            the defaults do not.
    """

    name: ClassVar[str]
    grid_kind: ClassVar[GridKind] = "vertex"
    operator_symmetries: ClassVar[Group] = trivial_group()
    linear: ClassVar[bool] = False
    gaussian_coefficient: ClassVar[bool] = True
    matlab_names: ClassVar[tuple[str, str] | None] = None
    numerical_parameters: ClassVar[tuple[str, ...]] = ()
    benchmark_parameters: ClassVar[dict[str, Any]] = {}

    domain: Domain = field(default=Domain(), kw_only=True)

    def __post_init__(self) -> None:
        check_fields(self, f"parameter {{}} of {self.name}")
        for name, value in self.parameters.items():
            if isinstance(value, int | float) and not abs(value) <= _LARGEST:
                raise InputError(
                    f"parameter {name} of {self.name} must be at most {_LARGEST:g} in size, got "
                    f"{described(value)}; use other units"
                )
        self._check_channels()
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
        """Return the solution u of the coefficient a, both (batch, 1, ny, nx); differentiable.

        Float64 is advised. `Experiments` have a channel of u for each; so have `residual` and
        `surrogate`.

        Raises:
            InputError: the coefficient or the grid is not allowed.
            NumericalError: the scheme is unstable, or its iteration stalls.
        """

    @abstractmethod
    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the residual of the equation, (batch, 1, ny, nx): zero for u = solve(a).

        Boundary nodes hold the violation of the boundary condition.
        """

    @cached_property
    def symmetries(self) -> Group:
        """The group G with solve(g a) = g solve(a) for every g in G; it acts on states.

        It is computed from the operator, the domain, the conditions on its sides, the sources, the
        wells and the prior.
        """
        return common_symmetries((self,)).acting_on(self.fields)

    @property
    def sources(self) -> tuple[Distributed, ...]:
        """What the equation adds over the domain, of the solution's kind: it limits the symmetries.

        The default is every parameter that is a `Distributed`.
        """
        return tuple(v for v in self.parameters.values() if isinstance(v, Distributed))

    def keeps_prior(self, element: Symmetry) -> bool:
        """Return whether the distribution of coefficients stays the same under an element.

        The element maps the operator, the domain and the grid's nodes onto themselves. The default
        is True, which holds for the random fields of `GaussianRandomField`.
        """
        return True

    def derive(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the derived fields of `outputs`, (batch, len(outputs), ny, nx); differentiable.

        Arguments:
            a, u: coefficient and its solution, (batch, 1, ny, nx).
        """
        raise NotImplementedError(f"{type(self).__name__} has derived fields and no `derive`")

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        """Return all channels of the state but the coefficient: solution and `outputs`.

        Arguments:
            a: (batch, 1, ny, nx).
        """
        return self.completed(a, self.solve(a))

    def completed(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return `respond` with given solutions (batch, solutions, ny, nx)."""
        return torch.cat([u, self.derive(a, u)], dim=1) if self.outputs else u

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        """Return the values (m,) that the PDE fixes in a channel at points, nan where it is free.

        Arguments:
            channel: index of the field.
            points: (m, 2), in the domain.
        """
        return points.new_full((len(points),), torch.nan)

    @property
    def coefficient_range(self) -> tuple[float, float] | None:
        """Bounds of the coefficient; None where every real coefficient is allowed."""
        return None

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the coefficient of a latent Gaussian field, both (batch, 1, ny, nx).

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

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        """Return `respond` with the solution by `surrogate`."""
        return self.completed(a, self.surrogate(a))

    def sample_coefficient(
        self, n: int, grid: Grid, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Draw n coefficients (n, 1, ny, nx), float64.

        One seed gives the same functions on every grid.
        """
        check_states(self, self.check_grid(grid), n)
        return self.coefficient(self.latent_prior.sample(n, grid, generator))

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Draw n states (n, channel, ny, nx).

        Raises:
            NumericalError: a state is not finite.
        """
        check_states(self, self.check_grid(grid), n)
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
            grid: grid of the states (batch, channel, ny, nx).
        """
        a = self.coefficient(self.latent_prior.square_root(xi, grid))
        return torch.cat([a, self.respond(a)], dim=1)

    def coefficient_variance(self, grid: Grid) -> torch.Tensor:
        """Return the pointwise prior variance (ny, nx) of a coefficient.

        The coefficient must be affine in the latent field, node by node.
        """
        std = self.latent_prior.variance(grid).sqrt()[None, None]
        return (self.coefficient(std) - self.coefficient(torch.zeros_like(std)))[0, 0].square()

    def clamp(self, state: torch.Tensor) -> torch.Tensor:
        """Return states (batch, channel, ny, nx) with the coefficient within `coefficient_range`.

        Coefficients alone, (batch, 1, ny, nx), are allowed too.
        """
        if self.coefficient_range is None:
            return state
        return torch.cat([state[:, :1].clamp(*self.coefficient_range), state[:, 1:]], dim=1)

    def grid(self, ny: int, nx: int | None = None) -> Grid:
        """Return a grid of the PDE's domain.

        Arguments:
            ny, nx: nodes along y and x; one number is that of the shorter side, and the cells are
                as square as whole numbers allow.
        """
        if nx is None:
            ends = 0 if self.grid_kind == "periodic" else 1
            nx, ny = (round((ny - ends) * length) + ends for length in self.domain.aspect)
        return Grid(ny, nx, self.domain.extent, self.domain.unit, self.grid_kind)

    def check_grid(self, grid: Grid) -> Grid:
        """Return the grid.

        Raises:
            InputError: the grid is of another kind or domain than the PDE's.
        """
        if grid.kind != self.grid_kind:
            raise InputError(
                f"the grid of {self.name} must be of kind {self.grid_kind!r}, got {grid.kind!r}; "
                f"use its `grid(n)`"
            )
        if grid.domain != self.domain:
            raise InputError(
                f"the grid of {self.name} must be on its domain {self.domain}, got {grid.domain}; "
                f"use its `grid(n)`"
            )
        return grid

    def doubt(self, grid: Grid) -> str:
        """Return why results on a grid are doubtful, one sentence to warn with; "" by default."""
        return ""

    def solve_seconds(self, grid: Grid) -> float:
        """Return roughly how long a solve of one coefficient takes where that may be long."""
        return 0.0

    def grid_of(self, field: torch.Tensor) -> Grid:
        """Return the grid of a field (..., ny, nx) on the PDE's domain."""
        ny, nx = field.shape[-2:]
        return self.grid(ny, nx)
