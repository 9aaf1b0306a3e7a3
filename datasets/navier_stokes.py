"""Two-dimensional incompressible Navier–Stokes on the torus, in vorticity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch

from pdeinv.checks import Positive
from pdeinv.datasets.base import PDE
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.registry import register
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Field, Grid
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import torus_group
from pdeinv.transforms import fourier_coefficients, fourier_resample, fourier_synthesis, wavenumbers

__all__ = ["NavierStokes"]

_LONGEST = 3600.0  # seconds of a solve
_COUNTLESS = 1e15  # time steps; a larger quotient may be infinite


@register
@dataclass(frozen=True)
class NavierStokes(PDE):
    """∂w/∂t + v·∇w = ν Δw + f on the torus [0, 1)²; coefficient w(0), solution w(T).

    v = (∂ψ/∂y, -∂ψ/∂x) with -Δψ = w, and f = forcing · (sin 2π(x+y) + cos 2π(x+y)). The scheme is
    pseudo-spectral with 2/3 dealiasing. It integrates the viscous term exactly, and the rest by the
    classical fourth-order Runge–Kutta scheme.

    Arguments:
        viscosity: ν, positive.
        time: T, positive.
        forcing: amplitude of f; 0 restores the full symmetry of the torus.
        alpha, tau, modes: parameters of the periodic `GaussianRandomField` of w(0).
        dt: time step at up to 128 nodes per side; finer grids shorten it in proportion, for
            stability.

    Reference:
        Li et al., *Fourier neural operator*, ICLR 2021, appendix A.3.3 (arXiv 2010.08895).
    """

    viscosity: Positive = 1e-3
    time: Positive = 1.0
    forcing: float = 0.1
    alpha: float = 2.5
    tau: float = 7.0
    modes: int = 128
    dt: Positive = 0.1

    name = "navier-stokes"
    equation = "∂w/∂t + v·∇w = ν Δw + f, periodic"
    coefficient_field = Field("initial_vorticity", "initial vorticity w(0)", kind="pseudo-scalar")
    solution_field = Field("final_vorticity", "final vorticity w(T)", kind="pseudo-scalar")
    grid_kind = "periodic"
    operator_symmetries = torus_group()
    matlab_names = ("a", "u")
    numerical_parameters = ("dt",)

    @cached_property
    def latent_prior(self) -> GaussianRandomField:
        return GaussianRandomField("periodic", self.alpha, self.tau, self.modes)

    def steps(self, n: int) -> int:
        """Return the number of time steps on a grid of n nodes per side."""
        steps = self.time / (self.dt * min(1.0, 128 / n))
        return max(1, math.ceil(min(steps, _COUNTLESS) - 1e-9))

    def solve_seconds(self, grid: Grid) -> float:
        # Four evaluations of the tendency: the calls, and the transforms of a few fields
        return self.steps(max(grid.shape)) * (4e-4 + 4e-7 * grid.nodes)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        if (seconds := self.solve_seconds(grid)) > _LONGEST:
            steps = self.steps(max(grid.shape))
            raise InputError(
                f"time / dt must be smaller, got {self.time:g} / {self.dt:g}: {steps} steps on "
                f"{grid} nodes take about {seconds / 3600:.3g} hours; change "
                f"time or dt"
            )
        u = self._flow(a)
        if not self._stable(a, u):
            highest = float(a.detach().abs().max())
            raise NumericalError(
                f"Navier–Stokes with dt = {self.dt} is unstable for an initial vorticity of up to "
                f"{highest:.3g} "
                f"and a forcing of {self.forcing}; use a smaller dt"
            )
        return u

    def _flow(self, a: torch.Tensor) -> torch.Tensor:
        """Return w(T) for w(0) = a, without a check of its stability."""
        n = a.shape[-1]
        operators = _operators(
            n, self.viscosity, self.forcing, self.time / self.steps(n), a.dtype, a.device
        )
        batch = max(1, 8 * 128**2 // n**2)  # larger batches fall out of the cache and run slower
        return torch.cat([_integrate(w, operators, self.steps(n)) for w in a.split(batch)])

    def _stable(self, a: torch.Tensor, u: torch.Tensor) -> bool:
        """Return whether the root mean square vorticity has grown by no more than the forcing adds.

        Stirring conserves it and viscosity lowers it; an unstable scheme raises it.
        """
        before, after = (w.detach().square().mean(dim=(-1, -2, -3)).sqrt() for w in (a, u))
        return bool((after <= 1.001 * (before + self.time * abs(self.forcing))).all())

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return a flow in single precision, with twice the time step, on a coarser grid.

        The grid just resolves what viscosity leaves at T. Where that is unstable and `solve` is
        not, the result is that of `solve`.
        """
        n = a.shape[-1]
        # Wavenumber k decays by exp(-4π²k²νT); past a factor of 1e-4 little of it reaches w(T).
        # Dealiasing removes a third.
        spread = max(4 * math.pi**2 * self.viscosity * self.time, 1e-300)  # the product underflows
        k = math.sqrt(math.log(1e4) / spread)
        coarse = min(n, max(16, 4 * math.ceil(3 * k / 4)))
        dt = 2 * self.dt
        steps = max(1, math.ceil(min(self.time / dt, _COUNTLESS) - 1e-9))
        operators = _operators(
            coarse, self.viscosity, self.forcing, self.time / steps, torch.float32, a.device
        )
        w = _integrate(fourier_resample(a, (coarse, coarse)).to(torch.float32), operators, steps)
        u = fourier_resample(w.to(a.dtype), (n, n))
        if not self._stable(a, u):
            exact = self._flow(a)
            if self._stable(a, exact):
                return exact
        return u

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return u - solve(a), the only residual that a pair of snapshots determines."""
        return u - self.solve(a)

    @property
    def sources(self) -> tuple[Distributed, ...]:
        return (Distributed(self._force),) if self.forcing else ()

    def _force(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        phase = 2 * np.pi * (x + y)
        return self.forcing * (np.sin(phase) + np.cos(phase))


class _Operators(NamedTuple):
    """Constants of a time step, in the half plane of the real Fourier transform."""

    n: int
    dt: float
    from_vorticity: torch.Tensor
    dealias: torch.Tensor
    force: torch.Tensor
    decay: torch.Tensor


def _operators(
    n: int,
    viscosity: float,
    forcing: float,
    dt: float,
    dtype: torch.dtype,
    device: torch.device,
) -> _Operators:
    ky, kx = wavenumbers((n, n), dtype=dtype, device=device)
    square = (2 * torch.pi) ** 2 * (kx**2 + ky**2)
    inverse = torch.where(square > 0, 1 / torch.where(square > 0, square, 1.0), 0.0)
    dealias = ((kx.abs() < n / 3) & (ky.abs() < n / 3)).to(dtype)
    d_dx, d_dy = 2j * torch.pi * kx * dealias, 2j * torch.pi * ky * dealias
    from_vorticity = torch.stack(
        [(d_dy * inverse), (-d_dx * inverse), d_dx + 0 * d_dy, d_dy + 0 * d_dx]
    )
    s = torch.arange(n, dtype=dtype, device=device) / n
    phase = 2 * torch.pi * (s[:, None] + s[None, :])
    force = fourier_coefficients(forcing * (torch.sin(phase) + torch.cos(phase)))
    return _Operators(
        n, dt, from_vorticity, dealias, force, torch.exp(-0.5 * viscosity * dt * square)
    )


def _integrate(w: torch.Tensor, operators: _Operators, steps: int) -> torch.Tensor:
    n, dt, from_vorticity, dealias, force, decay = operators

    def tendency(c: torch.Tensor) -> torch.Tensor:
        vx, vy, wx, wy = fourier_synthesis(c * from_vorticity, (n, n)).unbind(dim=1)
        return force - dealias * fourier_coefficients(vx * wx + vy * wy).unsqueeze(1)

    c = fourier_coefficients(w)
    for _ in range(steps):
        k1 = tendency(c)
        half = decay * c
        k2 = tendency(half + 0.5 * dt * decay * k1)
        k3 = tendency(half + 0.5 * dt * k2)
        k4 = tendency(decay * (half + dt * k3))
        c = decay * (half + dt / 6 * (decay * k1 + 2 * (k2 + k3))) + dt / 6 * k4
    return fourier_synthesis(c, (n, n))
