"""The readings of a draw of a latent Gaussian field, where solves may be unstable."""

from __future__ import annotations

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.forward import TensorMap
from pdeinv.solvers.latent_map import LatentMap

__all__ = ["WhitenedProblem"]


class WhitenedProblem:
    """The forward map of ξ, standard normal a priori, where solves may be unstable.

    Arguments:
        problem: the physics and the prior.
        observation: the sensors.
        counts: as of `ForwardMap`.

    Attributes:
        curved: whether the coefficient is no affine function of ξ. Its derivative then changes from
            one ξ to another, whatever the PDE: derivatives are those of the solve itself.
        reason: the message of the last solve that failed.
    """

    def __init__(
        self, problem: Problem, observation: Observation, counts: dict[str, int] | None = None
    ):
        self.forward, self.observation = LatentMap(problem, observation, counts), observation
        self.latent = problem.latent
        self.zero = self.latent.origin()
        self.nonlinear = not self.forward.linear
        self.curved = not problem.affine
        self.forward.exact_derivatives |= self.curved
        self.reason = ""

    def values(self, xi: torch.Tensor) -> torch.Tensor:
        """Return F for a batch of ξ, (batch, m); infinite where a solve is unstable."""
        return self._solved(self.forward, self.forward.coefficient(xi), (len(self.observation),))

    def states(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the states of a batch of ξ, (batch, channel, ny, nx); infinite where a solve is
        unstable."""
        shape = (len(self.forward.pde.fields), *self.observation.grid.shape)
        return self._solved(
            lambda a: torch.cat([a, self.forward.solve(a)], dim=1),
            self.forward.coefficient(xi),
            shape,
        )

    def _solved(self, function: TensorMap, a: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """A function of coefficients (batch, 1, ny, nx)."""
        if not len(a):
            return torch.empty(0, *shape, dtype=torch.float64)
        try:
            if self._representable(a):
                return function(a)
            self.reason = "the coefficient left the range of the numbers"
        except NumericalError as error:
            self.reason = str(error)
        if len(a) == 1:
            return torch.full((1, *shape), torch.inf, dtype=torch.float64)
        # One unstable solve ends that of the whole batch
        return torch.cat([self._solved(function, half, shape) for half in a.chunk(2)])

    def _representable(self, a: torch.Tensor) -> bool:
        """Whether coefficients are finite, and positive where they must be: a long step may lead a
        map such as the exponential out of the range of floating-point numbers."""
        lost = ~a.isfinite()
        if self.forward.pde.positive_coefficient:
            lost |= a <= 0
        return not bool(lost.any())

    def jacobian(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the rows dF_i/dξ, (m, size)."""
        return self.forward.whitened_jacobian(xi)
