"""The map from a coefficient to the readings of the sensors, its derivatives, and its cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch

from pdeinv.datasets.base import PDE
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.solvers.linear_algebra import unit_vectors

__all__ = ["ForwardMap", "TensorMap"]

_CHUNK = 32  # rows of a Jacobian at a time; larger chunks fall out of the cache
_FAR = 2.0**20  # steps of an affine map, compared with which its value at the origin is small

TensorMap: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


class ForwardMap:
    """F(a) = H (a, respond(a)): the readings that the sensors would give for a coefficient.

    F needs no solve where sensors read the coefficient alone. Derivatives are those of the PDE's
    `surrogate`, or of `solve` where `exact_derivatives` is set, in reverse mode: the adjoint costs
    one solve for the state and one adjoint solve for each vector.

    Every solve is counted where it is made, one for each field and experiment: those of `solve`,
    those of `surrogate`, and the adjoint solves of reverse differentiation. Solves behind
    statistics of the prior that are computed once for a PDE and kept are not counted: those of its
    variance, and of its fields' standard deviations.

    Shapes: coefficients a are (batch, 1, ny, nx); tables ξ of Karhunen–Loève coefficients of the
        latent field, standard normal a priori, are (batch, 1, modes, modes).

    Arguments:
        pde: the physics.
        observation: H, on the grid of the coefficients; readings and noise are not used.
        counts: holds the number of solves under `solver_calls`; share it to count several maps
            together.
    """

    def __init__(self, pde: PDE, observation: Observation, counts: dict[str, int] | None = None):
        self.pde, self.observation, self.grid = pde, observation, observation.grid
        self.counts = {} if counts is None else counts
        self.counts.setdefault("solver_calls", 0)
        self.sees_solution = bool((observation.channel >= 1).any())
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
        return ForwardMap(self.pde, observation, self.counts)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        """Return the other channels of coefficients, by `pde.respond`; differentiable."""
        return self.pde.respond(self._counted(a))

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return them approximately, by `pde.respond_roughly`; differentiable."""
        return self.pde.respond_roughly(self._counted(a))

    def _counted(self, a: torch.Tensor) -> torch.Tensor:
        return _Counted.apply(a, self.counts, len(self.pde.solution_channels))

    def coefficient(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the coefficients of tables ξ."""
        return self.pde.coefficient(self.pde.latent_prior.square_root(xi, self.grid))

    def state(self, xi: torch.Tensor) -> torch.Tensor:
        """Return the states (batch, channel, ny, nx) of tables ξ; differentiable."""
        a = self.coefficient(xi)
        return torch.cat([a, self.solve(a)], dim=1)

    def linear_part(self, xi: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        """Return what tables ξ add to the state of ξ = 0, where the PDE is affine in them.

        Arguments:
            xi: the tables.
            origin: the state of ξ = 0, (1, channel, ny, nx).
        """
        return (self.state(_FAR * xi) - origin) / _FAR

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, channel, ny, nx) of the PDE's own prior, on any grid."""
        a = self.pde.sample_coefficient(n, grid, generator)
        return torch.cat([a, self.solve(a)], dim=1)

    def states(self, a: torch.Tensor, solve: TensorMap | None = None) -> torch.Tensor:
        """Return states (batch, channel, ny, nx) of coefficients, as far as the sensors read them.

        Arguments:
            a: coefficients.
            solve: from coefficients to the other channels, such as `surrogate`; `solve` if None. It
                is not evaluated where no sensor reads them, and zeros take their place.
        """
        if self.sees_solution:
            return torch.cat([a, (solve or self.solve)(a)], dim=1)
        return torch.cat([a, a.new_zeros(len(a), len(self.pde.fields) - 1, *a.shape[-2:])], dim=1)

    def __call__(self, a: torch.Tensor) -> torch.Tensor:
        """Return the readings (batch, m) of coefficients."""
        return self.observation(self.states(a))

    def approximate(self, a: torch.Tensor) -> torch.Tensor:
        """Return the readings (batch, m) of coefficients by the surrogate."""
        return self.observation(self.states(a, self.surrogate))

    def adjoint_at(self, a: torch.Tensor) -> TensorMap:
        """Return the adjoint of F's derivative at one coefficient.

        Arguments:
            a: the coefficient, (1, 1, ny, nx); any where F is affine.

        Returns:
            A function from vectors of readings (k, m) to fields (k, 1, ny, nx).
        """
        with torch.enable_grad():
            leaf = a.detach().requires_grad_()
            return self._pull_back(leaf, leaf)

    def whitened_adjoint_at(
        self, xi: torch.Tensor, coefficient: TensorMap | None = None
    ) -> TensorMap:
        """Return the adjoint of the derivative of ξ -> F(coefficient(latent field of ξ)).

        Arguments:
            xi: where to differentiate, (1, 1, modes, modes).
            coefficient: from the latent field to the coefficient; `pde.coefficient` if None.

        Returns:
            A function from vectors of readings (k, m) to tables (k, 1, modes, modes).
        """
        with torch.enable_grad():
            leaf = xi.detach().requires_grad_()
            latent = self.pde.latent_prior.square_root(leaf, self.grid)
            return self._pull_back(leaf, (coefficient or self.pde.coefficient)(latent))

    def jacobian(self, a: torch.Tensor) -> torch.Tensor:
        """Return the rows (m, 1, ny, nx) of F's derivative at one coefficient (1, 1, ny, nx)."""
        return self._rows(self.adjoint_at(a))

    def whitened_jacobian(
        self, xi: torch.Tensor, coefficient: TensorMap | None = None
    ) -> torch.Tensor:
        """Return the rows (m, modes²) of the derivative to ξ; arguments as in
        `whitened_adjoint_at`."""
        return self._rows(self.whitened_adjoint_at(xi, coefficient)).flatten(1)

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

    def _pull_back(self, leaf: torch.Tensor, a: torch.Tensor) -> TensorMap:
        outputs = [a]
        if self.sees_solution:
            self.counts["solver_calls"] += len(a) * len(self.pde.solution_channels)
            exact = self.exact_derivatives
            solve = self.pde.respond if exact else self.pde.respond_roughly
            outputs.append(solve(a))
        batched_gradient = _batched_gradient(outputs, leaf)

        def pull_back(weights: torch.Tensor) -> torch.Tensor:
            if self.sees_solution:
                self.counts["solver_calls"] += len(weights) * len(self.pde.solution_channels)
            v = self.observation.adjoint(weights)[:, None]
            parts = [v[:, :, :1], v[:, :, 1:]][: len(outputs)]
            return batched_gradient(parts)[:, 0]

        return pull_back

    def _rows(self, pull_back: TensorMap) -> torch.Tensor:
        m = len(self.observation)
        first, *others = torch.arange(m).split(_CHUNK)
        part = pull_back(unit_vectors(first, m))
        rows = part.new_empty(m, *part.shape[1:])
        rows[first] = part
        for chosen in others:
            rows[chosen] = pull_back(unit_vectors(chosen, m))
        return rows


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


def _batched_gradient(
    outputs: list[torch.Tensor], leaf: torch.Tensor
) -> Callable[[list[torch.Tensor]], torch.Tensor]:
    """The gradients of outputs with respect to a leaf, for many cotangents at once.

    torch.vmap batches a PDE's own autograd functions too, and is slow to import; without such
    functions the batching of torch.autograd does.
    """
    if any(_has_own_function(output) for output in outputs):
        return torch.vmap(
            lambda cotangents: torch.autograd.grad(outputs, leaf, cotangents, retain_graph=True)[0]
        )

    def gradient(cotangents: list[torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(
            outputs, leaf, cotangents, retain_graph=True, is_grads_batched=True
        )[0]

    return gradient


def _has_own_function(output: torch.Tensor) -> bool:
    """Whether a `torch.autograd.Function` was applied on the way to a tensor."""
    seen, waiting = set(), [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            return True
        seen.add(node)
        waiting.extend(function for function, _ in node.next_functions)
    return False
