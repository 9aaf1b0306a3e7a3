"""Global settings of torch and of linear algebra within a block; the caller's return after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["default_dtype", "one_thread"]


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set the dtype of new floating-point tensors within the block, or in a decorated function.

    For code that accepts no dtype, such as the layers of a network.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread within the block, in torch and in the libraries behind numpy.

    The number of threads decides the order of sums, and so their last bit. An iteration may make
    another answer of that. Processes that share a machine do not compete for its cores either.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
