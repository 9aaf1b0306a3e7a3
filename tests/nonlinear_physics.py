"""Strongly nonlinear PDEs of one's own: each is a class that the package's registry lacks."""

import math
from dataclasses import dataclass
from functools import cache

import torch

from pdeinv.coefficients import GaussianField
from pdeinv.datasets import PDE
from pdeinv.errors import NumericalError
from pdeinv.fields import Field

TRIED = 50  # of Newton's steps at most


class _Own(PDE):
    coefficient_field = Field("input", "input a")
    solution_field = Field("output", "output u")

    def residual(self, a, u):
        return u - self.solve(a)


@dataclass(frozen=True, eq=False)
class AllenCahn(_Own):
    """u_t = ε² Δu + u - u³, periodic, u(0) = a: phases separate, and their interfaces sharpen.

    Strang splitting; both parts are solved exactly.
    """

    epsilon: float = 0.05
    time: float = 4.0
    steps: int = 16

    name = "allen-cahn"
    equation = "u_t = ε² Δu + u - u³, periodic, u(0) = a"
    grid_kind = "periodic"

    @property
    def default_prior(self):
        return GaussianField(0.0, 0.7, length=0.2, smoothness=2.5)

    def solve(self, a):
        dt, (ny, nx) = self.time / self.steps, a.shape[-2:]
        ky, kx = (2 * math.pi * torch.fft.fftfreq(n, 1 / n, dtype=a.dtype) for n in (ny, nx))
        squared = ky[:, None] ** 2 + kx[: nx // 2 + 1] ** 2
        half = torch.exp(-0.5 * dt * self.epsilon**2 * squared)
        u, growth = a, math.exp(dt)
        for _ in range(self.steps):
            u = torch.fft.irfft2(half * torch.fft.rfft2(u), s=(ny, nx))
            u = growth * u / (1 + u**2 * (growth**2 - 1)).sqrt()
            u = torch.fft.irfft2(half * torch.fft.rfft2(u), s=(ny, nx))
        return u


@dataclass(frozen=True, eq=False)
class Reaction(_Own):
    """-Δu + strength u³ = a, u = 0 on the boundary, by Newton's method.

    The last step alone is differentiated, which is the implicit function theorem.
    """

    strength: float = 50.0

    name = "reaction"
    equation = "-Δu + strength u³ = a, u = 0 on the boundary"

    @property
    def default_prior(self):
        return GaussianField(0.0, 50.0, length=0.3, smoothness=2.5)

    def solve(self, a):
        ny, nx = a.shape[-2:]
        minus_laplacian = _minus_laplacian(ny, nx).to(a)
        load = a[:, 0, 1:-1, 1:-1].flatten(1)
        with torch.no_grad():
            u = torch.zeros_like(load)
            for _ in range(TRIED):
                step = self._step(minus_laplacian, u, load)
                u = u + step
                if float(step.abs().max()) < 1e-11 * (1 + float(u.abs().max())):
                    break
            else:
                raise NumericalError("Newton's method must converge, and has not; use a smaller a")
        u = u + self._step(minus_laplacian, u, load)
        inside = u.unflatten(1, (1, ny - 2, nx - 2))
        return torch.nn.functional.pad(inside, (1, 1, 1, 1))

    def _step(self, minus_laplacian, u, load):
        residual = load - u @ minus_laplacian - self.strength * u**3
        matrix = minus_laplacian + torch.diag_embed(3 * self.strength * u**2)
        return torch.linalg.solve(matrix, residual)


@cache
def _minus_laplacian(ny, nx):
    one_y, one_x = (
        (n - 1) ** 2
        * (
            2 * torch.eye(n - 2, dtype=torch.float64)
            - torch.diag(torch.ones(n - 3, dtype=torch.float64), 1)
            - torch.diag(torch.ones(n - 3, dtype=torch.float64), -1)
        )
        for n in (ny, nx)
    )
    eye_y, eye_x = (torch.eye(n - 2, dtype=torch.float64) for n in (ny, nx))
    return torch.kron(one_y, eye_x) + torch.kron(eye_y, one_x)


@dataclass(frozen=True, eq=False)
class Stiff(AllenCahn):
    """The same by explicit Euler steps, which are unstable for large coefficients."""

    time: float = 1.0
    steps: int = 6

    name = "stiff"
    equation = "u_t = ε² Δu + u - u³, periodic, u(0) = a, by explicit steps"

    @property
    def default_prior(self):
        return GaussianField(0.0, 1.0, length=0.2, smoothness=2.5)

    def solve(self, a):
        dt, (ny, nx) = self.time / self.steps, a.shape[-2:]
        u = a
        for _ in range(self.steps):
            laplacian = -4 * (ny * nx) * u
            for shift, axis in ((1, -1), (-1, -1), (1, -2), (-1, -2)):
                laplacian = laplacian + (ny * nx) * u.roll(shift, axis)
            u = u + dt * (self.epsilon**2 * laplacian + u - u**3)
            if not bool((u.abs() < 3).all()):
                raise NumericalError("steps must be stable, and are not; use more steps")
        return u
