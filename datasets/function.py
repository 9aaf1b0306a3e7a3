"""A function of one's own, such as a call of another program, as physics."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from pdeinv.checks import described, path_of
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.function_pde import FunctionPDE
from pdeinv.datasets.registry import PDES
from pdeinv.datasets.user_function import UserFunction
from pdeinv.errors import InputError
from pdeinv.fields import Field
from pdeinv.grid import Domain, GridKind
from pdeinv.symmetry import Group, trivial_group

__all__ = ["pde_from_function"]


def pde_from_function(
    function: Callable[..., Any],
    fields: Sequence[str | Field],
    domain: Domain | Sequence[float] | None = None,
    *,
    gradient: Literal["autograd"] | Callable[..., Any] | None = None,
    batched: bool = False,
    times: Sequence[float] = (),
    time_units: str = "1",
    grid_kind: GridKind = "vertex",
    positive: bool = False,
    linear: bool = False,
    symmetries: Group | None = None,
    prior: CoefficientPrior | None = None,
    name: str = "",
    equation: str = "",
    workers: int = 1,
    store: str | os.PathLike | None = None,
) -> FunctionPDE:
    """Return physics whose solution a function computes; it goes wherever a PDE does.

    Arguments:
        function: from one coefficient (ny, nx), indexed [y, x], to one output (ny, nx), several
            (outputs, ny, nx), or a list of such arrays; of numpy or, with "autograd", of torch.
        fields: of the coefficient and of the outputs in turn: names, or a `Field` each.
        domain: the rectangle, or its (x0, x1, y0, y1); the unit square if None.
        gradient: "autograd", an adjoint or None, as `autograd` and `adjoint` of `FunctionPDE`.
        batched, time_units, grid_kind, linear, prior, name, equation, workers, store: as of
            `FunctionPDE`.
        times, positive, symmetries: as `output_times`, `positive_coefficient` and
            `operator_symmetries` of `FunctionPDE`.

    Example:
        >>> import pdeinv
        >>> decay = pdeinv.pde_from_function(lambda a: 2 * a, ["rate", "level"], linear=True)
        >>> table = {"field": "level", "x": [0.3], "y": [0.4], "value": [1.0]}
        >>> pdeinv.reconstruct(table, decay, noise=0.1, grid=16).rate_mean.shape
        (16, 16)
    """
    called = UserFunction.of(function, "the function of a PDE")
    name = _new_name(name, called)
    return FunctionPDE(
        called,
        _fields(fields, name),
        adjoint=_adjoint(gradient, name),
        autograd=gradient == "autograd",
        batched=batched,
        output_times=_times(times, name),
        time_units=time_units,
        grid_kind=grid_kind,
        positive_coefficient=positive,
        linear=linear,
        operator_symmetries=symmetries or trivial_group(),
        prior=prior,
        name=name,
        equation=equation or called.summary,
        workers=workers,
        store=None if store is None else os.fspath(path_of(f"store of {name}", store)),
        domain=_domain(domain, name),
    )


def _new_name(name: str, called: UserFunction) -> str:
    own = called.name.strip("()_").replace("_", "-")
    name = name or (f"{own}-function" if own in PDES else own)
    if name in PDES:
        raise InputError(f"name of a function's PDE must be new, got {name!r}; choose another one")
    return name


def _fields(fields: Any, name: str) -> tuple[Field, ...]:
    if isinstance(fields, str) or not isinstance(fields, Iterable):
        raise InputError(
            f"fields of {name} must be a list of names, got {described(fields)}; list them"
        )
    return tuple(Field(f, f.replace("_", " ")) if isinstance(f, str) else f for f in fields)


def _times(times: Any, name: str) -> tuple[float, ...]:
    if isinstance(times, str) or not isinstance(times, Iterable):
        raise InputError(
            f"times of {name} must be a list of numbers, got {described(times)}; list them"
        )
    return tuple(times)


def _domain(domain: Any, name: str) -> Domain:
    if domain is None or isinstance(domain, Domain):
        return domain or Domain()
    if isinstance(domain, str) or not isinstance(domain, Iterable):
        raise InputError(
            f"domain of {name} must be a Domain or its (x0, x1, y0, y1), got {described(domain)}; "
            f"give one of them"
        )
    return Domain(tuple(domain))


def _adjoint(gradient: Any, name: str) -> UserFunction | None:
    if gradient is None or gradient == "autograd":
        return None
    if isinstance(gradient, str):
        raise InputError(
            f"gradient of {name} must be 'autograd', a function or None, got {gradient!r}; use one "
            f"of them"
        )
    return UserFunction.of(gradient, f"gradient of {name}")
