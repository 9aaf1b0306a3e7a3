"""Time-dependent flow through a medium that stores, such as a pumping test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import torch

from pdeinv.checks import Bounds, Positive
from pdeinv.coefficients import LogNormal
from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.datasets.elliptic.decay import LEAST_ERROR
from pdeinv.datasets.elliptic.evolution import Evolution
from pdeinv.datasets.elliptic.porous_flow import PorousFlow
from pdeinv.datasets.elliptic.problem import source_on
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver
from pdeinv.datasets.evolving import Evolving
from pdeinv.datasets.registry import register
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Grid

__all__ = ["TransientDarcy"]

_STORAGE = Distributed(1.0)
_NODES, _SECONDS, _GROWTH = 4096, 0.01, 1.4  # of one time on a grid, and its power of the nodes


@register
@dataclass(frozen=True)
class TransientDarcy(PorousFlow, Evolving):
    """storage ∂u/∂t - ∇·(a ∇u) = source + wells, for any positive a; the solution is u at the end.

    At the start the wells begin to flow. The discretisation in space is that of `Darcy`. Each
    output time has one step of its own, from the start or from the end of pumping: a rational
    function of the operator, of a few implicit steps that share one sparse factorisation. So the
    number of output times counts, not their length. Gradients come from the adjoint steps, which
    share the factorisations.

    The state can have the solution at `times` and the logarithm of a as further channels.

    Arguments:
        storage: what a volume of the medium takes up per unit of u, positive: a number, an array or
            a function; the specific storage where u is a head.
        initial: u at the start: a number, an array or a function. None is the steady state of the
            source and the sides, without the wells; then one side at least must fix a value.
        duration: the end time; the start is 0.
        pumping: time at which all wells stop, before the end; None if they do not.
        time_unit: unit of all times.
        accuracy: largest error of a step, as a share of the change of each mode since the start, or
            since the end of pumping after it.
        source, wells, thickness, face_mean: as of `Darcy`.
        domain: the rectangle.
        boundary: the conditions on the sides; a `Flux` is a ∂u/∂n. They need not fix a value.
        coefficient_field, solution_field: names and units of a and u.

    Reference:
        Theis, *The relation between the lowering of the piezometric surface and the rate and
        duration of discharge of a well using ground-water storage*, Eos Transactions 16 (1935), for
        a homogeneous medium without sides; Saff, Schönhage and Varga, *Geometric convergence to e⁻ᶻ
        by rational functions with real poles*, Numer. Math. 25 (1975), for the steps.

    Example:
        >>> from pdeinv.datasets import NoFlux, Sides, TransientDarcy, Value, Well
        >>> from pdeinv.grid import Domain
        >>> test = TransientDarcy(
        ...     source=0.0,
        ...     domain=Domain((0.0, 900.0, 0.0, 600.0), "m"),
        ...     boundary=Sides(Value(52), Value(50), NoFlux(), NoFlux()),
        ...     wells=(Well(450.0, 300.0, rate=-400.0),),
        ...     thickness=20.0,
        ...     storage=1e-5,
        ...     duration=2.0,
        ...     time_unit="day",
        ... )
        >>> test.equation.partition(", ")[0]
        'storage ∂u/∂t - ∇·(a ∇u) = 1 well'
    """

    storage: Distributed = field(default=_STORAGE, kw_only=True)
    initial: Distributed | None = field(default=None, kw_only=True)
    duration: Positive = field(default=1.0, kw_only=True)
    pumping: Positive | None = field(default=None, kw_only=True)
    time_unit: str = field(default="1", kw_only=True)
    accuracy: Annotated[float, Bounds(least=LEAST_ERROR, most=0.01)] = field(
        default=1e-4, kw_only=True
    )

    name = "transient-darcy"
    numerical_parameters = ("accuracy",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.storage.value):
            self._check_storage(np.asarray(self.storage.value))
        if self.pumping is not None and not self.pumping < self.duration:
            raise InputError(
                f"pumping of {self.name} must be below the duration {self.duration:g}, got "
                f"{self.pumping:g}; leave it out if the wells do not stop"
            )
        if self.floating and self.initial is None:
            raise InputError(
                f"initial of {self.name} must be given where no side fixes a value, got none: "
                f"{self.boundary.phrase()} has no steady state; give the "
                f"{self.solution_field.name} at the start"
            )
        if not self.fed and (self.initial is None or self.initial.zero):
            raise InputError(
                f"source of {self.name} must not be 0 where the sides and the start are 0 and no "
                f"well flows, got {self.source.phrase}: the {self.solution_field.name} would be 0 "
                f"everywhere; give a source, a well, a side or initial"
            )

    def _check_storage(self, values: np.ndarray) -> None:
        if values.min() <= 0:
            raise InputError(
                f"storage of {self.name} must be positive everywhere, got {values.min():g}; give "
                f"the specific storage"
            )

    @property
    def default_prior(self) -> LogNormal:
        return LogNormal(1.0, 0.5, 0.2 * self.domain.shorter)

    @property
    def equation(self) -> str:
        start = "a steady state" if self.initial is None else f"u = {self.initial.phrase}"
        stop = "" if self.pumping is None else f", wells until t = {self.pumping:g}"
        sides = self.conditions_phrase
        return f"storage ∂u/∂t - ∇·(a ∇u) = {self.inflow_phrase}, {sides}, {start} at t = 0{stop}"

    @property
    def end_time(self) -> float:
        return self.duration

    @property
    def time_units(self) -> str:
        return self.time_unit

    @property
    def fields(self) -> tuple[Field, ...]:
        a, u, *others = super().fields
        return (a, self.at(u, self.duration), *others)

    @property
    def derived(self) -> tuple[Field, ...]:
        return (*self.at_times(self.solution_field), self.logarithm)

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        same = self.fields[channel].name == self.solution_field.name
        return super().known_values(1 if same else channel, points)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        return self.solutions(a, (self.duration,))

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        heads = self.solutions(a, (self.duration, *self.times))
        return torch.cat([heads, self.functions_of_coefficient(a)[:, 1:]], dim=1)

    def solutions(self, a: torch.Tensor, times: Sequence[float]) -> torch.Tensor:
        """Return u at times, (batch, times, ny, nx); differentiable.

        Arguments:
            a: (batch, 1, ny, nx), the coefficient.
            times: positive, in any order.

        Raises:
            InputError: the coefficient or the grid is not allowed.
            NumericalError: a system cannot be solved in double precision.
        """
        self._check_coefficient(a)
        double, grid = a.double(), self.grid_of(a)
        conditions = self.conditions(grid)
        if callable(self.storage.value):
            self._check_storage(self.storage.at(node_positions(grid), self.domain))
        storage = source_on(grid, self.enclosure, self.storage)
        leaking = self._leaking(grid)
        evolution = Evolution(conditions.volumes, storage, self.face_mean, self.accuracy, leaking)
        stop = self.pumping or math.inf
        early = sorted({min(t, stop) for t in times})
        flowing = self._inflow(grid, double)
        parts = evolution.after(double, self._start(double), flowing, early).split(1, dim=1)
        found = dict(zip(early, parts, strict=True))
        late = sorted({t for t in times if t > stop})
        if late:
            rest = self._inflow(grid, double, wells=False)
            parts = evolution.after(double, found[stop], rest, [t - stop for t in late]).split(1, 1)
            found |= zip(late, parts, strict=True)
        u = torch.cat([found[t] for t in times], dim=1) + conditions.level
        return conditions.volumes.at_active(u).to(a)

    def _start(self, a: torch.Tensor) -> torch.Tensor:
        """Return u at the start, less the level of the sides, (batch, 1, ny, nx)."""
        grid = self.grid_of(a)
        conditions = self.conditions(grid)
        volumes = conditions.volumes
        if self.initial is None:
            solver = BalanceSolver(volumes, self.face_mean, "direct")
            free = self._balanced(a, self._inflow(grid, a, wells=False), solver)
        else:
            free = source_on(grid, self.enclosure, self.initial).to(a) - conditions.level
            free = free.expand(*a.shape[:-2], *volumes.shape)
        return volumes.extended(free) + conditions.deviations.to(a)

    def solve_seconds(self, grid: Grid) -> float:
        steps = 1 + len(self.times) + (self.initial is None) + (self.pumping is not None)
        return steps * _SECONDS * (grid.nodes / _NODES) ** _GROWTH
