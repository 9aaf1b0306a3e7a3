"""Derivatives of a user's function by her own adjoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from pdeinv.errors import InputError

if TYPE_CHECKING:
    from pdeinv.datasets.function_pde import FunctionPDE

__all__ = ["with_adjoint"]


def with_adjoint(a: torch.Tensor, pde: FunctionPDE) -> torch.Tensor:
    """Return `pde.values(a)`, whose derivative is by `pde.pull_back`, also under `torch.vmap`."""
    return _Outputs.apply(a, pde)


class _Outputs(torch.autograd.Function):
    """Map coefficients to the channels of a function with an adjoint."""

    @staticmethod
    def forward(a: torch.Tensor, pde: FunctionPDE) -> torch.Tensor:
        return pde.values(a)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        a, ctx.pde = inputs
        ctx.save_for_backward(a)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, a: torch.Tensor, pde: FunctionPDE) -> tuple:
        a = a.movedim(in_dims[0], 0)
        return _Outputs.apply(a.flatten(0, 1), pde).unflatten(0, a.shape[:2]), 0

    @staticmethod
    def backward(ctx: Any, v: torch.Tensor) -> tuple[torch.Tensor, None]:
        (a,) = ctx.saved_tensors
        return _PullBack.apply(a, v, ctx.pde), None


class _PullBack(torch.autograd.Function):
    """The user's adjoint: weights of the channels (batch, channels, ny, nx) to gradients."""

    @staticmethod
    def forward(a: torch.Tensor, v: torch.Tensor, pde: FunctionPDE) -> torch.Tensor:
        return pde.pull_back(a, v)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: torch.Tensor) -> None:
        ctx.pde = inputs[2]

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple, a: torch.Tensor, v: torch.Tensor, pde: FunctionPDE
    ) -> tuple:
        many = [
            x.expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
            for x, d in zip((a, v), in_dims, strict=False)
        ]
        a, v = (x.flatten(0, 1) for x in many)
        return _PullBack.apply(a, v, pde).unflatten(0, many[1].shape[:2]), 0

    @staticmethod
    def backward(ctx: Any, *_: torch.Tensor) -> tuple[None, None, None]:
        raise InputError(
            f"the adjoint of {ctx.pde.name} must be differentiated once, got a method that needs "
            f"second derivatives; use gradient='autograd' or another method"
        )
