"""Devices of torch, and its global settings within a block; the caller's return after it.

Blocks of several threads may overlap. What they share is set by the first and put back by the last.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch
from threadpoolctl import LibController, ThreadpoolController

from pdeinv.errors import InputError
from pdeinv.locks import SharedLock

__all__ = [
    "checked_device",
    "default_dtype",
    "moved",
    "on_device_of",
    "one_blas_thread",
    "one_thread",
]

T = TypeVar("T")

_dtype_lock = SharedLock()


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Set the dtype of new floating-point tensors within the block, or in a decorated function.

    For code that accepts no dtype, such as the layers of a network. The dtype is that of the whole
    process, so that one thread at a time is in such a block.
    """
    with _dtype_lock:
        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype)
        try:
            yield
        finally:
            torch.set_default_dtype(before)


class _Blas:
    """The numbers of threads of the libraries behind numpy while blocks are open."""

    def __init__(self) -> None:
        self.lock, self.blocks = SharedLock(), 0
        self.before: dict[str, tuple[LibController, int]] = {}

    def open(self, pools: ThreadpoolController) -> None:
        with self.lock:
            self.blocks += 1
            for library in pools.select(user_api="blas").lib_controllers:
                self.before.setdefault(library.filepath, (library, library.num_threads))
                library.set_num_threads(1)

    def close(self) -> None:
        with self.lock:
            self.blocks -= 1
            if self.blocks == 0:
                self.put_back()

    def put_back(self) -> None:
        for library, number in self.before.values():
            library.set_num_threads(number)
        self.before.clear()


class _Torch(threading.local):
    """Open blocks of this thread."""

    blocks = 0


class _Outside:
    """The number of torch's threads outside of all blocks, and how many threads are in one."""

    number, inside = 1, 0


_blas, _torch, _outside = _Blas(), _Torch(), _Outside()
_torch_lock = SharedLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Compute with one thread in the libraries behind numpy within the block."""
    _blas.open(_known_pools())
    try:
        yield
    finally:
        _blas.close()


@cache
def _known_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looking for them takes longer than a small solve


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread within the block, in torch and in the libraries behind numpy.

    The number of threads decides the order of sums, and so their last bit. An iteration may make
    another answer of that. Processes that share a machine do not compete for its cores either.
    """
    if _torch.blocks:  # of this thread
        yield
        return
    _blas.open(ThreadpoolController())
    before = _one_in_torch()
    _torch.blocks += 1
    try:
        yield
    finally:
        _torch.blocks -= 1
        with _torch_lock:
            _outside.inside -= 1
            torch.set_num_threads(before)
        _blas.close()


def _one_in_torch() -> int:
    """Give this thread one thread of torch, and return how many it had."""
    with _torch_lock:
        before = torch.get_num_threads()
        if not _outside.inside:
            _outside.number = before
        elif before == 1:
            # A thread that computes for the first time takes the number that was set last, which
            # may be that of another thread's block
            before = _outside.number
        _outside.inside += 1
        torch.set_num_threads(1)
        return before


def _after_fork() -> None:
    """Compute with one thread in a forked process: those of its parent are not there, and torch
    would wait for them without end."""
    torch.set_num_threads(1)
    mine = int(_torch.blocks > 0)
    _outside.number, _outside.inside, _blas.blocks = 1, mine, mine
    if not mine:
        _blas.put_back()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_after_fork)


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
    computed again.
    """
    weight = next(network.parameters(), None)
    if weight is None or weight.device == x.device:
        return network
    for part in network.modules():
        if hasattr(part, "_grid"):
            part._grid = None  # type: ignore[assignment]
    return network.to(x.device)
