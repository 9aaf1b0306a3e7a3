"""A device that no machine has: its tensors have values on the processor, and combine with no
tensor of it, as those of an accelerator do.

    with pretended() as device:
        field = field.to(device)

A tensor that code makes without the device of its input fails loudly at the first operation that
combines both. What an accelerator allows is allowed: a number, (), of the processor in arithmetic,
indices of the processor, and copies in both directions. As there, random numbers do not come from a
generator of the processor, and `numpy()` needs `force=True`.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("meta", 0)
"""As torch calls it. Tensors without memory, which loading a model makes, are on "meta", without a
number."""

_COPIES = ("_to_copy", "copy_", "copy", "_copy_from")
_INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index")
_ITEMS = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
_FROM_VALUES = (torch.tensor, torch.as_tensor, torch.asarray)


class Elsewhere(torch.Tensor):
    """A tensor of the pretended device: `inner` has its values."""

    __module__ = "torch"  # by which opt_einsum knows a tensor

    @staticmethod
    def __new__(cls, inner):
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        made.inner = inner
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})

    def __repr__(self):
        return f"elsewhere({self.inner!r})"


class _Modes(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What torch does with a device before it dispatches."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in _FROM_VALUES and _is_ours(kwargs.get("device")):
            with torch._C.DisableTorchFunctionSubclass():
                if isinstance(args[0], torch.Tensor):
                    return args[0].to(**kwargs)
                return func(*args, **kwargs | {"device": "cpu"}).to(kwargs["device"])
        if func in _ITEMS and isinstance(args[0], Elsewhere):
            args = (args[0], _places(args[1]), *args[2:])  # torch makes tensors of lists itself
        if func is torch.Tensor.new_tensor and isinstance(args[0], Elsewhere):
            return torch.tensor(args[1], **{"dtype": args[0].dtype} | kwargs).to(args[0].device)
        if func is torch.Tensor.numpy and isinstance(args[0], Elsewhere):
            if not kwargs.get("force"):
                raise TypeError("a tensor elsewhere has no numpy(); copy it to the processor")
            return args[0].detach().inner.resolve_conj().resolve_neg().numpy()
        if func is torch.Tensor.tolist and isinstance(args[0], Elsewhere):
            return args[0].detach().inner.tolist()
        return func(*args, **kwargs)


def _dispatch(func, args, kwargs):
    name = func._schema.name.removeprefix("aten::")
    tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
    ours = [isinstance(x, Elsewhere) for x in tensors]
    if any(x.device == DEVICE and not one for x, one in zip(tensors, ours, strict=True)):
        raise RuntimeError(f"{name}: a tensor without memory")
    wanted = kwargs.get("device")
    if any(ours) and name not in _COPIES:
        _check(name, args, tensors)
    if _is_ours(wanted) and isinstance(kwargs.get("generator"), torch.Generator):
        raise RuntimeError(f"{name}: a generator of the processor makes no numbers elsewhere")
    to_us = _is_ours(wanted) if wanted is not None else any(ours)
    if name in ("copy_", "_copy_from"):
        to_us = isinstance(args[0], Elsewhere)
    plain_args, plain_kwargs = tree_map(_inner, (args, kwargs))
    if wanted is not None:
        plain_kwargs["device"] = torch.device("cpu") if to_us else wanted
    found = func(*plain_args, **plain_kwargs)
    if name.endswith("_") and not name.endswith("__") and tensors and found is plain_args[0]:
        return args[0]  # in place
    if not to_us:
        return found
    known = {id(x.inner): x for x in tensors if isinstance(x, Elsewhere)}
    return tree_map(
        lambda x: known.get(id(x), _wrapped(x)) if isinstance(x, torch.Tensor) else x, found
    )


def _wrapped(inner):
    # The marks of lazy conjugates and negatives are not seen through the wrapper
    return Elsewhere(inner.resolve_conj().resolve_neg())


def _check(name, args, tensors):
    """Refuse tensors of the processor but where an accelerator takes them."""
    if name in _INDEXING:
        if not isinstance(args[0], Elsewhere):
            raise RuntimeError(f"{name}: a tensor of the processor, with indices elsewhere")
        tensors = args[2:3]
    for x in tensors:
        if isinstance(x, torch.Tensor) and not isinstance(x, Elsewhere) and x.ndim:
            raise RuntimeError(f"{name}: a tensor elsewhere and one of the processor")


def _is_ours(device):
    return device is not None and torch.device(device) == DEVICE


def _places(key):
    if isinstance(key, tuple):
        return tuple(map(_places, key))
    return torch.tensor(key) if isinstance(key, list) else key


def _inner(x):
    return x.inner if isinstance(x, Elsewhere) else x


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Have the device within the block."""
    before, autocast, torch.vmap = torch.vmap, torch.autocast, _no_batches
    torch.autocast = lambda kind, **more: (
        nullcontext() if kind == "meta" else autocast(kind, **more)
    )
    try:
        with _Functions(), _Modes():
            yield DEVICE
    finally:
        torch.vmap, torch.autocast = before, autocast


def _uncast(kind):
    return nullcontext() if kind == DEVICE.type else None


def _no_batches(*_, **__):
    raise RuntimeError("tensors elsewhere have no batches")
