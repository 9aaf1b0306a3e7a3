"""Classes and instances from files outside of the package: `file.py:name`.

A data file can name one too. Its code does not run for that: see `named_by_data`.
"""

from __future__ import annotations

import copyreg
import dataclasses
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from pdeinv.checks import described
from pdeinv.errors import InputError, NumericalError

__all__ = [
    "UnknownFile",
    "folder_of",
    "is_reference",
    "load_class",
    "load_instance",
    "load_named",
    "make_instance",
    "named_by_data",
    "run_named",
    "source_of",
]

Kind = TypeVar("Kind")
Made = TypeVar("Made")

_PREFIX = "pdeinv_file_"
_AS_GIVEN = "__path_as_given__"
_by_data: ContextVar[bool] = ContextVar("by_data", default=False)


class UnknownFile(InputError):
    """A data file names a Python file that the caller has not named."""


@contextmanager
def named_by_data() -> Iterator[None]:
    """Run no Python file that is named meanwhile, as by the header of a dataset or of a model.

    A file that the caller has named is known, as long as it is unchanged.

    Raises:
        UnknownFile: another one is named.
    """
    token = _by_data.set(True)
    try:
        yield
    finally:
        _by_data.reset(token)


def is_reference(name: object) -> bool:
    """Return whether a name has the form `file.py:Class`."""
    return isinstance(name, str) and name.rpartition(":")[0].endswith(".py")


def load_class(reference: str, base: type[Kind], registry: dict) -> type[Kind]:
    """Return a class from a file; arguments and errors as of `load_named`."""
    return _load(reference, base, registry, (type,))


def load_named(
    reference: str, base: type[Kind], registry: dict, wrapper: str = ""
) -> type[Kind] | Kind:
    """Return a class from a file, or an instance at its top level.

    The file runs once, as a module, with its folder on the path; again when it has changed. What it
    registers is registered for that time alone.

    Arguments:
        reference: `file.py:name`.
        base: what it must derive from.
        registry: the table of names that the file may change.
        wrapper: what makes one of a plain function, for the message; "" for nothing.

    Raises:
        InputError: there is no such file or name, it is of another kind, or the file fails.
    """
    return _load(reference, base, registry, (type, base), wrapper)


def load_instance(reference: str, base: type[Kind], registry: dict) -> Kind:
    """Return an instance from a file: what a name of the file stands for, or one of a class with
    its default settings; arguments and errors as of `load_named`."""
    found = load_named(reference, base, registry)
    return make_instance(found, {}) if isinstance(found, type) else found


def _load(
    reference: str, base: type, registry: dict, kinds: tuple[type, ...], wrapper: str = ""
) -> Any:
    path, _, name = reference.rpartition(":")
    module = _module(Path(path), registry, reference)
    found: Any = getattr(module, name, None)
    if not _suits(found, base, kinds):
        own = [
            key
            for key, value in vars(module).items()
            if _suits(value, base, kinds)
            and (not isinstance(value, type) or value.__module__ == module.__name__)
        ]
        remedy = " or ".join(f"{path}:{key}" for key in own) or f"a class from {base.__name__}"
        if wrapper and callable(found) and not isinstance(found, type):
            remedy = f"{path}:pde after a line pde = {wrapper}({name}, fields) in that file"
        instance = f", or an instance of {base.__name__}" if base in kinds else ""
        raise InputError(
            f"{name!r} in {path} must be a class that derives from {base.__name__} and has all its "
            f"methods{instance}, got {_got(found)}; use {remedy}"
        )
    kind = found if isinstance(found, type) else type(found)
    if source_of(kind) and dataclasses.is_dataclass(kind):
        copyreg.pickle(kind, _reduce)
    return found


def make_instance(kind: type[Kind], settings: dict[str, Any]) -> Kind:
    """Return an instance of a class, which may be one of `load_class`.

    Raises:
        InputError: the class refuses its settings, or the code of a user's class fails.
    """
    return run_named(kind, lambda: kind(**settings))


def run_named(kind: type, make: Callable[[], Made]) -> Made:
    """Return what a function makes of a class, which may be one of a user's file.

    Raises:
        InputError: the class refuses its settings, or the code of a user's class fails.
    """
    if not source_of(kind):
        return make()
    with _named_errors(f"{kind.__name__} of {source_of(kind).rpartition(':')[0]}", kind.__module__):
        return make()


def source_of(kind: type) -> str:
    """Return the `file.py:Class` by which a class was loaded, else ""."""
    if not kind.__module__.startswith(_PREFIX):
        return ""
    return f"{vars(sys.modules[kind.__module__])[_AS_GIVEN]}:{kind.__qualname__}"


def folder_of(module: str) -> str:
    """Return the folder of the file that a module was loaded from by `load_named`, else ""."""
    if not module.startswith(_PREFIX):
        return ""
    return str(Path(str(sys.modules[module].__file__)).parent)


def _suits(found: Any, base: type, kinds: tuple[type, ...]) -> bool:
    if not isinstance(found, type):
        return isinstance(found, tuple(k for k in kinds if k is not type))
    return issubclass(found, base) and not inspect.isabstract(found)


def _got(kind: Any) -> str:
    if kind is None:
        return "none of that name"
    if not isinstance(kind, type):
        return described(kind)
    missing = sorted(getattr(kind, "__abstractmethods__", ()))
    return f"{kind.__name__}, which lacks {', '.join(missing)}" if missing else described(kind)


def _reduce(instance: Any) -> tuple[Callable, tuple]:
    """Pickle an instance by its file, which another process does not have as a module."""
    fields = [f.name for f in dataclasses.fields(instance) if f.init]
    kind = type(instance)
    reference = f"{sys.modules[kind.__module__].__file__}:{kind.__qualname__}"
    return _rebuild, (reference, {name: getattr(instance, name) for name in fields})


def _rebuild(reference: str, settings: dict[str, Any]) -> object:
    return load_class(reference, object, {})(**settings)


def _module(path: Path, registry: dict, reference: str) -> ModuleType:
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if _by_data.get():
            raise _unknown(reference) from None
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} must be a Python file that can be read, got: {reason}; check its name"
        ) from None
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + content).hexdigest()[:16]
    name = f"{_PREFIX}{digest}"
    if name in sys.modules:
        return sys.modules[name]
    if _by_data.get():
        raise _unknown(reference)
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None  # for a name that ends with .py
    module = importlib.util.module_from_spec(spec)
    setattr(module, _AS_GIVEN, str(path))
    sys.modules[name] = module  # dataclasses look their annotations up there
    known, folder = dict(registry), str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        with _named_errors(str(path), name):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(folder)
        registry.clear()
        registry.update(known)
    return module


def _unknown(reference: str) -> UnknownFile:
    return UnknownFile(
        f"a Python file that a data file names must be one that you give too, got "
        f"{described(reference)}, whose code was not run; if you trust it give it as pde= (--pde) "
        f"or prior= (--prior), or by its problem file"
    )


@contextmanager
def _named_errors(what: str, module: str) -> Iterator[None]:
    """Raise what fails in a user's file as an `InputError` with its line."""
    try:
        yield
    except (InputError, NumericalError, MemoryError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too, as of a script without a guard
        line = error.lineno if isinstance(error, SyntaxError) else None
        file = vars(sys.modules[module]).get("__file__")
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == file:
                line = frame.lineno
        place = f" in line {line}" if line else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        raise InputError(
            f"{what} must run without an error, got {type(error).__name__}{place}: "
            f"{' '.join(message.split())}; mend the file"
        ) from error
