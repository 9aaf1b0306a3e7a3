"""A pseudo-spectral scheme for the vorticity of a plane flow on a rectangular torus."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from pdeinv.grid import Grid
from pdeinv.transforms import fourier_coefficients, fourier_synthesis, wavenumbers

__all__ = ["VorticityFlow", "flow_through", "velocity"]


class VorticityFlow(NamedTuple):
    """Constants of a time step, in the half plane of the real Fourier transform.

    Attributes:
        shape: (ny, nx).
        dt: length of the step.
        from_vorticity: to the dealiased velocity and gradient of the vorticity, (4, ny, nx//2+1).
        dealias: 1 for the waves that the 2/3 rule keeps, else 0.
        force: Fourier coefficients of the forcing, or 0.
        decay: of each wave by viscosity, over half a step.
    """

    shape: tuple[int, int]
    dt: float
    from_vorticity: torch.Tensor
    dealias: torch.Tensor
    force: torch.Tensor
    decay: torch.Tensor

    @classmethod
    def on(cls, grid: Grid, viscosity: float, force: torch.Tensor, dt: float) -> VorticityFlow:
        """Return the constants on a grid.

        Arguments:
            grid: a periodic grid.
            viscosity: positive.
            force: (ny, nx), the forcing of the vorticity; its type and device are those of the
                flow.
            dt: length of a step.
        """
        ky, kx = wavenumbers(grid.shape, dtype=force.dtype, device=force.device)
        dealias = ((kx.abs() < grid.nx / 3) & (ky.abs() < grid.ny / 3)).to(force.dtype)
        ky, kx, square, inverse = _waves(grid, force)
        d_dx, d_dy = 2j * torch.pi * kx * dealias, 2j * torch.pi * ky * dealias
        from_vorticity = torch.stack(
            [(d_dy * inverse), (-d_dx * inverse), d_dx + 0 * d_dy, d_dy + 0 * d_dx]
        )
        decay = torch.exp(-0.5 * viscosity * dt * square)
        return cls(grid.shape, dt, from_vorticity, dealias, fourier_coefficients(force), decay)

    def integrate(self, w: torch.Tensor, steps: int) -> torch.Tensor:
        """Return the vorticity (batch, 1, ny, nx) after some steps; differentiable.

        Viscosity acts exactly, the rest by the classical fourth-order Runge–Kutta scheme.
        """
        dt, decay = self.dt, self.decay
        c = fourier_coefficients(w)
        for _ in range(steps):
            k1 = self._tendency(c)
            half = decay * c
            k2 = self._tendency(half + 0.5 * dt * decay * k1)
            k3 = self._tendency(half + 0.5 * dt * k2)
            k4 = self._tendency(decay * (half + dt * k3))
            c = decay * (half + dt / 6 * (decay * k1 + 2 * (k2 + k3))) + dt / 6 * k4
        return fourier_synthesis(c, self.shape)

    def _tendency(self, c: torch.Tensor) -> torch.Tensor:
        fields = fourier_synthesis(c * self.from_vorticity, self.shape)
        vx, vy, wx, wy = fields.unbind(dim=1)
        return self.force - self.dealias * fourier_coefficients(vx * wx + vy * wy).unsqueeze(1)


def flow_through(
    w: torch.Tensor,
    grid: Grid,
    viscosity: float,
    force: torch.Tensor,
    legs: Iterable[tuple[float, int]],
) -> torch.Tensor:
    """Return the vorticity at the end of each leg of an integration, (batch, legs, ny, nx).

    Arguments:
        w: (batch, 1, ny, nx), the vorticity at the start; differentiable.
        grid, viscosity, force: as of `VorticityFlow.on`.
        legs: the duration of each, positive, and its number of steps.
    """
    found = []
    for duration, steps in legs:
        w = VorticityFlow.on(grid, viscosity, force, duration / steps).integrate(w, steps)
        found.append(w)
    return torch.cat(found, dim=1)


def velocity(w: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Return the velocity (∂ψ/∂y, -∂ψ/∂x) with -Δψ = w, (batch, 2, ny, nx); differentiable.

    Arguments:
        w: (batch, 1, ny, nx), the vorticity. Its mean and its waves of the Nyquist wavenumber,
            whose derivatives a grid does not determine, have no velocity.
        grid: its periodic grid.
    """
    ky, kx, _, inverse = _waves(grid, w)
    numbers = wavenumbers(grid.shape, dtype=w.dtype, device=w.device)
    resolved = [2 * k.abs() < n for k, n in zip(numbers, grid.shape, strict=True)]
    stream = inverse * (resolved[0] & resolved[1])
    operators = torch.stack([2j * torch.pi * ky * stream, -2j * torch.pi * kx * stream])
    return fourier_synthesis(fourier_coefficients(w) * operators, grid.shape)


def _waves(
    grid: Grid, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ky and kx in waves per length, the eigenvalues of -Δ, and their inverses or 0."""
    ky, kx = wavenumbers(grid.shape, dtype=like.dtype, device=like.device)
    width, height = grid.domain.lengths
    ky, kx = ky / height, kx / width
    square = (2 * torch.pi) ** 2 * (kx**2 + ky**2)
    inverse = torch.where(square > 0, 1 / torch.where(square > 0, square, 1.0), 0.0)
    return ky, kx, square, inverse
