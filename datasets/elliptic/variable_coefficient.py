"""-∇·(a ∇u) = source for any positive coefficient: a differentiable solve by either method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch

from pdeinv.datasets.elliptic.conjugate_gradients import conjugate_gradients
from pdeinv.datasets.elliptic.faces import FaceMean, pull_back_jumps
from pdeinv.datasets.elliptic.sparse_solver import sparse_solve
from pdeinv.datasets.elliptic.volumes import Volumes

__all__ = ["BalanceSolver", "Method", "TensorMap", "iterates", "piecewise"]

TensorMap: TypeAlias = Callable[..., torch.Tensor]
Method = Literal["auto", "direct", "iterative"]
"""A sparse factorisation, conjugate gradients, or the one of them that suits the contrast."""

# Contrast up to which a solve by iterations takes no longer than one by a factorisation, measured
# from 64 to 256 nodes per side; in small batches it does at any contrast. Further right-hand sides
# favour the factorisation, large batches the iterations.
_CONTRAST = {torch.float64: 30.0, torch.float32: 100.0}


@dataclass(frozen=True)
class BalanceSolver:
    """The map (a, f) -> u with A(a) u + diagonal u = f, A(a) the balance of the volumes over hx hy.

    It is differentiable any number of times. A is symmetric, so that the adjoint of a state is one
    more right-hand side of its system. Under `torch.vmap`, many adjoints of one state stay many
    right-hand sides of one system.

    Arguments:
        volumes: the rectangle, with a value on one side at least or a diagonal.
        mean: mean of the coefficient on the faces.
        method: how the systems are solved. "auto" is "iterative" for each coefficient of a low
            contrast, else "direct". A pattern takes "direct".
        tolerance: relative residual at which the iterative method stops.
    """

    volumes: Volumes
    mean: FaceMean = "arithmetic"
    method: Method = "auto"
    tolerance: float = 1e-11

    def __call__(
        self, a: torch.Tensor, f: torch.Tensor, diagonal: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return u (batch, 1, my, mx) of a (batch, 1, ny, nx) and f (batch, 1, my, mx).

        Arguments:
            a, f: the coefficient and the inflow.
            diagonal: (my, mx), not differentiated; of the direct method alone. It is 0 if None.

        Raises:
            NumericalError: a system is not solved to the residual that its method promises.
        """
        if self.volumes.pattern is not None and self.method != "direct":
            return replace(self, method="direct")(a, f, diagonal)
        if self.method != "auto":
            return _Solve.apply(a, f, diagonal, self)
        iterative, direct = (replace(self, method=way) for way in ("iterative", "direct"))
        return piecewise(iterates(a, a.dtype), iterative, direct, a, f)

    def values(
        self, a: torch.Tensor, f: torch.Tensor, diagonal: torch.Tensor | None
    ) -> torch.Tensor:
        """Return u (..., my, mx) by one method, without a graph."""
        if self.method == "direct":
            return sparse_solve(self.volumes, a, f, self.mean, diagonal)
        return conjugate_gradients(self.volumes, a, f, self.tolerance, self.mean)


def iterates(a: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return where "auto" is "iterative", (batch,), for coefficients (batch, 1, ny, nx).

    The rule is one of each coefficient, so that no result depends on its batch.

    Arguments:
        a: the coefficients.
        dtype: of the numbers that the iterations would use.
    """
    with torch.no_grad():
        low, high = a.amin(dim=(-1, -2)), a.amax(dim=(-1, -2))
        return (high <= _CONTRAST[dtype] * low).flatten()


def piecewise(
    chosen: torch.Tensor, yes: TensorMap, no: TensorMap, *batches: torch.Tensor
) -> torch.Tensor:
    """Return one function of the instances that are chosen, (batch,), and another of the others."""
    if bool(chosen.all()):
        return yes(*batches)
    if not bool(chosen.any()):
        return no(*batches)
    first, second = chosen.nonzero()[:, 0], (~chosen).nonzero()[:, 0]
    parts = yes(*(x[first] for x in batches)), no(*(x[second] for x in batches))
    return torch.cat(parts)[torch.cat([first, second]).argsort()]


class _Solve(torch.autograd.Function):
    """Map (a, f) to u; the batch of f is that of a, broadcast."""

    @staticmethod
    def forward(
        a: torch.Tensor, f: torch.Tensor, diagonal: torch.Tensor | None, solver: BalanceSolver
    ) -> torch.Tensor:
        return solver.values(a, f, diagonal)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, u: torch.Tensor) -> None:
        a, _, diagonal, ctx.solver = inputs
        ctx.save_for_backward(a, u, diagonal)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple,
        a: torch.Tensor,
        f: torch.Tensor,
        diagonal: torch.Tensor | None,
        solver: BalanceSolver,
    ) -> tuple[torch.Tensor, int]:
        """Solve many right-hand sides of one coefficient, or many coefficients, as one batch."""
        of_a, of_f, *_ = in_dims
        f = f.expand(info.batch_size, *f.shape) if of_f is None else f.movedim(of_f, 0)
        if of_a is not None:
            a = a.movedim(of_a, 0)
            # the batch of a ends where that of f does
            a = a.reshape(len(a), *[1] * (f.ndim - a.ndim), *a.shape[1:])
        return _Solve.apply(a, f, diagonal, solver), 0

    @staticmethod
    def backward(ctx: Any, grad_u: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        a, u, diagonal = ctx.saved_tensors
        solver = ctx.solver
        adjoint = _Solve.apply(a, grad_u.contiguous(), diagonal, solver)
        grad_a = None
        if ctx.needs_input_grad[0]:
            grad_a = pull_back_jumps(solver.volumes, a, u, adjoint, solver.mean)
            grad_a = grad_a.sum_to_size(a.shape)
        return grad_a, adjoint, None, None
