"""Devices of torch, and its global settings within a block; the caller's return after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from pdeinv.errors import InputError

__all__ = ["checked_device", "default_dtype", "one_thread"]


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


def checked_device(name: str) -> torch.device:
    """Return a device of this machine on which tensors have memory.

    Arguments:
        name: as torch has it, such as `cpu` or `cuda:1`.

    Raises:
        InputError: torch or the machine has no such device.
    """
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it has no memory")
        torch.zeros(1, device=device).add_(1)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"device must be one of this machine, got {name!r} ({reason}); use cpu"
        ) from None
    return device
