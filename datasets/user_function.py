"""A function of the user's that computes fields of a coefficient, and what its calls return."""

from __future__ import annotations

import pickle
import sys
import traceback
import types
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pdeinv.annotations import Convertible
from pdeinv.checks import described
from pdeinv.datasets.code_digest import code_digest, module_of
from pdeinv.datasets.function_results import Memory
from pdeinv.errors import InputError, NumericalError
from pdeinv.external import folder_of

__all__ = ["UserFunction"]


@dataclass(frozen=True, eq=False, repr=False)
class UserFunction(Convertible):
    """A function of the user's: it travels to worker processes by value, and its errors are named.

    Arguments:
        value: anything that can be called.
        digest: see `code_digest`; that of the value, as it is now, if empty.
        file: where it is written; that of its code, if empty.
    """

    value: Callable[..., Any]
    digest: str = ""
    file: str = ""
    memory: Memory = field(default_factory=Memory)
    """Its finished results in this process."""

    def __post_init__(self) -> None:
        code = _code_of(self.value)
        object.__setattr__(self, "digest", self.digest or code_digest(self.value))
        object.__setattr__(self, "file", self.file or (code.co_filename if code else ""))

    @classmethod
    def of(cls, value: Any, what: str) -> UserFunction:
        if isinstance(value, UserFunction):
            return value
        if not callable(value) or isinstance(value, type):
            raise InputError(
                f"{what} must be a function of a coefficient, got {described(value)}; give one"
            )
        return cls(value)

    def to_json(self, what: str) -> Any:
        raise InputError(
            f"{what} must be one that files can hold, got {self!r}; keep what pde_from_function "
            f"returns in a Python file, and state it as file.py:name"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserFunction) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)

    def __repr__(self) -> str:
        return f"the function {self.name}"

    @property
    def name(self) -> str:
        """Its name, as messages have it."""
        named = self.value
        while hasattr(named, "func"):  # partial
            named = named.func
        name = str(getattr(named, "__name__", type(named).__name__))
        return name if name.isidentifier() else "(lambda)"

    @property
    def summary(self) -> str:
        """The first line of its docstring, or else its name."""
        own = isinstance(self.value, types.FunctionType | types.MethodType)
        text = ((self.value.__doc__ if own else None) or "").strip()
        return text.splitlines()[0] if text else repr(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (*self._by_value, self.digest, self.file)

    @cached_property
    def _by_value(self) -> tuple[bytes, str]:
        """The pickled function, and the folder from which its file may import.

        It is compressed, since `for_each` looks for the name of the main program in what it
        pickles; a function by value does not need that program.
        """
        import cloudpickle

        module = sys.modules.get(module_of(self.value))
        folder = folder_of(module.__name__) if module else ""
        if folder:
            cloudpickle.register_pickle_by_value(module)
        try:
            return zlib.compress(cloudpickle.dumps(self.value)), folder
        except Exception as error:
            raise InputError(
                f"{self!r} must be one that worker processes can be sent, got "
                f"{type(error).__name__}: {' '.join(str(error).split())}; use workers=1"
            ) from None
        finally:
            if folder:
                cloudpickle.unregister_pickle_by_value(module)

    def values(self, a: np.ndarray, outputs: int, *, batched: bool, tensors: bool) -> np.ndarray:
        """Return all outputs (batch, outputs, ny, nx) of coefficients (batch, ny, nx), float64.

        Where the function is unstable, by a `NumericalError` or by what is not finite, they are
        nan.

        Arguments:
            a: the coefficients.
            outputs: number of the function's outputs.
            batched, tensors: as of `FunctionPDE`.

        Raises:
            InputError: the function fails, or returns something else.
        """
        if not batched or len(a) == 1:
            found = [self._of_one(one, outputs, batched, tensors) for one in a]
            return np.stack(found)
        try:
            with self._named_errors(a):
                returned = self.value(_given(a, tensors))
        except NumericalError:
            found = [self._of_one(one, outputs, batched, tensors) for one in a]
            return np.stack(found)
        return self._array(returned, a.shape, outputs)

    def _of_one(self, a: np.ndarray, outputs: int, batched: bool, tensors: bool) -> np.ndarray:
        given = a[None] if batched else a
        try:
            with self._named_errors(given):
                returned = self.value(_given(given, tensors))
        except NumericalError:
            return np.full((outputs, *a.shape), np.nan)
        found = self._array(returned, given.shape, outputs)
        return found[0] if batched else found

    def _array(self, returned: Any, given: tuple[int, ...], outputs: int) -> np.ndarray:
        """Return what the function returned as (..., outputs, ny, nx)."""
        batch, (ny, nx) = given[:-2], given[-2:]
        try:
            if isinstance(returned, list | tuple):
                returned = [_plain(one) for one in returned]
            array = np.asarray(_plain(returned))
        except (TypeError, ValueError, RuntimeError):
            raise InputError(self._must_return(given, outputs, described(returned))) from None
        if array.dtype.kind not in "fiu":
            got = described(returned) if array.dtype == object else f"numbers of {array.dtype}"
            raise InputError(self._must_return(given, outputs, got))
        allowed = [(*batch, outputs, ny, nx)] + ([(*batch, ny, nx)] if outputs == 1 else [])
        if array.shape not in allowed:
            got = f"an array of the shape {array.shape}"
            raise InputError(self._must_return(given, outputs, got))
        array = array.astype(np.float64).reshape(allowed[0])
        whole = np.isfinite(array).all(axis=(-1, -2, -3), keepdims=True)
        return np.where(whole, array, np.nan)

    def pulled_back(self, a: np.ndarray, v: np.ndarray, *, batched: bool) -> np.ndarray:
        """Return the gradients (batch, 1, ny, nx) of the function, an adjoint, nan where it is
        unstable.

        Arguments:
            a: coefficients (batch, ny, nx).
            v: weights (batch, outputs, ny, nx).
            batched: as of `FunctionPDE`.

        Raises:
            InputError: the function fails, or returns something else.
        """
        v = v[:, 0] if v.shape[1] == 1 else v
        pairs = [(a, v)] if batched else list(zip(a, v, strict=True))
        found = []
        for given, weights in pairs:
            try:
                with self._named_errors(given):
                    returned = self.value(given.copy(), weights.copy())
            except NumericalError:
                found.append(np.full((*given.shape[:-2], 1, *given.shape[-2:]), np.nan))
                continue
            found.append(self._array(returned, given.shape, 1))
        return found[0] if batched else np.stack(found)

    def _must_return(self, given: tuple[int, ...], outputs: int, got: str) -> str:
        shape = (*given[:-2], outputs, *given[-2:]) if outputs > 1 else given
        several = f", {outputs} outputs," if outputs > 1 else ""
        return (
            f"{self!r} must return real numbers{several} of the shape {shape} for a coefficient of "
            f"the shape {given}, got {got}; correct it"
        )

    def tensor(self, a: torch.Tensor, outputs: int) -> torch.Tensor:
        """Return the outputs of a tensor as the function computes them, float64, with their graph.

        Arguments:
            a: (ny, nx), or (batch, ny, nx) of a function of batches.
            outputs: as of `values`.

        Returns:
            (outputs, ny, nx), or (batch, outputs, ny, nx).

        Raises:
            InputError: the function fails, or returns something else.
            NumericalError: the result is not finite.
        """
        with self._named_errors(a):
            returned = self.value(a.clone())  # which the function may change
            if isinstance(returned, list | tuple):
                returned = torch.stack(tuple(returned), dim=-3)
        shape = tuple(a.shape)
        if not isinstance(returned, torch.Tensor) or not returned.is_floating_point():
            raise InputError(self._must_return(shape, outputs, described(returned)))
        whole = (*shape[:-2], outputs, *shape[-2:])
        if tuple(returned.shape) not in [whole, shape][: 1 + (outputs == 1)]:
            got = f"a tensor of the shape {tuple(returned.shape)}"
            raise InputError(self._must_return(shape, outputs, got))
        if not returned.requires_grad:
            raise InputError(
                f"{self!r} must compute with torch from its argument to be differentiated, got "
                f"what does not depend on it; remove detach() and numpy, or state another gradient"
            )
        return returned.reshape(whole).double()

    @contextmanager
    def _named_errors(self, a: np.ndarray | torch.Tensor) -> Iterator[None]:
        """Raise what fails in the function as an `InputError` with its line."""
        try:
            yield
        except (InputError, NumericalError):
            raise
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{self!r} must run without an error for a coefficient of the shape "
                f"{tuple(a.shape)}, got {type(error).__name__}{self._place(error)}: "
                f"{' '.join(str(error).split())}; correct it"
            ) from error

    def _place(self, error: BaseException) -> str:
        """Return the last line of the function's own file on the way to an error."""
        code = _code_of(self.value)
        file = None if code is None else code.co_filename
        lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
        return f" in line {lines[-1]} of {Path(self.file).name}" if lines else ""


def _code_of(called: Any) -> types.CodeType | None:
    while hasattr(called, "func"):
        called = called.func
    if not hasattr(called, "__code__"):
        called = getattr(called, "__func__", vars(type(called)).get("__call__"))
    return getattr(called, "__code__", None)


def _unpickled(compressed: bytes, folder: str, digest: str, file: str) -> UserFunction:
    if folder and folder not in sys.path:
        sys.path.append(folder)
    return UserFunction(pickle.loads(zlib.decompress(compressed)), digest, file)


def _given(a: np.ndarray, tensors: bool) -> np.ndarray | torch.Tensor:
    """Return a copy, which the function may change."""
    return torch.tensor(a) if tensors else a.copy()


def _plain(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.ma.filled(value.astype(float), np.nan) if np.ma.isMaskedArray(value) else value
