"""Gradients of a computation for many cotangents at once."""

from __future__ import annotations

from collections.abc import Callable

import torch

from pdeinv.errors import NumericalError

__all__ = ["batched_gradient"]


def batched_gradient(
    outputs: list[torch.Tensor], leaf: torch.Tensor
) -> Callable[[list[torch.Tensor]], torch.Tensor]:
    """Return the gradients of outputs with respect to a leaf, for many cotangents at once.

    torch.vmap batches a PDE's own autograd functions too, and is slow to import; without such
    functions the batching of torch.autograd does. What a user's PDE computes may have no rule for
    either; its gradients are computed one by one.
    """

    def gradient(cotangents: list[torch.Tensor]) -> torch.Tensor:
        return torch.autograd.grad(outputs, leaf, cotangents, retain_graph=True)[0]

    own = any(_has_own_function(output) for output in outputs)

    def gradients(cotangents: list[torch.Tensor]) -> torch.Tensor:
        try:
            if own:
                return torch.vmap(gradient)(cotangents)
            return _of_batch(outputs, leaf, cotangents)
        except NumericalError:
            raise
        except RuntimeError:  # of torch, whose words for it differ
            pass
        return torch.stack([gradient(list(one)) for one in zip(*cotangents, strict=True)])

    return gradients


def _of_batch(
    outputs: list[torch.Tensor], leaf: torch.Tensor, cotangents: list[torch.Tensor]
) -> torch.Tensor:
    """`torch.autograd.grad` with `is_grads_batched`, without its check of shapes: that imports
    sympy, which takes a second."""
    try:
        from torch._vmap_internals import _vmap
        from torch.autograd.graph import _engine_run_backward
    except ImportError:  # of a torch that has moved them
        return torch.autograd.grad(
            outputs, leaf, cotangents, retain_graph=True, is_grads_batched=True
        )[0]

    def gradients(given: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        keep, create, unused = True, False, False
        return _engine_run_backward(
            tuple(outputs), given, keep, create, (leaf,), unused, accumulate_grad=False
        )

    return _vmap(gradients)(tuple(cotangents))[0]


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
