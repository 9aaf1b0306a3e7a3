"""The readings of unknowns that are standard normal a priori, where solves may be unstable."""

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

    The unknowns ξ are rows (n, size + further). The first `size` numbers are those of the
    coefficient, here the draw of its latent field. The further ones are the biases b that readings
    share: F(ξ) = F(coefficient) + B b. What is left is independent noise.

    A subclass with another coefficient states its `size` by `_begin`, and overrides `variances`,
    `_coefficient`, `_jacobian` and `_representable`.

    Arguments:
        problem: the physics and the prior.
        observation: the sensors.
        counts: as of `ForwardMap`.

    Attributes:
        size: numbers of the coefficient in ξ.
        further: other numbers in ξ, behind these.
        zero: ξ = 0, (1, size + further).
        curved: whether the coefficient is no affine function of ξ. Its derivative then changes from
            one ξ to another, whatever the PDE: derivatives are those of the solve itself.
        reason: the message of the last solve that failed.
    """

    def __init__(
        self, problem: Problem, observation: Observation, counts: dict[str, int] | None = None
    ):
        self.problem, self.latent = problem, problem.latent
        self.map = LatentMap(problem, observation, counts)
        self._begin(self.map, self.latent.size, curved=not problem.affine)
        self.forward.exact_derivatives |= self.curved

    def _begin(self, forward: ForwardMap, size: int, curved: bool) -> None:
        self.forward, self.observation = forward, forward.observation
        self.size, self.further = size, self.observation.biases
        self.zero = torch.zeros(1, size + self.further, dtype=torch.float64)
        self.nonlinear, self.curved, self.reason = not forward.linear, curved, ""

    def white(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n draws of ξ, (n, size + further), float64."""
        return torch.randn(n, self.zero.shape[1], dtype=torch.float64, generator=generator)

    @property
    def variances(self) -> torch.Tensor:
        """Prior variances of what the coefficient's numbers multiply, (size,)."""
        return self.latent.eigenvalues.flatten()

    def own(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficient's numbers in ξ, (n, size)."""
        return xi[:, : self.size]

    def tables(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the draws of the latent field in ξ, (n, *shape)."""
        return self.own(xi).unflatten(1, self.latent.shape)

    def biases(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the biases b in ξ, (n, k)."""
        return xi[:, self.size :]

    def coefficient(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of a batch of ξ, (batch, 1, ny, nx)."""
        return self._coefficient(self.own(xi))

    def _coefficient(self, own: torch.Tensor) -> torch.Tensor:
        """The coefficients of their own numbers (batch, size)."""
        return self.map.coefficient(self.tables(own))

    def values(self, xi: torch.Tensor) -> torch.Tensor:
        """Return F for a batch of ξ, (batch, m); infinite where a solve is unstable."""
        values = self._solved(self.forward, self.coefficient(xi), (len(self.observation),))
        return self.biased(values, xi)

    def biased(self, values: torch.Tensor, xi: torch.Tensor) -> torch.Tensor:
        """Return readings without biases (batch, m) with those of ξ."""
        common = self.observation.common
        return values if common is None else values + self.biases(xi) @ common.T

    def unbiased(self, values: torch.Tensor, xi: torch.Tensor) -> torch.Tensor:
        """Return readings (batch, m) without the biases of ξ."""
        return values - self.biased(torch.zeros_like(values), xi)

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
        """Return the rows dF_i/dξ at one ξ, (m, size + further)."""
        return self.augmented(self._jacobian(self.own(xi)))

    def augmented(self, rows: torch.Tensor) -> torch.Tensor:
        """Return derivatives to the coefficient's numbers (m, size) with those to the further ones,
        (m, size + further)."""
        common = self.observation.common
        return rows if common is None else torch.cat([rows, common], dim=1)

    def _jacobian(self, own: torch.Tensor) -> torch.Tensor:
        """The derivatives to the coefficient's numbers, at (1, size)."""
        return self.map.whitened_jacobian(self.tables(own))
