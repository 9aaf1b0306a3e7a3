"""Two-dimensional incompressible Navier–Stokes on a torus, in vorticity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pdeinv.checks import Positive
from pdeinv.coefficients import SpectralField
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.evolving import Evolving
from pdeinv.datasets.forcing import Forcing
from pdeinv.datasets.registry import register
from pdeinv.datasets.vorticity_flow import flow_through, velocity
from pdeinv.errors import InputError, NumericalError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.symmetry import torus_group
from pdeinv.transforms import fourier_resample

__all__ = ["NavierStokes"]

_LONGEST = 3600.0  # seconds of a solve
_COUNTLESS = 1e15  # time steps; a larger quotient may be infinite


@register
@dataclass(frozen=True)
class NavierStokes(Evolving):
    """∂w/∂t + v·∇w = ν Δw + f on a torus; coefficient w(0), solution w(T).

    The torus is the domain with opposite sides joined. The velocity v = (∂ψ/∂y, -∂ψ/∂x) with
    -Δψ = w has no mean. The scheme is pseudo-spectral with 2/3 dealiasing. It integrates the
    viscous term exactly, and the rest by the classical fourth-order Runge–Kutta scheme.

    The state can have `vorticity`, and the components `velocity_x` and `velocity_y` of the
    velocity, at T and at each of `times`; see `reading`. One integration gives all of them: from
    each time to the next in steps of at most dt. Those at time 0 take no solve. The published
    problem is forced: `pde_by_name("navier-stokes")`.

    Arguments:
        viscosity: ν, positive, in squared units of length over units of time.
        time: T, positive.
        times: output times from 0 to T; may be empty.
        forcing: f, without a mean: None; an amplitude A, for A (sin 2π(x+y) + cos 2π(x+y)) with x
            and y in shares of the sides; or an array [y, x] or a function f(x, y), as in
            `Distributed`.
        dt: time step at up to 128 nodes per side; finer grids shorten it in proportion, for
            stability.
        domain: the rectangle.
        outputs: of `vorticity`, `velocity_x` and `velocity_y`, the last two both or none.

    Reference:
        Li et al., *Fourier neural operator*, ICLR 2021, appendix A.3.3 (arXiv 2010.08895).
    """

    viscosity: Positive = 1e-3
    time: Positive = 1.0
    forcing: Forcing | None = None
    dt: Positive = 0.1

    name = "navier-stokes"
    coefficient_field = Field("initial_vorticity", "initial vorticity w(0)", kind="pseudo-scalar")
    solution_field = Field("final_vorticity", "final vorticity w(T)", kind="pseudo-scalar")
    has_start = True
    grid_kind = "periodic"
    operator_symmetries = torus_group()
    matlab_names = ("a", "u")
    numerical_parameters = ("dt",)
    never_unknown = ("time",)
    benchmark_parameters: ClassVar[dict[str, Any]] = {"forcing": 0.1}

    def __post_init__(self) -> None:
        what = f"parameter forcing of {self.name}"
        if self.forcing is not None:
            forcing = Forcing.of(self.forcing, what)
            object.__setattr__(self, "forcing", None if forcing.zero else forcing)
        super().__post_init__()
        if self.forcing is not None:
            self.forcing.check_mean(what, self.domain)

    @property
    def equation(self) -> str:
        unforced = "∂w/∂t + v·∇w = ν Δw"
        if self.forcing is None:
            return f"{unforced}, periodic"
        wave = " (sin 2π(x+y) + cos 2π(x+y))" if self.forcing.resolved else ""
        return f"{unforced} + f, periodic, f = {self.forcing.phrase}{wave}"

    @property
    def default_prior(self) -> SpectralField:
        return SpectralField("periodic", alpha=2.5, tau=7.0)

    @property
    def end_time(self) -> float:
        return self.time

    @property
    def evolving_field(self) -> Field:
        return Field("vorticity", "vorticity w", kind="pseudo-scalar")

    @property
    def derived(self) -> tuple[Field, ...]:
        unit = self.domain.unit  # of a length times a vorticity
        fields = (
            self.evolving_field,
            Field("velocity_x", "velocity along x", unit, kind="vector-x"),
            Field("velocity_y", "velocity along y", unit, kind="vector-y"),
        )
        if not self.times:
            return fields
        return (*self.at_times(*fields), *(self.at(f, self.time) for f in fields))

    def of_coefficient(self, field: Field) -> bool:
        return super().of_coefficient(field) or field.time == 0

    def functions_of_coefficient(self, a: torch.Tensor) -> torch.Tensor:
        return torch.cat([a, self._outputs(a)], dim=1) if 0.0 in self.times else a

    def linear_in_channels(self, field: Field) -> bool:
        return field.time in (None, 0.0, self.time)

    def derive_linear(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        ends = (a, u) if 0.0 in self.times else (u,)
        return torch.cat([self._outputs(w) for w in ends], dim=1)

    @property
    def _reading_times(self) -> tuple[float, ...]:
        """The times to which an integration goes in turn: those after the start, and the end."""
        return (*(t for t in self.times if t > 0), self.time)

    def steps(self, grid: Grid) -> int:
        """Return the number of time steps on a grid of the domain."""
        return sum(steps for _, steps in self._legs(grid, self.dt))

    def _legs(self, grid: Grid, dt: float) -> list[tuple[float, int]]:
        """Return for each of `_reading_times` the time since the one before, and its steps."""
        # The fastest flow is that of the longest wave: the longer side and the shorter spacing
        # count
        lengths = grid.domain.lengths[::-1]
        n = max(
            nodes * max(lengths) / side for nodes, side in zip(grid.shape, lengths, strict=True)
        )
        times = self._reading_times
        legs = []
        for before, time in zip((0.0, *times), times, strict=False):
            steps = (time - before) / (dt * min(1.0, 128 / n))
            legs.append((time - before, max(1, math.ceil(min(steps, _COUNTLESS) - 1e-9))))
        return legs

    def solve_seconds(self, grid: Grid) -> float:
        # Four evaluations of the tendency: the calls, and the transforms of a few fields
        return self.steps(grid) * (4e-4 + 4e-7 * grid.nodes)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        return self._vorticity(a)[:, -1:]

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        if len(self._reading_times) == 1:  # by `solve`, of which a subclass may have another
            return self.completed(a, self._as_stated("solve", a))
        return self._response(a, self._vorticity(a))

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return a flow in single precision, on a coarser grid and with twice the time step.

        The grid just resolves what viscosity leaves at the first of the output times after the
        start. Where it is not coarser, the time step is that of `solve`, which may be at the limit
        of stability. Where the flow is unstable and `solve` is not, the result is that of `solve`.
        """
        return self._rough_vorticity(a)[:, -1:]

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        if len(self._reading_times) == 1:
            return self.completed(a, self._as_stated("surrogate", a))
        return self._response(a, self._rough_vorticity(a))

    def derive(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        early = [self._vorticity(a)[:, :-1]] if len(self._reading_times) > 1 else []
        return self._response(a, torch.cat([*early, u], dim=1))[:, 1:]

    def _response(self, a: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        """Return the channels of a state but the coefficient, of w at `_reading_times`."""
        if not self.outputs:
            return w[:, -1:]
        moving = [self._outputs(one) for one in w.split(1, dim=1)]
        start = self.functions_of_coefficient(a)[:, 1:]
        return torch.cat([w[:, -1:], start, *moving], dim=1)

    def _outputs(self, w: torch.Tensor) -> torch.Tensor:
        """Return the fields of `outputs` at one time, (batch, outputs, ny, nx)."""
        names = [self.evolving_field.name, "velocity_x", "velocity_y"]
        chosen = [i for i, name in enumerate(names) if name in self.outputs]
        if chosen == [0]:
            return w
        return torch.cat([w, velocity(w, self.grid_of(w))], dim=1)[:, chosen]

    def _vorticity(self, a: torch.Tensor) -> torch.Tensor:
        """Return w at `_reading_times`, (batch, times, ny, nx), for w(0) = a."""
        grid = self.grid_of(a)
        if (seconds := self.solve_seconds(grid)) > _LONGEST:
            raise InputError(
                f"time / dt must be smaller, got {self.time:g} / {self.dt:g}: {self.steps(grid)} "
                f"steps on {grid} nodes take about {seconds / 3600:.3g} hours; change time or dt"
            )
        force = self._force(grid, a)
        w = self._flow(a, grid, force)
        if not self._stable(a, w, force):
            highest = float(a.detach().abs().max())
            forced = f" and a forcing of {self.forcing.phrase}" if self.forcing else ""
            raise NumericalError(
                f"Navier–Stokes with dt = {self.dt} is unstable for an initial vorticity of up to "
                f"{highest:.3g}{forced}; use a smaller dt"
            )
        return w

    def _force(self, grid: Grid, like: torch.Tensor) -> torch.Tensor:
        """Return the forcing on a grid, (ny, nx)."""
        if self.forcing is None:
            return like.new_zeros(grid.shape)
        return self.forcing.on(grid, like.dtype, like.device)

    def _flow(self, a: torch.Tensor, grid: Grid, force: torch.Tensor) -> torch.Tensor:
        """Return `_vorticity` without a check of its stability."""
        legs = self._legs(grid, self.dt)
        batch = max(1, 8 * 128**2 // grid.nodes)  # larger ones fall out of the cache, run slower
        parts = [flow_through(w, grid, self.viscosity, force, legs) for w in a.split(batch)]
        return torch.cat(parts)

    def _stable(self, a: torch.Tensor, w: torch.Tensor, force: torch.Tensor) -> bool:
        """Return whether the root mean square vorticity has grown by no more than the forcing adds.

        Stirring conserves it and viscosity lowers it; an unstable scheme raises it.
        """
        before, after = (f.detach().square().mean(dim=(-1, -2)).sqrt() for f in (a, w))
        added = before.new_tensor(self._reading_times) * force.double().square().mean().sqrt()
        return bool((after <= 1.001 * (before + added)).all())

    def _rough_vorticity(self, a: torch.Tensor) -> torch.Tensor:
        """Return `_vorticity` approximately, see `surrogate`."""
        grid = self.grid_of(a)
        # A wave of k periods per length decays by exp(-4π²k²νt); past a factor of 1e-4 little of
        # it is left at t. Dealiasing removes a third.
        first = self._reading_times[0]
        spread = max(4 * math.pi**2 * self.viscosity * first, 1e-300)  # the product underflows
        k = math.sqrt(math.log(1e4) / spread)
        ny, nx = (
            min(n, max(16, 4 * math.ceil(3 * k * length / 4)))
            for n, length in zip(grid.shape, self.domain.lengths[::-1], strict=True)
        )
        coarse = grid.resized(ny, nx)
        start = fourier_resample(a, coarse.shape).to(torch.float32)
        force = self._force(grid, a)
        if self.forcing is None or self.forcing.resolved:
            rough = self._force(coarse, start)
        else:
            rough = fourier_resample(force, coarse.shape).to(torch.float32)
        legs = self._legs(coarse, self.dt if coarse == grid else 2 * self.dt)
        w = flow_through(start, coarse, self.viscosity, rough, legs).to(a.dtype)
        w = fourier_resample(w, grid.shape)
        if not self._stable(a, w, force):
            exact = self._flow(a, grid, force)
            if self._stable(a, exact, force):
                return exact
        return w

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return u - solve(a), the only residual that a pair of snapshots determines."""
        return u - self.solve(a)

    @property
    def sources(self) -> tuple[Distributed, ...]:
        """The forcing as a quantity over the domain, which limits the symmetries."""
        return () if self.forcing is None else (self.forcing.over(self.domain),)
