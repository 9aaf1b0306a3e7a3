"""Two-dimensional incompressible Navier–Stokes on a torus, in vorticity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pdeinv.checks import Positive
from pdeinv.coefficients import SpectralField
from pdeinv.datasets.base import PDE
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.forcing import Forcing
from pdeinv.datasets.registry import register
from pdeinv.datasets.vorticity_flow import VorticityFlow, velocity
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
class NavierStokes(PDE):
    """∂w/∂t + v·∇w = ν Δw + f on a torus; coefficient w(0), solution w(T).

    The torus is the domain with opposite sides joined. The velocity v = (∂ψ/∂y, -∂ψ/∂x) with
    -Δψ = w has no mean. The scheme is pseudo-spectral with 2/3 dealiasing. It integrates the
    viscous term exactly, and the rest by the classical fourth-order Runge–Kutta scheme.

    The components `velocity_x` and `velocity_y` of the velocity at time T can be read too; see
    `reading`. The published problem is forced: `pde_by_name("navier-stokes")`.

    Arguments:
        viscosity: ν, positive, in squared units of length over units of time.
        time: T, positive.
        forcing: f, without a mean: None; an amplitude A, for A (sin 2π(x+y) + cos 2π(x+y)) with x
            and y in shares of the sides; or an array [y, x] or a function f(x, y), as in
            `Distributed`.
        dt: time step at up to 128 nodes per side; finer grids shorten it in proportion, for
            stability.
        domain: the rectangle.
        outputs: of `velocity_x` and `velocity_y`, both or none.

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
    grid_kind = "periodic"
    operator_symmetries = torus_group()
    matlab_names = ("a", "u")
    numerical_parameters = ("dt",)
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

    def steps(self, grid: Grid) -> int:
        """Return the number of time steps on a grid of the domain."""
        return self._steps(grid, self.dt)

    def _steps(self, grid: Grid, dt: float) -> int:
        # The fastest flow is that of the longest wave: the longer side and the shorter spacing
        # count
        lengths = grid.domain.lengths[::-1]
        n = max(
            nodes * max(lengths) / side for nodes, side in zip(grid.shape, lengths, strict=True)
        )
        steps = self.time / (dt * min(1.0, 128 / n))
        return max(1, math.ceil(min(steps, _COUNTLESS) - 1e-9))

    def solve_seconds(self, grid: Grid) -> float:
        # Four evaluations of the tendency: the calls, and the transforms of a few fields
        return self.steps(grid) * (4e-4 + 4e-7 * grid.nodes)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        if (seconds := self.solve_seconds(grid)) > _LONGEST:
            raise InputError(
                f"time / dt must be smaller, got {self.time:g} / {self.dt:g}: {self.steps(grid)} "
                f"steps on {grid} nodes take about {seconds / 3600:.3g} hours; change time or dt"
            )
        force = self._force(grid, a)
        u = self._flow(a, grid, force)
        if not self._stable(a, u, force):
            highest = float(a.detach().abs().max())
            forced = f" and a forcing of {self.forcing.phrase}" if self.forcing else ""
            raise NumericalError(
                f"Navier–Stokes with dt = {self.dt} is unstable for an initial vorticity of up to "
                f"{highest:.3g}{forced}; use a smaller dt"
            )
        return u

    def _force(self, grid: Grid, like: torch.Tensor) -> torch.Tensor:
        """Return the forcing on a grid, (ny, nx)."""
        if self.forcing is None:
            return like.new_zeros(grid.shape)
        return self.forcing.on(grid, like.dtype, like.device)

    def _flow(self, a: torch.Tensor, grid: Grid, force: torch.Tensor) -> torch.Tensor:
        """Return w(T) for w(0) = a, without a check of its stability."""
        steps = self.steps(grid)
        flow = VorticityFlow.on(grid, self.viscosity, force, self.time / steps)
        batch = max(1, 8 * 128**2 // grid.nodes)  # larger ones fall out of the cache, run slower
        return torch.cat([flow.integrate(w, steps) for w in a.split(batch)])

    def _stable(self, a: torch.Tensor, u: torch.Tensor, force: torch.Tensor) -> bool:
        """Return whether the root mean square vorticity has grown by no more than the forcing adds.

        Stirring conserves it and viscosity lowers it; an unstable scheme raises it.
        """
        before, after = (w.detach().square().mean(dim=(-1, -2, -3)).sqrt() for w in (a, u))
        added = self.time * float(force.double().square().mean().sqrt())
        return bool((after <= 1.001 * (before + added)).all())

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return a flow in single precision, with twice the time step, on a coarser grid.

        The grid just resolves what viscosity leaves at T. Where that is unstable and `solve` is
        not, the result is that of `solve`.
        """
        grid = self.grid_of(a)
        # A wave of k periods per length decays by exp(-4π²k²νT); past a factor of 1e-4 little of
        # it reaches w(T). Dealiasing removes a third.
        spread = max(4 * math.pi**2 * self.viscosity * self.time, 1e-300)  # the product underflows
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
        steps = self._steps(coarse, 2 * self.dt)
        flow = VorticityFlow.on(coarse, self.viscosity, rough, self.time / steps)
        u = fourier_resample(flow.integrate(start, steps).to(a.dtype), grid.shape)
        if not self._stable(a, u, force):
            exact = self._flow(a, grid, force)
            if self._stable(a, exact, force):
                return exact
        return u

    @property
    def derived(self) -> tuple[Field, ...]:
        unit = self.domain.unit  # of a length times a vorticity
        return (
            Field("velocity_x", "velocity along x at time T", unit, kind="vector-x"),
            Field("velocity_y", "velocity along y at time T", unit, kind="vector-y"),
        )

    def derive(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        chosen = [i for i, field in enumerate(self.derived) if field.name in self.outputs]
        return velocity(u, self.grid_of(u))[:, chosen]

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return u - solve(a), the only residual that a pair of snapshots determines."""
        return u - self.solve(a)

    @property
    def sources(self) -> tuple[Distributed, ...]:
        """The forcing as a quantity over the domain, which limits the symmetries."""
        return () if self.forcing is None else (self.forcing.over(self.domain),)
