"""The map from a latent Gaussian field to the readings of the sensors."""

from __future__ import annotations

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap, TensorMap
from pdeinv.solvers.pull_back import PullBack

__all__ = ["LatentMap"]

_FAR = 2.0**20  # steps of an affine map, compared with which its value at the origin is small


class LatentMap(ForwardMap):
    """F of the coefficient that a problem's prior makes of its latent field.

    A draw ξ of the latent field is standard normal a priori, and has its `shape`.

    Arguments:
        problem: the physics and the prior.
        observation, counts: as of `ForwardMap`.
    """

    def __init__(
        self, problem: Problem, observation: Observation, counts: dict[str, int] | None = None
    ):
        super().__init__(problem.physics, observation, counts)
        self.problem = problem
        self.linear = self.linear and problem.affine
        """Whether F is affine in ξ."""

    def observing(self, observation: Observation) -> LatentMap:
        """Return the map to other readings; it shares the count."""
        return LatentMap(self.problem, observation, self.counts)

    def with_problem(self, problem: Problem) -> LatentMap:
        """Return the map of another problem to the same readings; it shares the count."""
        return LatentMap(problem, self.observation, self.counts)

    def coefficient(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of tables ξ."""
        return self.problem.coefficient(self.problem.latent.square_root(xi, self.grid))

    def state(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the states (batch, channel, ny, nx) of tables ξ; differentiable."""
        a = self.coefficient(xi)
        return torch.cat([a, self.solve(a)], dim=1)

    def linear_part(self, xi: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return what tables ξ add to the state of ξ = 0, where it is affine in them.

        Arguments:
            xi: the tables.
            origin: the state of ξ = 0, (1, channel, ny, nx).
        """
        return (self.state(_FAR * xi) - origin) / _FAR

    def origin(self) -> torch.Tensor:
        """Return the table (1, *shape) of zeros."""
        return self.observation.values.new_zeros(1, *self.problem.latent.shape)

    def draw(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n coefficients (n, 1, ny, nx) of the prior, on any grid."""
        prior = self.problem.coefficient_prior
        if not prior.has_latent:
            drawn = self.problem.sample_coefficient(n, grid, generator)
        else:
            drawn = self.problem.coefficient(self.problem.latent.sample(n, grid, generator))
        return drawn.to(self.observation.values.device)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) of the prior, on any grid."""
        a = self.draw(n, grid, generator)
        return torch.cat([a, self.solve(a)], dim=1)

    def whitened_adjoint_at(
        self, xi: torch.Tensor, coefficient: TensorMap | None = None
    ) -> PullBack:
        """Return the adjoint of the derivative of ξ -> F(coefficient(latent field of ξ)).

        Arguments:
            xi: where to differentiate, (1, *shape).
            coefficient: from the latent field to the coefficient; that of the problem if None.

        Returns:
            A function from vectors of readings (k, m) to tables (k, *shape).
        """
        with torch.enable_grad():
            leaf = xi.detach().requires_grad_()
            latent = self.problem.latent.square_root(leaf, self.grid)
            return self._pull_back(leaf, (coefficient or self.problem.coefficient)(latent))

    def whitened_jacobian(
        self, xi: torch.Tensor, coefficient: TensorMap | None = None
    ) -> torch.Tensor:
        """Return the rows (m, size) of the derivative to ξ; arguments as in
        `whitened_adjoint_at`."""
        return self.whitened_adjoint_at(xi, coefficient).rows().flatten(1)

    def latent_jacobian(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the derivatives of the readings to the latent field at the nodes, (m, ny, nx).

        Arguments:
            latent: where to differentiate, (1, 1, ny, nx).
        """
        with torch.enable_grad():
            leaf = latent.detach().requires_grad_()
            return self._pull_back(leaf, self.problem.coefficient(leaf)).rows()[:, 0]
