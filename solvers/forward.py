"""The map from a coefficient to the readings of the sensors, its derivatives, and its cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import NumericalError
from pdeinv.observation import Observation
from pdeinv.solvers.batched_gradient import batched_gradient
from pdeinv.solvers.pull_back import PullBack

__all__ = ["ForwardMap", "TensorMap", "allowed", "clamped"]

TensorMap: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class ForwardMap:
    """F(a) = H (a, respond(a)): the readings that the sensors would give for a coefficient, which
    is brought to what the PDE leaves free (`PDE.restrict`).

    F needs no solve where sensors read functions of the coefficient alone. Derivatives are those of
    the PDE's `surrogate`, or of `solve` where `exact_derivatives` is set, in reverse mode: the
    adjoint costs one solve for the state and one adjoint solve for each vector. A row of the
    Jacobian takes an adjoint solve of its own experiment alone.

    Every solve is counted where it is made, one for each field and experiment: those of `solve`,
    those of `surrogate`, and the adjoint solves of reverse differentiation. Solves behind
    statistics of the prior that are computed once for a PDE and kept are not counted: those of its
    variance, and of its fields' standard deviations. Nor is a batch that ends in a NumericalError:
    its coefficients count where they are solved again, in smaller ones.

    Coefficients a are (batch, 1, ny, nx).

    Arguments:
        pde: the physics.
        observation: H, on the grid of the coefficients; readings and noise are not used.
        counts: holds the number of solves under `solver_calls`; share it to count several maps
            together.
        bounds: to which coefficients are brought before a solve, such as those within which it is
            defined.
    """

    def __init__(
        self,
        pde: PDE,
        observation: Observation,
        counts: dict[str, int] | None = None,
        bounds: tuple[float, float] | None = None,
    ):
        self.pde, self.observation, self.grid = pde, observation, observation.grid
        self.bounds = bounds
        self.counts = {} if counts is None else counts
        self.counts.setdefault("solver_calls", 0)
        self.sees_solution = bool((observation.channel >= 1).any())
        self.coefficient_channels = [c for c, f in enumerate(pde.fields) if pde.of_coefficient(f)]
        """Channels that are functions of the coefficient alone."""
        self.nodewise_channels = [c for c, f in enumerate(pde.fields) if pde.nodewise(f)]
        """Those that are so node by node."""
        self.solves = not set(observation.channel.tolist()) <= set(self.coefficient_channels)
        """Whether the readings take a solve."""
        self.linear = pde.linear or not self.sees_solution
        """Whether F is affine in the coefficient."""
        self.exact_derivatives = pde.linear
        """Whether derivatives are those of `solve`, not of `surrogate`."""

    @property
    def solver_calls(self) -> int:
        """The number of solves so far."""
        return self.counts["solver_calls"]

    def observing(self, observation: Observation) -> ForwardMap:
        """Return the map to other readings; it shares the count."""
        return ForwardMap(self.pde, observation, self.counts, self.bounds)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        """Return the other channels of coefficients, by `pde.respond`; differentiable."""
        return self._solved(self.pde.respond, a)

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return them approximately, by `pde.respond_roughly`; differentiable."""
        return self._solved(self.pde.respond_roughly, a)

    def _solved(self, respond: TensorMap, a: torch.Tensor) -> torch.Tensor:
        before, fields = self.solver_calls, len(self.pde.solution_channels)
        try:
            return respond(_Counted.apply(self._bounded(a), self.counts, fields))
        except NumericalError:
            if len(a) > 1:
                self.counts["solver_calls"] = before
            raise

    def _bounded(self, a: torch.Tensor) -> torch.Tensor:
        return a if self.bounds is None else a.clamp(*self.bounds)

    def states(self, a: torch.Tensor, solve: TensorMap | None = None) -> torch.Tensor:
        """Return states (batch, channel, ny, nx) of coefficients, as far as the sensors read them.

        Arguments:
            a: coefficients.
            solve: from coefficients to the other channels, such as `surrogate`; `solve` if None. It
                is not evaluated where the readings take no solve, and solutions of 0 take its
                place.
        """
        a = self.pde.restrict(a)
        if self.solves:
            return torch.cat([a, (solve or self.solve)(a)], dim=1)
        if self.sees_solution:
            return self._without_solution(a)
        return torch.cat([a, a.new_zeros(len(a), len(self.pde.fields) - 1, *a.shape[-2:])], dim=1)

    def of_coefficient(self, a: torch.Tensor) -> torch.Tensor:
        """Return the `coefficient_channels` of coefficients."""
        return self.pde.functions_of_coefficient(a)

    def nodewise(self, a: torch.Tensor) -> torch.Tensor:
        """Return the `nodewise_channels` of coefficients."""
        alone = self.coefficient_channels
        return self.of_coefficient(a)[:, [alone.index(c) for c in self.nodewise_channels]]

    def _without_solution(self, a: torch.Tensor) -> torch.Tensor:
        """States that are 0 but for the `coefficient_channels`."""
        found = list(self.of_coefficient(a).unbind(dim=1))
        zero, alone = torch.zeros_like(a[:, 0]), self.coefficient_channels
        channels = range(len(self.pde.fields))
        return torch.stack([found.pop(0) if c in alone else zero for c in channels], dim=1)

    def __call__(self, a: torch.Tensor) -> torch.Tensor:
        """Return the readings (batch, m) of coefficients."""
        return self.observation(self.states(a))

    def approximate(self, a: torch.Tensor) -> torch.Tensor:
        """Return the readings (batch, m) of coefficients by the surrogate."""
        return self.observation(self.states(a, self.surrogate))

    def adjoint_at(self, a: torch.Tensor) -> PullBack:
        """Return the adjoint of F's derivative at one coefficient.

        Arguments:
            a: the coefficient, (1, 1, ny, nx); any where F is affine.

        Returns:
            A function from vectors of readings (k, m) to fields (k, 1, ny, nx).
        """
        with torch.enable_grad():
            leaf = a.detach().requires_grad_()
            return self._pull_back(leaf, self.pde.restrict(leaf))

    def jacobian(self, a: torch.Tensor) -> torch.Tensor:
        """Return the rows (m, 1, ny, nx) of F's derivative at one coefficient (1, 1, ny, nx)."""
        return self.adjoint_at(a).rows()

    def jacobian_to(self, leaf: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        """Return the rows (m, size) of the derivative of the readings of one coefficient to numbers
        that the physics depends on.

        Arguments:
            leaf: the numbers, (1, size), which require a gradient.
            a: the coefficient, (1, 1, ny, nx).
        """
        if not self.solves:
            return leaf.new_zeros(len(self.observation), leaf.shape[1])
        with torch.enable_grad():
            return self._pull_back(leaf, self.pde.restrict(a)).rows()

    def sensitivities(self, a: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Return products of vectors of readings with F's derivative at several coefficients.

        The state and the adjoints are those of the PDE's surrogate, solved `for_many_adjoints`.

        Arguments:
            a: the coefficients, (k, 1, ny, nx).
            weights: the vectors, (r, m).

        Returns:
            (k, r, ny, nx).
        """
        with torch.enable_grad():
            leaf = a.detach().requires_grad_()
            solved = self.pde.for_many_adjoints.respond_roughly(self._bounded(leaf))
        solves = len(a) * (1 + len(weights))
        self.counts["solver_calls"] += solves * len(self.pde.solution_channels)
        v = self.observation.adjoint(weights)[:, None].expand(-1, len(a), -1, -1, -1)
        rows = batched_gradient([leaf, solved], leaf)([v[:, :, :1], v[:, :, 1:]])
        return rows[:, :, 0].transpose(0, 1)

    def propagate(
        self, mean: torch.Tensor, samples: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Solve for a coefficient's mean (ny, nx) and samples (s, ny, nx).

        Returns:
            The other channels c of the mean (c, ny, nx), the samples' root mean square distance
            from them (c, ny, nx), and those of the samples (s, c, ny, nx).
        """
        solved = self.solve(torch.cat([mean[None], samples])[:, None])
        return solved[0], (solved[1:] - solved[0]).square().mean(dim=0).sqrt(), solved[1:]

    def _pull_back(self, leaf: torch.Tensor, a: torch.Tensor) -> PullBack:
        return PullBack(self.observation, leaf, self._blocks(a), self._count_adjoints)

    def _blocks(self, a: torch.Tensor) -> list[torch.Tensor]:
        """The channels of the state of one coefficient: in the first block the coefficient and the
        channels of the first experiment, in each other one those of another experiment."""
        if not self.solves:
            return [self._without_solution(a) if self.sees_solution else a]
        physics = tuple(self.pde.experiments.values()) or (self.pde,)
        self.counts["solver_calls"] += len(a) * len(self.pde.solution_channels)
        bounded, exact = self._bounded(a), self.exact_derivatives
        found = [(pde.respond if exact else pde.respond_roughly)(bounded) for pde in physics]
        return [torch.cat([a, found[0]], dim=1), *found[1:]]

    def _count_adjoints(self, vectors: int, blocks: int) -> None:
        if self.solves:
            self.counts["solver_calls"] += vectors * blocks


def clamped(states: torch.Tensor, bounds: tuple[float, float] | None) -> torch.Tensor:
    """Return states (batch, channel, ny, nx) with the coefficient within bounds; None leaves it.

    Coefficients alone, (batch, 1, ny, nx), are allowed too.
    """
    if bounds is None:
        return states
    return torch.cat([states[:, :1].clamp(*bounds), states[:, 1:]], dim=1)


def allowed(pde: PDE, states: torch.Tensor, bounds: tuple[float, float] | None) -> torch.Tensor:
    """Return `clamped` states whose coefficients are as the PDE has them, see `PDE.restrict`: the
    bounds of a prior need not hold where the PDE fixes a value."""
    if bounds is None:
        return states
    states = clamped(states, bounds)
    return torch.cat([pde.restrict(states[:, :1]), states[:, 1:]], dim=1)


class _Counted(torch.autograd.Function):
    """The identity on coefficients; it counts fields that pass forwards, and gradients that
    return."""

    @staticmethod
    def forward(a, counts, solves):
        counts["solver_calls"] += solves * len(a)
        return a.view_as(a)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, ctx.counts, ctx.solves = inputs

    @staticmethod
    def backward(ctx, gradient):
        return _Counted.apply(gradient, ctx.counts, ctx.solves), None, None
