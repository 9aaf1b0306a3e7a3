"""The contract of a physics module."""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import torch

from pdeinv.annotations import check_fields
from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior, GaussianField
from pdeinv.datasets.absorbing import check_sides
from pdeinv.datasets.channels import Channels
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.stated import Stated
from pdeinv.datasets.symmetries import common_symmetries
from pdeinv.datasets.uncertain_fields import UncertainField, check_uncertain, find_uncertain
from pdeinv.errors import InputError
from pdeinv.external import run_named
from pdeinv.grid import Domain, Grid, GridKind
from pdeinv.symmetry import Group, trivial_group

__all__ = ["PDE"]

_LARGEST = 1e9  # bound on every number among the parameters


@dataclass(frozen=True, eq=False)
class PDE(Stated, Channels):
    """The physics of a problem: a PDE's fields, its solution map and its symmetries.

    What is known of the coefficient beforehand is no part of it: see `pdeinv.coefficients` and
    `pdeinv.Problem`.

    A subclass needs a `solve` alone. With parameters it is a frozen dataclass whose fields these
    are, each with a default; see `pdeinv.annotations` for their checks. Fields on the grid are
    tensors of shape (batch, 1, ny, nx), indexed [y, x]. A *state* is (batch, channel, ny, nx):
    channel 0 is the coefficient, channel 1 the solution, and the others are the derived fields that
    `outputs` names. Several `Experiments` on one coefficient have these others for each experiment
    in turn.

    Attributes:
        name: name in files, on the command line and in the registry. The default is the
            class's own, as `heat-flow` of HeatFlow.
        equation: one line for people. The default is the first line of the class's docstring.
        domain: the rectangle on which the PDE is posed; a parameter.
        coefficient_field, solution_field: the two fields.
        outputs: names of the derived fields that are channels of the state; a parameter. See
            `reading`.
        grid_kind: kind of the grid on which the PDE is posed.
        operator_symmetries: symmetries of the operator alone, whatever the domain, the sides and
            the sources are; those of a square or a torus. The default is the identity.
        linear: whether all channels are affine in the coefficient.
        differentiable: whether automatic differentiation can go through `solve`. Solvers that need
            derivatives refuse a PDE for which it is False.
        at_once: how many coefficients a solver with many solves passes to `respond` at a time.
        positive_coefficient: whether the coefficient must be positive everywhere.
        waves: whether its sides may take up waves, as `Impedance` and `Open` do.
        matlab_names: names of the coefficient and the solution in DiffusionPDE's MATLAB files; None
            where there is no such file.
        numerical_parameters: parameters of the scheme, which a learned model need not share.
        uncertain_parameters: those that may be, or hold, an `Uncertain` quantity: `solve` must then
            be differentiable to what is drawn in its place.
        never_unknown: parameters of the physics that must be stated, as those of the scheme must.
        benchmark_parameters: parameters that make the PDE of this name the published problem, where
            the defaults do not.
    """

    name: ClassVar[str]
    grid_kind: ClassVar[GridKind] = "vertex"
    operator_symmetries: ClassVar[Group] = trivial_group()
    linear: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    at_once: ClassVar[int] = 50
    positive_coefficient: ClassVar[bool] = False
    waves: ClassVar[bool] = False
    matlab_names: ClassVar[tuple[str, str] | None] = None
    numerical_parameters: ClassVar[tuple[str, ...]] = ()
    uncertain_parameters: ClassVar[tuple[str, ...]] = ()
    never_unknown: ClassVar[tuple[str, ...]] = ()
    benchmark_parameters: ClassVar[dict[str, Any]] = {}

    domain: Domain = field(default=Domain(), kw_only=True)

    _named_by_class: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        stated = [vars(kind) for kind in cls.__mro__ if "name" in vars(kind)]
        if not stated or stated[0].get("_named_by_class"):
            cls.name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__)
            cls.name = cls.name.replace("_", "-").strip("-").lower()
            cls._named_by_class = True
        elif "name" in vars(cls):
            cls._named_by_class = False

    def __post_init__(self) -> None:
        stated = {*self.never_unknown, *self.numerical_parameters}
        unknown = set(self.parameter_names()) - stated
        check_fields(self, f"parameter {{}} of {self.name}", unknown)
        for name in self.parameter_names():
            value = getattr(self, name)
            if isinstance(value, int | float) and not abs(value) <= _LARGEST:
                raise InputError(
                    f"parameter {name} of {self.name} must be at most {_LARGEST:g} in size, got "
                    f"{described(value)}; use other units"
                )
        self._settle_channels()
        check_uncertain(self)
        check_sides(self)

    @property
    def equation(self) -> str:
        """The equation and its boundary conditions in one line."""
        kind = type(self)
        stated = (kind.__doc__ or "").strip()
        if not stated or stated.startswith(f"{kind.__name__}("):  # which dataclasses write
            return self.name
        return stated.splitlines()[0].rstrip(".")

    @property
    def default_prior(self) -> CoefficientPrior:
        """The prior of the coefficient where none is given: the published one, where there is one.

        The default is Gaussian with the mean 0, the standard deviation 1, and a length of a fifth
        of the domain's shorter side.
        """
        return GaussianField(0.0, 1.0, 0.2 * self.domain.shorter)

    @abstractmethod
    def solve(self, a: torch.Tensor) -> torch.Tensor:
        """Return the solution u of the coefficient a, both (batch, 1, ny, nx); differentiable.

        Float64 is advised. `Experiments` have a channel of u for each; so have `residual` and
        `surrogate`.

        Raises:
            InputError: the coefficient or the grid is not allowed.
            NumericalError: the scheme is unstable, or its iteration stalls.
        """

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the residual of the equation, (batch, 1, ny, nx): zero for u = solve(a).

        Boundary nodes hold the violation of the boundary condition. The default is u - solve(a).
        """
        return u - self.solve(a)

    @cached_property
    def symmetries(self) -> Group:
        """The group G with solve(g a) = g solve(a) for every g in G; it acts on states.

        It is computed from the operator, the domain, the conditions on its sides, the sources and
        the wells.
        """
        return common_symmetries((self,)).acting_on(self.fields)

    @property
    def sources(self) -> tuple[Distributed, ...]:
        """What the equation adds over the domain, of the solution's kind: it limits the symmetries.

        The default is every parameter that is a `Distributed`.
        """
        return tuple(v for v in self.parameters.values() if isinstance(v, Distributed))

    @cached_property
    def uncertain(self) -> tuple[UncertainField, ...]:
        """The uncertain quantities, in the order in which they are stated."""
        return find_uncertain(self)

    def derive(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the derived fields of `outputs`, (batch, len(outputs), ny, nx); differentiable.

        Arguments:
            a, u: coefficient and its solution, (batch, 1, ny, nx).
        """
        raise NotImplementedError(f"{type(self).__name__} has derived fields and no `derive`")

    def derive_linear(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return the channels `linear_channels` of any two fields, (batch, channels, ny, nx): a
        linear function of both; differentiable. By default it is that of `derive`."""
        return self.derive(a, u)[:, [c - 2 for c in self.linear_channels]]

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        """Return all channels of the state but the coefficient: solution and `outputs`.

        Arguments:
            a: (batch, 1, ny, nx).
        """
        return self.completed(a, self._as_stated("solve", a))

    def _as_stated(self, method: str, a: torch.Tensor) -> torch.Tensor:
        """Return `solve` or `surrogate`, whose shape is checked: that of a user's class may be
        another.

        Raises:
            InputError: it is, or the code of a user's file fails where no derivative is taken.
        """
        solve = getattr(self, method)
        u = solve(a) if a.requires_grad else run_named(type(self), lambda: solve(a))
        shape = (len(a), len(self.solution_channels), *a.shape[-2:])
        if not isinstance(u, torch.Tensor) or tuple(u.shape) != shape:
            got = f"the shape {tuple(u.shape)}" if isinstance(u, torch.Tensor) else described(u)
            raise InputError(
                f"{method} of {type(self).__name__} must return a tensor of the shape {shape} for "
                f"coefficients {tuple(a.shape)}, got {got}; correct it"
            )
        return u

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

    def restrict(self, a: torch.Tensor) -> torch.Tensor:
        """Return coefficients (batch, 1, ny, nx) as the PDE has them, such as 0 on some sides.

        It is affine, and the identity by default.
        """
        return a

    def functions_of_coefficient(self, a: torch.Tensor) -> torch.Tensor:
        """Return the channels of a state that are functions of the coefficient alone, in their
        order (see `of_coefficient`): by default the coefficients (batch, 1, ny, nx) themselves."""
        return a

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return a cheap approximation of `solve`, whose derivative replaces that of `solve`.

        The default is `solve` itself.
        """
        return self.solve(a)

    @property
    def for_many_adjoints(self) -> PDE:
        """The same physics, solved in the way that suits many adjoints of one state.

        The default is the physics itself.
        """
        return self

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        """Return `respond` with the solution by `surrogate`."""
        return self.completed(a, self._as_stated("surrogate", a))

    def grid(self, ny: int, nx: int | None = None) -> Grid:
        """Return a grid of the PDE's domain.

        Arguments:
            ny, nx: nodes along y and x; one number is that of the shorter side, and the cells are
                as square as whole numbers allow.
        """
        if nx is None:
            ends = 1 if self.grid_kind == "vertex" else 0
            nx, ny = (round((ny - ends) * length) + ends for length in self.domain.aspect)
        domain = self.domain
        return Grid(ny, nx, domain.extent, domain.unit, self.grid_kind, domain.active)

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
