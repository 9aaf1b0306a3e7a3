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

    The function must depend on the coefficient alone. What else it reads, such as a global
    variable, counts as it is when this is called.

    Arguments:
        function: from one coefficient (ny, nx), indexed [y, x], to one output (ny, nx), several
            (outputs, ny, nx), or a list of such arrays: of numpy, float64, or tensors of torch with
            `gradient="autograd"`. A result with nan, or a `pdeinv.NumericalError`, states that this
            coefficient has no solution.
        fields: of the coefficient and of the outputs in turn: names, or a `Field` each.
        domain: the rectangle, or its (x0, x1, y0, y1); the unit square if None.
        gradient: "autograd", where torch differentiates the function; or its adjoint: a function
            of the coefficient (ny, nx) and weights v, of the shape of the outputs, that returns the
            gradient of the sum of v times the outputs, (ny, nx); or None. Methods that need no
            derivatives remain then.
        batched: whether the function takes (batch, ny, nx) and returns (batch, ny, nx) or (batch,
            outputs, ny, nx), and an adjoint likewise.
        times: rising times of the outputs, where the function returns all its fields at each time
            in turn. The last is that of the solution.
        time_units: of the times.
        grid_kind: "vertex" or "periodic".
        positive: whether the coefficient must be positive everywhere.
        linear: whether the outputs are affine in the coefficient, which is tested.
        symmetries: elements g with function(g a) = g function(a), which are tested.
        prior: of the coefficient where none is given; as of `PDE.default_prior` if None, and for a
            positive coefficient log-normal with the median 1.
        name, equation: of the physics, for files and people; those of the function, which are its
            name and the first line of its docstring, if empty.
        workers: number of processes for a slow function, which they are sent by value. A
            coefficient is one call.
        store: folder that keeps each finished result (see `pdeinv.datasets.function_results`): a
            repeated run continues from there. A function of other code has other results.

    Raises:
        InputError: a value is not allowed.

    Example:
        >>> import pdeinv
        >>> decay = pdeinv.pde_from_function(lambda a: 2 * a, ["rate", "level"], linear=True)
        >>> table = {"field": "level", "x": [0.3], "y": [0.4], "value": [1.0]}
        >>> result = pdeinv.reconstruct(table, decay, noise=0.1, grid=16)
        >>> result.attrs["solver"], result.rate_mean.shape
        ('optimal-interpolation', (16, 16))
    """
    if domain is not None and not isinstance(domain, Domain):
        domain = Domain(tuple(domain))  # type: ignore[arg-type]
    called = UserFunction.of(function, "the function of a PDE")
    own = called.name.strip("()_").replace("_", "-")
    name = name or (f"{own}-function" if own in PDES else own)
    if name in PDES:
        raise InputError(f"name of a function's PDE must be new, got {name!r}; choose another one")
    if isinstance(fields, str) or not isinstance(fields, Iterable):
        raise InputError(
            f"fields of {name} must be a list of names, got {described(fields)}; list them"
        )
    return FunctionPDE(
        called,
        tuple(Field(f, f.replace("_", " ")) if isinstance(f, str) else f for f in fields),
        adjoint=_adjoint(gradient, name),
        autograd=gradient == "autograd",
        batched=batched,
        output_times=tuple(times),
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
        domain=domain or Domain(),
    )


def _adjoint(gradient: Any, name: str) -> UserFunction | None:
    if gradient is None or gradient == "autograd":
        return None
    if isinstance(gradient, str):
        raise InputError(
            f"gradient of {name} must be 'autograd', a function or None, got {gradient!r}; use one "
            f"of them"
        )
    return UserFunction.of(gradient, f"gradient of {name}")
