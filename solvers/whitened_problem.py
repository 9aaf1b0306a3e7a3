"""The readings of a draw of a latent Gaussian field, where solves may be unstable."""

from __future__ import annotations

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap, TensorMap
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.unstable import solved_or_infinite

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
        self.problem, self.latent, self.observation = problem, problem.latent, observation
        self.map = LatentMap(problem, observation, counts)
        self.forward: ForwardMap = self.map
        self.zero = self.latent.origin()
        self.nonlinear = not self.forward.linear
        self.curved = not problem.affine
        self.forward.exact_derivatives |= self.curved
        self.reason = ""

    def white(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n draws of ξ, (n, *shape), float64."""
        return self.latent.white(n, generator)

    def coefficient(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of a batch of ξ, (batch, 1, ny, nx)."""
        return self.map.coefficient(xi)

    def values(self, xi: torch.Tensor) -> torch.Tensor:
        """Return F for a batch of ξ, (batch, m); infinite where a solve is unstable."""
        return self._solved(self.forward, self.coefficient(xi), (len(self.observation),))

    def states(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the states of a batch of ξ, (batch, channel, ny, nx); infinite where a solve is
        unstable."""
        shape = (len(self.forward.pde.fields), *self.observation.grid.shape)
        return self._solved(
            lambda a: torch.cat([a, self.forward.solve(a)], dim=1),
            self.coefficient(xi),
            shape,
        )

    def _solved(self, function: TensorMap, a: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """A function of coefficients (batch, 1, ny, nx)."""

        def checked(part: torch.Tensor) -> torch.Tensor:
            if not self._representable(part):
                raise NumericalError("the coefficient left the range of the numbers")
            return function(part)

        values, reason = solved_or_infinite(checked, a, shape)
        self.reason = reason or self.reason
        return values

    def _representable(self, a: torch.Tensor) -> bool:
        """Whether coefficients are finite, and positive where they must be: a long step may lead a
        map such as the exponential out of the range of floating-point numbers."""
        lost = ~a.isfinite()
        if self.forward.pde.positive_coefficient:
            lost |= a <= 0
        return not bool(lost.any())

    def jacobian(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the rows dF_i/dξ, (m, size)."""
        return self.map.whitened_jacobian(xi)
