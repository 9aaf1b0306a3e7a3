"""A digest of a user's function: of its code, and of what it refers to."""

from __future__ import annotations

import dis
import functools
import hashlib
import pickle
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["code_digest", "module_of"]

_REFERS = {"LOAD_GLOBAL", "LOAD_NAME"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))


def code_digest(function: Any) -> str:
    """Return a text that changes with the code of a function, and with the data that it refers to.

    These are its defaults, its closure, and the functions and the data of its module that it names,
    and those which these name in turn. What other modules hold counts by its name alone, as does
    what cannot be pickled.

    Arguments:
        function: anything that can be called.
    """
    digest = hashlib.sha256()
    for part in _parts(function, module_of(function), {}):
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.hexdigest()


def module_of(function: Any) -> str:
    """Return the name of the module that a function, or the class of what is called, is of."""
    while isinstance(function, functools.partial):
        function = function.func
    named = hasattr(function, "__qualname__")
    return str((function if named else type(function)).__module__)


def _parts(value: Any, module: str, seen: dict[int, Any]) -> Iterator[bytes]:
    """Yield the parts of which the digest is that of a value, in a fixed order."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
        return
    if id(value) in seen:  # of a recursion
        yield b"again"
        return
    seen[id(value)] = value  # which keeps its number from another one
    if isinstance(value, np.ndarray | np.generic | torch.Tensor):
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        if array.dtype != object:
            yield f"{array.dtype} {array.shape}".encode()
            yield array.tobytes()
            return
    if isinstance(value, types.FunctionType):
        yield from _of_function(value, module, seen)
    elif isinstance(value, types.CodeType):
        yield from _of_code(value, module, seen)
    elif isinstance(value, types.ModuleType):
        yield value.__name__.encode()
    else:
        yield from _of_object(value, module, seen)


def _of_function(
    function: types.FunctionType, module: str, seen: dict[int, Any]
) -> Iterator[bytes]:
    if function.__module__ != module:  # of a library
        yield f"{function.__module__}.{function.__qualname__}".encode()
        return
    yield from _parts(function.__code__, module, seen)
    yield from _parts([function.__defaults__, function.__kwdefaults__], module, seen)
    for cell in function.__closure__ or ():
        try:
            yield from _parts(cell.cell_contents, module, seen)
        except ValueError:  # it is empty as yet
            yield b"empty"
    for name in sorted(_globals_of(function.__code__)):
        if name in function.__globals__:
            yield name.encode()
            yield from _parts(function.__globals__[name], module, seen)


def _of_code(code: types.CodeType, module: str, seen: dict[int, Any]) -> Iterator[bytes]:
    yield code.co_code
    yield from (name.encode() for name in (*code.co_names, *code.co_varnames, *code.co_freevars))
    for constant in code.co_consts:
        yield from _parts(constant, module, seen)


def _globals_of(code: types.CodeType) -> set[str]:
    """Return the names of globals that a code, or a function in it, refers to."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    own = {i.argval for i in dis.get_instructions(code) if i.opname in _REFERS}
    return own.union(*map(_globals_of, inner))


def _of_object(value: Any, module: str, seen: dict[int, Any]) -> Iterator[bytes]:
    kind = value if isinstance(value, type) else type(value)
    yield f"{kind.__module__}.{kind.__qualname__}".encode()
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _parts(entry, module, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(b"".join(_parts(entry, module, {})) for entry in value)
    elif isinstance(value, dict | types.MappingProxyType):
        for key, entry in value.items():
            yield from _parts(key, module, seen)
            yield from _parts(entry, module, seen)
    elif isinstance(value, functools.partial):
        yield from _parts([value.func, value.args, value.keywords], module, seen)
    elif isinstance(value, types.MethodType):
        yield from _parts([value.__func__, value.__self__], module, seen)
    else:
        yield from _of_instance(value, kind, module, seen)


def _of_instance(value: Any, kind: type, module: str, seen: dict[int, Any]) -> Iterator[bytes]:
    """Of a class, or an instance: its functions, if it is of the same module, and its state."""
    if kind.__module__ == module:
        for name, member in sorted(vars(kind).items()):
            if not name.startswith("__") or name == "__call__":
                yield name.encode()
                yield from _parts(getattr(member, "__func__", member), module, seen)
    if kind is value:
        return
    state = getattr(value, "__dict__", None)
    if state is not None:
        yield from _parts(dict(state), module, seen)
        return
    try:
        yield pickle.dumps(value, protocol=4)
    except Exception:  # such as of an open file
        yield b"unknown"
