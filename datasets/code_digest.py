"""A digest of a user's function: of its code, and of what it refers to."""

from __future__ import annotations

import dis
import functools
import hashlib
import pickle
import site
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from pdeinv.errors import InputError

__all__ = ["code_digest", "module_of"]

_Seen: TypeAlias = dict[int, tuple[int, Any]]
"""Objects that were met, by their id, with their place in the order."""

_REFERS = {"LOAD_GLOBAL", "LOAD_NAME"}
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))


def code_digest(function: Any) -> str:
    """Return a text that changes with the code of a function, and with the data that it refers to.

    These are its defaults, its closure, and the functions and the data of its module that it names,
    and those which these name in turn. A module that is not installed, such as a file in the same
    folder, counts by its whole text. What is installed counts by its name alone, as does what
    cannot be pickled.

    Arguments:
        function: anything that can be called.

    Raises:
        InputError: the data is nested too deeply.
    """
    digest = hashlib.sha256()
    try:
        for part in _parts(function, module_of(function), {}):
            digest.update(len(part).to_bytes(8, "little") + part)
    except RecursionError:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        raise InputError(
            f"the data that the function {name} refers to must not be nested deeply, got more "
            f"levels than Python follows; keep it in a flat list or in an array"
        ) from None
    return digest.hexdigest()


def module_of(function: Any) -> str:
    """Return the name of the module that a function, or the class of what is called, is of."""
    while isinstance(function, functools.partial):
        function = function.func
    named = hasattr(function, "__qualname__")
    return str((function if named else type(function)).__module__)


def _parts(value: Any, module: str, seen: _Seen) -> Iterator[bytes]:
    """Yield the parts of which the digest is that of a value, in a fixed order."""
    if isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
        return
    if id(value) in seen:  # of a recursion, or of an object that two names share
        yield f"again {seen[id(value)][0]}".encode()
        return
    seen[id(value)] = (len(seen), value)  # which keeps its number from another one
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
        yield from _of_module(value.__name__, seen)
    else:
        yield from _of_object(value, module, seen)


def _of_function(function: types.FunctionType, module: str, seen: _Seen) -> Iterator[bytes]:
    if function.__module__ != module:
        yield function.__qualname__.encode()
        yield from _of_module(str(function.__module__), seen)
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


def _of_code(code: types.CodeType, module: str, seen: _Seen) -> Iterator[bytes]:
    yield code.co_code
    yield from (name.encode() for name in (*code.co_names, *code.co_varnames, *code.co_freevars))
    for constant in code.co_consts:
        yield from _parts(constant, module, seen)


def _globals_of(code: types.CodeType) -> set[str]:
    """Return the names of globals that a code, or a function in it, refers to."""
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    own = {i.argval for i in dis.get_instructions(code) if i.opname in _REFERS}
    return own.union(*map(_globals_of, inner))


def _of_module(name: str, seen: _Seen) -> Iterator[bytes]:
    """Of a module: its name, and its text and that of those it refers to where it is a user's."""
    yield name.encode()
    module = sys.modules.get(name)
    file = str(getattr(module, "__file__", None) or "")
    if not file.endswith(".py") or name.partition(".")[0] == "pdeinv" or _is_installed(file):
        return
    if module is None or id(module.__dict__) in seen:
        return
    seen[id(module.__dict__)] = (len(seen), module.__dict__)
    try:
        yield Path(file).read_bytes()
    except OSError:
        yield b"unreadable"
    others = {
        value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "")
        for value in list(vars(module).values())
    }
    for other in sorted(str(other) for other in others if isinstance(other, str)):
        yield from _of_module(other, seen)


@functools.cache
def _is_installed(file: str) -> bool:
    path = Path(file).resolve()
    return any(path.is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    stated = [sysconfig.get_path(name) for name in names]
    return tuple(
        Path(folder).resolve()
        for folder in (*stated, *site.getsitepackages(), site.getusersitepackages())
    )


def _of_object(value: Any, module: str, seen: _Seen) -> Iterator[bytes]:
    kind = value if isinstance(value, type) else type(value)
    yield kind.__qualname__.encode()
    if kind.__module__ != module:
        yield from _of_module(str(kind.__module__), seen)
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _parts(entry, module, seen)
    elif isinstance(value, set | frozenset):
        yield from sorted(b"".join(_parts(entry, module, dict(seen))) for entry in value)
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


def _of_instance(value: Any, kind: type, module: str, seen: _Seen) -> Iterator[bytes]:
    """Of a class, or an instance: its functions, if it is of the same module, and its state."""
    for base in kind.__mro__:
        for name, member in sorted(vars(base).items()) if base.__module__ == module else ():
            if not name.startswith("__") or name in ("__call__", "__init__"):
                yield name.encode()
                of = getattr(member, "__func__", getattr(member, "fget", member))
                yield from _parts(of, module, seen)
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
