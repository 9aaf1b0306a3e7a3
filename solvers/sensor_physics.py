"""The map from a coefficient to the readings, with the methods of a `deepinv.physics.Physics`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from pdeinv.checks import described
from pdeinv.datasets import PDE, Problem
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.sensors import Sensors
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.stated_problem import physics_read, resolve_problem

if TYPE_CHECKING:
    from typing import IO

    from pdeinv.sensors.noise_levels import NoiseLevels
    from pdeinv.sensors.sources import SensorTable

__all__ = ["SensorPhysics"]


class SensorPhysics(torch.nn.Module):
    """A(x): the readings that the sensors would give of a coefficient, for methods of deepinv.

    It has the methods that deepinv's data fidelities and optimisers use, and needs no deepinv. The
    readings themselves are `y`, and the standard deviations of their noise are `noise_std`.
    Gradients go through the solver of the PDE. Computation is in double precision; results have the
    type of what is given.

    Arguments:
        sensors: the table, as of `pdeinv.reconstruct`.
        pde: the physics or its name, or `problem` in its place.
        problem: the problem or its file; its prior is not used.
        noise: where the table has none, as of `pdeinv.reconstruct`.
        grid: of the coefficients, a `Grid` or nodes on the shorter side; that of the problem, or
            64, if None.

    Raises:
        InputError: the table, the physics or the grid is wrong, or readings are censored or have a
            noise that is not known or is shared.

    Reference:
        Tachella et al., *DeepInverse: A Python package for solving imaging inverse problems with
        deep learning*, J. Open Source Softw. 10, 2025.

    Example:
        >>> import torch
        >>> from pdeinv.solvers import SensorPhysics
        >>> table = {"field": ["potential"], "x": [0.3], "y": [0.4], "value": [0.1]}
        >>> physics = SensorPhysics(table, "poisson", noise=1e-3, grid=16)
        >>> physics.A_adjoint(physics.A(torch.ones(2, 1, 16, 16))).shape
        torch.Size([2, 1, 16, 16])
    """

    y: torch.Tensor
    noise_std: torch.Tensor

    def __init__(
        self,
        sensors: Sensors | str | os.PathLike | IO | SensorTable,
        pde: str | PDE | None = None,
        *,
        problem: Problem | str | os.PathLike | None = None,
        noise: NoiseLevels | None = None,
        grid: int | Grid | None = None,
    ) -> None:
        super().__init__()
        posed = resolve_problem(pde, problem, None, None)
        table = Sensors.read(sensors)
        physics, nodes = physics_read(table, posed, grid, 1)
        found = table.observation(physics, nodes, noise=noise, instruments=posed.instruments)
        plain = found.censored is None or not bool(found.censored.any())
        known = not found.unknown_noise and (found.common is None or not found.common.shape[1])
        if not plain or not known:
            wrong = "a noise that is unknown or shared" if plain else "censored readings"
            raise InputError(
                f"the readings of a SensorPhysics must be plain ones of a known noise, got "
                f"{wrong}; leave these out, or use pdeinv.reconstruct"
            )
        self.grid, self._map = nodes, ForwardMap(physics, found)
        self.register_buffer("y", found.values[None].double())
        self.register_buffer("noise_std", found.noise_std.double())

    @property
    def linear(self) -> bool:
        """Whether A is linear, up to what A gives of a coefficient of 0."""
        return self._map.linear

    def A(self, x: torch.Tensor) -> torch.Tensor:
        """Return the readings of coefficients, without noise; differentiable.

        Arguments:
            x: (batch, 1, ny, nx), in physical units.

        Returns:
            (batch, m).

        Raises:
            InputError: the shape is another.
        """
        if x.ndim != 4 or x.shape[1:] != (1, *self.grid.shape):
            raise InputError(
                f"coefficients of a SensorPhysics must be (batch, 1, {self.grid.ny}, "
                f"{self.grid.nx}), got {described(tuple(x.shape))}; give one channel on its grid"
            )
        return self._map(x.double()).to(x.dtype)

    def A_vjp(self, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Return the products of the transposed Jacobian with vectors of readings.

        Arguments:
            x: the coefficients at which the Jacobian is, (batch, 1, ny, nx).
            v: (batch, m).

        Returns:
            (batch, 1, ny, nx).
        """
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (found,) = torch.autograd.grad(self.A(leaf), leaf, v.to(x.dtype))
        return found

    def A_adjoint(self, y: torch.Tensor) -> torch.Tensor:
        """Return the adjoint of a linear A, applied to vectors of readings.

        Where A of 0 is not 0, as with sources or values on the sides, it is that of A(x) - A(0).

        Arguments:
            y: (batch, m).

        Returns:
            (batch, 1, ny, nx): the transposed matrix times y, without weights of a quadrature.

        Raises:
            InputError: A is not linear.
        """
        if not self.linear:
            raise InputError(
                f"A of a SensorPhysics must be linear to have an adjoint, got the physics "
                f"{self._map.pde.name}; use A_vjp(x, v) at a coefficient x"
            )
        zero = y.new_zeros(len(y), 1, *self.grid.shape)
        return self.A_vjp(zero, y)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return readings of coefficients with noise, drawn by torch's own generator."""
        clean = self.A(x)
        return clean + self.noise_std.to(clean) * torch.randn_like(clean)
