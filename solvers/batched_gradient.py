"""Gradients of a computation for many cotangents at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from pdeinv.errors import NumericalError

__all__ = ["batched_gradient"]

# What torch.autograd.grad calls after its check of shapes: that imports sympy, for a second
_run: Callable[..., Any] | None
try:
    from torch.autograd.graph import _engine_run_backward as _run
except ImportError:  # a torch that has moved it
    _run = None


def batched_gradient(
    outputs: list[torch.Tensor], leaf: torch.Tensor
) -> Callable[[list[torch.Tensor]], torch.Tensor]:
    """Return the gradients of outputs with respect to a leaf, for many cotangents at once.

    What a user's PDE computes may have no rule for a batch; its gradients are computed one by one.
    """

    def gradient(*cotangents: torch.Tensor) -> torch.Tensor:
        if _run is None:
            return torch.autograd.grad(outputs, leaf, cotangents, retain_graph=True)[0]
        keep, create, unused = True, False, False
        return _run(
            tuple(outputs), cotangents, keep, create, (leaf,), unused, accumulate_grad=False
        )[0]

    def gradients(cotangents: list[torch.Tensor]) -> torch.Tensor:
        try:
            return torch.vmap(gradient)(*cotangents)
        except NumericalError:
            raise
        except RuntimeError:  # of torch, whose words for it differ
            pass
        return torch.stack([gradient(*one) for one in zip(*cotangents, strict=True)])

    return gradients
