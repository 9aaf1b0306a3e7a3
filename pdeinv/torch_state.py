"""Devices of torch, and its global settings within a block; the caller's return after it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from pdeinv.errors import InputError

__all__ = ["checked_device", "default_dtype", "moved", "on_device_of", "one_thread"]


T = TypeVar("T")


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


def checked_device(name: str | torch.device, dtype: torch.dtype = torch.float32) -> torch.device:
    """Return a device of this machine on which tensors have memory.

    Arguments:
        name: as torch has it, such as `cpu` or `cuda:1`.
        dtype: of the numbers that it must compute with.

    Raises:
        InputError: torch or the machine has no such device, or it has no such numbers.
    """
    try:
        device = torch.device(name)
        if device.type == "meta":
            raise RuntimeError("it has no memory")
        torch.zeros(1, dtype=dtype, device=device).add_(1)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(
            f"device must be one of this machine, got {str(name)!r} ({reason}); use cpu"
        ) from None
    return device


def moved(value: T, device: torch.device | str) -> T:
    """Return a value with all of its tensors on a device; those that are there are not copied.

    Arguments:
        value: a tensor, or a dataclass, tuple, list or dict of such; anything else stays as it is.
        device: of the result.
    """
    if isinstance(value, torch.Tensor):
        return value.to(device)  # type: ignore[return-value]
    if isinstance(value, tuple):
        parts = [moved(one, device) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)  # type: ignore
    if isinstance(value, list):
        return [moved(one, device) for one in value]  # type: ignore[return-value]
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}  # type: ignore[return-value]
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    made = copy.copy(value)
    vars(made).clear()  # of what is derived from the fields, and kept
    for one in dataclasses.fields(value):
        object.__setattr__(made, one.name, moved(getattr(value, one.name), device))
    return made


def on_device_of(network: torch.nn.Module, x: torch.Tensor) -> torch.nn.Module:
    """Return a network with its weights on the device of its input; they stay there.

    Arguments:
        network: whose weights are all on one device.
        x: its input.

    A neural operator keeps the coordinates of its nodes on the device of its first input; they are
    made anew.
    """
    weight = next(network.parameters(), None)
    if weight is None or weight.device == x.device:
        return network
    for part in network.modules():
        if hasattr(part, "_grid"):
            part._grid = None  # type: ignore[assignment]
    return network.to(x.device)
