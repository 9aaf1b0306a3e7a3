"""The readings of unknowns that are standard normal a priori, where solves may be unstable."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import torch

from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.forward import ForwardMap
from pdeinv.solvers.further_numbers import FurtherNumbers
from pdeinv.solvers.inner_numbers import InnerNumbers
from pdeinv.solvers.latent_map import LatentMap
from pdeinv.solvers.uncertain_numbers import UncertainNumbers
from pdeinv.solvers.unstable import solved_or_infinite

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["WhitenedProblem"]

_KINDS = (InnerNumbers, UncertainNumbers)  # of the numbers on which a problem depends
_KEPT = 8  # forward maps of the last inner numbers

_OfMap: TypeAlias = Callable[[ForwardMap, torch.Tensor], torch.Tensor]


class WhitenedProblem:
    """The forward map of ξ, standard normal a priori, where solves may be unstable.

    The unknowns ξ are rows (n, size + inner + k). The first `size` numbers are those of the
    coefficient, here the draw of its latent field. Behind them are the inner numbers z, on which
    the problem depends, such as an unknown viscosity; they come in `blocks`. The last ones are the
    biases b that readings share: F(ξ) = F(coefficient; z) + B b. What is left is independent noise.

    A subclass with another coefficient states its `size` by `_begin`, and overrides `variances`,
    `_coefficient`, `_jacobian` and `_representable`.

    Arguments:
        problem: the physics and the prior.
        observation: the sensors.
        counts: as of `ForwardMap`.

    Attributes:
        size: numbers of the coefficient in ξ.
        blocks: of the inner numbers, see `FurtherNumbers`.
        inner: how many these are.
        forward: the map with z = 0; it counts all solves.
        few: indices in ξ of the inner numbers that have a law of their own, see `FurtherNumbers`.
        held: whether derivatives to these are 0, so that steps leave them where they are.
        zero: ξ = 0, (1, size + inner + k).
        curved: whether the coefficient is no affine function of ξ. Its derivative then changes from
            one ξ to another, whatever the PDE: derivatives are those of the solve itself, as they
            are where there are inner numbers.
        reason: the message of the last solve that failed.
    """

    def __init__(
        self, problem: Problem, observation: Observation, counts: dict[str, int] | None = None
    ):
        self.problem, self.latent = problem, problem.latent
        self.map = LatentMap(problem, observation, counts)
        blocks = [block for kind in _KINDS if (block := kind.of(problem)).size]
        self._begin(self.map, self.latent.size, curved=not problem.affine, blocks=blocks)
        self.forward.exact_derivatives |= self.curved or self.inner > 0

    def _begin(
        self,
        forward: ForwardMap,
        size: int,
        curved: bool,
        blocks: Sequence[FurtherNumbers] = (),
    ) -> None:
        self.forward, self.observation = forward, forward.observation
        self.size, self.blocks = size, tuple(blocks)
        self.inner = sum(block.size for block in blocks)
        width = size + self.inner + self.observation.biases
        self.zero = self.observation.values.new_zeros(1, width)
        self.nonlinear = not (forward.linear and all(block.affine for block in blocks))
        self.curved, self.reason = curved, ""
        self.held = False
        few = [torch.full((block.size,), block.few) for block in blocks]
        self.few = size + torch.cat([torch.zeros(0), *few]).nonzero()[:, 0]
        self._maps: dict[tuple[float, ...], ForwardMap] = {}

    def white(self, n: int, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n draws of ξ, (n, size + inner + k), float64."""
        width = self.zero.shape[1]
        return torch.randn(n, width, dtype=torch.float64, generator=generator).to(self.zero)

    @property
    def variances(self) -> torch.Tensor:
        """Prior variances of what the coefficient's numbers multiply, (size,)."""
        return self.latent.eigenvalues.flatten().to(self.zero)

    @property
    def cause_variances(self) -> torch.Tensor:
        """`variances`, and behind them their largest for each inner number, (size + inner,)."""
        own = self.variances
        return torch.cat([own, own.max().expand(self.inner)]) if self.inner else own

    def own(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficient's numbers in ξ, (n, size)."""
        return xi[:, : self.size]

    def tables(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the draws of the latent field in ξ, (n, *shape)."""
        return self.own(xi).unflatten(1, self.latent.shape)

    def numbers(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the inner numbers z in ξ, (n, inner)."""
        return xi[:, self.size : self.size + self.inner]

    def causes(self, xi: torch.Tensor) -> torch.Tensor:
        """Return all numbers in ξ but the biases, (n, size + inner)."""
        return xi[:, : self.size + self.inner]

    def biases(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the biases b in ξ, (n, k)."""
        return xi[:, self.size + self.inner :]

    def only_few(self, xi: torch.Tensor) -> torch.Tensor:
        """Return ξ with all numbers 0 but the `few`."""
        found = torch.zeros_like(xi)
        found[:, self.few] = xi[:, self.few]
        return found

    def holding(self) -> Self:
        """Return the problem with the `few` held; it shares the count."""
        other = copy.copy(self)
        other.held = True
        return other

    def by_block(self, numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the inner numbers (..., inner) of each block."""
        return numbers.split([block.size for block in self.blocks], dim=-1)

    def forward_at(self, z: torch.Tensor) -> ForwardMap:
        """Return the forward map with the inner numbers z, (inner,); it shares the count.

        Raises:
            NumericalError: the problem is not defined there.
        """
        if not self.inner:
            return self.forward
        key = tuple(z.tolist())
        if key not in self._maps:
            problem = self.problem
            try:
                for block, of_block in zip(self.blocks, self.by_block(z), strict=True):
                    problem = block.at(problem, of_block)
            except InputError as error:
                raise NumericalError(str(error)) from None
            if len(self._maps) >= _KEPT:
                del self._maps[next(iter(self._maps))]
            self._maps[key] = LatentMap(problem, self.observation, self.forward.counts)
        found = self._maps[key]
        found.exact_derivatives = self.forward.exact_derivatives
        return found

    def coefficient(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of a batch of ξ, (batch, 1, ny, nx)."""
        return self._of_rows(xi, (1, *self.observation.grid.shape), lambda forward, a: a)

    def _coefficient(self, own: torch.Tensor, forward: ForwardMap) -> torch.Tensor:
        """The coefficients of their own numbers (batch, size), of the problem of a map."""
        assert isinstance(forward, LatentMap)
        return forward.coefficient(own.unflatten(1, self.latent.shape))

    def values(self, xi: torch.Tensor) -> torch.Tensor:
        """Return F for a batch of ξ, (batch, m); infinite where a solve is unstable."""
        values = self._solved(xi, (len(self.observation),), lambda forward, a: forward(a))
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
        return self._solved(xi, shape, lambda forward, a: torch.cat([a, forward.solve(a)], dim=1))

    def _solved(self, xi: torch.Tensor, shape: tuple[int, ...], function: _OfMap) -> torch.Tensor:
        """A function of forward maps and coefficients, infinite where it fails."""

        def checked(forward: ForwardMap, a: torch.Tensor) -> torch.Tensor:
            def of_part(part: torch.Tensor) -> torch.Tensor:
                if not self._representable(part):
                    raise NumericalError("the coefficient left the range of the numbers")
                return function(forward, part)

            values, reason = solved_or_infinite(of_part, a, shape)
            self.reason = reason or self.reason
            return values

        return self._of_rows(xi, shape, checked)

    def _of_rows(self, xi: torch.Tensor, shape: tuple[int, ...], function: _OfMap) -> torch.Tensor:
        """A function of forward maps and coefficients (batch, 1, ny, nx), with rows of equal z at a
        time; infinite where the problem is not defined at z."""
        if not self.inner:
            return function(self.forward, self._coefficient(self.own(xi), self.forward))
        found = xi.new_full((len(xi), *shape), torch.inf)
        for z, rows in _equal_rows(self.numbers(xi)):
            try:
                forward = self.forward_at(z)
            except NumericalError as error:
                self.reason = str(error)
                continue
            found[rows] = function(forward, self._coefficient(self.own(xi[rows]), forward))
        return found

    def _representable(self, a: torch.Tensor) -> bool:
        """Whether coefficients are finite, and positive where they must be: a long step may lead a
        map such as the exponential out of the range of floating-point numbers."""
        lost = ~a.isfinite()
        if self.forward.pde.positive_coefficient:
            lost |= a <= 0
        return not bool(lost.any())

    def jacobian(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the rows dF_i/dξ at one ξ, (m, size + inner + k)."""
        forward = self.forward_at(self.numbers(xi)[0])
        rows = self._jacobian(self.own(xi), forward)
        if self.inner:
            rows = torch.cat([rows, self.inner_columns(xi, forward)], dim=1)
        if self.held:
            rows[:, self.few] = 0.0
        return self.augmented(rows)

    def finite_jacobian(self, xi: torch.Tensor) -> torch.Tensor | None:
        """Return `jacobian`; None where a solve is unstable, or the rows are not finite."""
        try:
            rows = self.jacobian(xi)
        except NumericalError as error:
            self.reason = str(error)
            return None
        return rows if bool(rows.sum(dim=1).isfinite().all()) else None  # without a copy

    def inner_columns(self, xi: torch.Tensor, forward: ForwardMap) -> torch.Tensor:
        """Return the derivatives of F to the inner numbers at one ξ, whose map is given,
        (m, inner)."""
        found, first = [], self.size
        a = self._coefficient(self.own(xi), forward)
        for block in self.blocks:
            span = slice(first, first + block.size)

            def readings(z: torch.Tensor, span: slice = span) -> torch.Tensor:
                at = xi.repeat(len(z), 1)
                at[:, span] = z
                return self.values(at)

            found.append(block.columns(readings, xi[0, span], forward, a))
            first = span.stop
        return torch.cat(found, dim=1)

    def augmented(self, rows: torch.Tensor) -> torch.Tensor:
        """Return derivatives to all numbers but the biases (m, size + inner) with those to the
        biases, (m, size + inner + k)."""
        common = self.observation.common
        return rows if common is None else torch.cat([rows, common], dim=1)

    def _jacobian(self, own: torch.Tensor, forward: ForwardMap) -> torch.Tensor:
        """The derivatives to the coefficient's numbers at (1, size), of the problem of a map."""
        assert isinstance(forward, LatentMap)
        return forward.whitened_jacobian(own.unflatten(1, self.latent.shape))


def _equal_rows(z: torch.Tensor) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield each different row of z (n, inner), and the indices of the rows that equal it."""
    different, which = torch.unique(z, dim=0, return_inverse=True)
    for i, one in enumerate(different):
        yield one, (which == i).nonzero()[:, 0]
