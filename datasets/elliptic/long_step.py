"""One step of storage ∂u/∂t = ∇·(a ∇u) + inflow over any time, and its adjoint.

The step is a polynomial of implicit ones (`decay`), which are all of one symmetric matrix. So is
the step as a map of the net inflow at its start: the adjoint is another step, of the cotangent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from pdeinv.datasets.elliptic.decay import StepRule
from pdeinv.datasets.elliptic.faces import FaceMean, jump_products, pull_back_products
from pdeinv.datasets.elliptic.variable_coefficient import BalanceSolver, TensorMap
from pdeinv.datasets.elliptic.volumes import Volumes

__all__ = ["LongStep"]


@dataclass(frozen=True)
class LongStep:
    """The map (a, net inflow) -> change of u at the free nodes; differentiable any number of times.

    Under `torch.vmap`, many adjoints of one state are right-hand sides of the systems of the state,
    and cotangents of 0 are left out: a reading at another time has one.

    Arguments:
        volumes: the rectangle; its sides need not hold values.
        mean: mean of the coefficient on the faces.
        rule: the polynomial.
        leaking: (my, mx), what leaves a volume per unit of u, over hx hy; 0 if None.
    """

    volumes: Volumes
    mean: FaceMean
    rule: StepRule
    leaking: torch.Tensor | None = None

    def __call__(self, a: torch.Tensor, net: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return the change (batch, 1, my, mx).

        Arguments:
            a: (batch, 1, ny, nx), the coefficient, positive.
            net: (batch, 1, my, mx), what each volume takes up at the start, over hx hy.
            kept: (my, mx), what it takes up per unit of u, over hx hy and the length of an implicit
                step; not differentiated.

        Raises:
            NumericalError: a system is not solved to the residual that is promised.
        """
        return _Step.apply(a, net, kept, self)

    @property
    def solver(self) -> BalanceSolver:
        """The solver of the implicit steps."""
        return BalanceSolver(self.volumes, self.mean, "direct")

    def solved(self, a: torch.Tensor, f: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return u of an implicit step from 0 with an inflow f, without a graph."""
        return self.solver.values(a, f, self.diagonal(kept))

    def diagonal(self, kept: torch.Tensor) -> torch.Tensor:
        """Return what the systems have on their diagonals."""
        return kept if self.leaking is None else kept + self.leaking

    def by_solves(self, solve: TensorMap, net: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Return the change; `solve` maps an inflow to u of an implicit step from 0."""
        before, now = None, solve(net)
        total = self.rule.weights[0] * now
        for weight in self.rule.weights[1:]:
            moved = 2 * solve(kept * now) - now
            before, now = now, moved if before is None else 2 * moved - before
            total = total + weight * now
        return total

    def pull_back(
        self, a: torch.Tensor, net: torch.Tensor, kept: torch.Tensor, v: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the gradients with respect to a and net, without a graph.

        Arguments:
            a, net, kept: as of the step.
            v: (k, batch, 1, my, mx), cotangents.

        Returns:
            (k, batch, 1, ny, nx) and (k, batch, 1, my, mx).
        """
        weights = self.rule.weights
        factors = [1.0, 1.0] + [2.0] * len(weights)
        polynomials = [self.solved(a, net, kept)]
        solved = polynomials[:]  # of each system in turn
        for i in range(1, len(weights)):
            solved.append(self.solved(a, kept * polynomials[-1], kept))
            moved = factors[i] * (2 * solved[-1] - polynomials[-1])
            polynomials.append(moved - polynomials[-2] if i > 1 else moved)
        nearer, farther = weights[-1] * v, weights[-2] * v  # cotangents of the last polynomials
        across = along = v.new_zeros(())
        for i in range(len(weights) - 1, -1, -1):
            adjoint = self.solved(a, 2 * factors[i] * nearer if i else nearer, kept)
            found = jump_products(self.volumes, solved[i], adjoint)
            across, along = across + found[0], along + found[1]
            if i:
                farther = farther + kept * adjoint - factors[i] * nearer
                nearer, farther = farther, weights[i - 2] * v - nearer if i > 1 else nearer
        return pull_back_products(self.volumes, a, (across, along), self.mean), adjoint


class _Step(torch.autograd.Function):
    """Map (a, net) to the change; a batch of `torch.vmap` is done one by one."""

    @staticmethod
    def forward(
        a: torch.Tensor, net: torch.Tensor, kept: torch.Tensor, step: LongStep
    ) -> torch.Tensor:
        return step.by_solves(lambda f: step.solved(a, f, kept), net, kept)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, change: torch.Tensor) -> None:
        *tensors, ctx.step = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple[torch.Tensor, int]:
        return torch.stack([_Step.apply(*one) for one in _one_by_one(info, in_dims, inputs)]), 0

    @staticmethod
    def backward(ctx: Any, v: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return *_PullBack.apply(*ctx.saved_tensors, v, ctx.step), None, None


class _PullBack(torch.autograd.Function):
    """Map (a, net, v) to the gradients; v may have more leading dimensions than a."""

    @staticmethod
    def forward(
        a: torch.Tensor, net: torch.Tensor, kept: torch.Tensor, v: torch.Tensor, step: LongStep
    ) -> tuple[torch.Tensor, torch.Tensor]:
        leading = v.shape[: v.ndim - a.ndim]
        v = v.reshape(-1, *net.shape)
        live = v.flatten(1).any(dim=1)
        found = step.pull_back(a, net, kept, v[live].contiguous())
        grad_a, grad_net = (part.new_zeros(len(v), *part.shape[1:]) for part in found)
        grad_a[live], grad_net[live] = found
        return grad_a.reshape(*leading, *a.shape), grad_net.reshape(*leading, *net.shape)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, gradients: tuple) -> None:
        *tensors, ctx.step = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, *inputs: Any) -> tuple[tuple[torch.Tensor, ...], Any]:
        of_a, of_net, _, of_v, _ = in_dims
        if of_a is None and of_net is None:
            a, net, kept, v, step = inputs
            return _PullBack.apply(a, net, kept, v.movedim(of_v, 0), step), (0, 0)
        found = [_PullBack.apply(*one) for one in _one_by_one(info, in_dims, inputs)]
        return tuple(torch.stack(parts) for parts in zip(*found, strict=True)), (0, 0)

    @staticmethod
    def backward(
        ctx: Any, of_a: torch.Tensor, of_net: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        again = torch.is_grad_enabled()
        a, net, kept, v = ctx.saved_tensors
        with torch.enable_grad():
            # By views, for net may be a function of a
            a, net, v = (
                x.view_as(x) if x.requires_grad else x.detach().requires_grad_()
                for x in (a, net, v)
            )
            diagonal = ctx.step.diagonal(kept)
            change = ctx.step.by_solves(lambda f: ctx.step.solver(a, f, diagonal), net, kept)
            pulled = torch.autograd.grad(change, (a, net), v, create_graph=True)
            grads = torch.autograd.grad(pulled, (a, net, v), (of_a, of_net), create_graph=again)
        return grads[0], grads[1], None, grads[2], None


def _one_by_one(info: Any, in_dims: tuple, inputs: tuple) -> list[tuple]:
    """Return the inputs of each instance of a batch of `torch.vmap`."""
    pairs = list(zip(inputs, in_dims, strict=True))
    return [
        tuple(x if dim is None else x.select(dim, i) for x, dim in pairs)
        for i in range(info.batch_size)
    ]
