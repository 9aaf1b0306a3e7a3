"""The contract of a PDE, checked on random coefficients, for its author."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch

from pdeinv import seeds
from pdeinv.checks import described
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.claims import (
    DERIVATIVE,
    LINEAR,
    SYMMETRIC,
    check_derivative,
    check_linearity,
    check_symmetry,
    nonlinearity,
    some_symmetries,
)
from pdeinv.datasets.linear_fields import LINEAR_FIELDS, check_linear_fields
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError
from pdeinv.grid import Grid

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_pde"]

_DRAWS = 3
_SAME = 1e-8  # deviations of what must be equal, such as of a coefficient in another batch
_VANISHES = 1e-6  # residuals, as shares of those of a solution of 0
_CLOSE = 0.1  # a surrogate to its solution
_EXACTLY_LINEAR = 1e-8


class _Finding(NamedTuple):
    check: str
    deviation: float
    allowed: float
    note: str = ""


def check_pde(
    pde: PDE,
    prior: CoefficientPrior | None = None,
    *,
    grid: int | Grid = 16,
    seed: int = 0,
) -> pd.DataFrame:
    """Check what solvers take for granted of a PDE; return what was checked, with the deviations.

    Arguments:
        pde: the physics, such as one of your own class.
        prior: of the coefficient; its `default_prior` if None.
        grid: on which, or its nodes on the shorter side.
        seed: of the random coefficients.

    Returns:
        A table with the columns `check`, `deviation` (a share of what is compared), `allowed` and
        `note`.

    Raises:
        InputError: at the first check that fails.
        NumericalError: a solve failed.

    Example:
        >>> from pdeinv.datasets import Poisson, check_pde
        >>> table = check_pde(Poisson()).set_index("check")
        >>> bool((table.deviation <= table.allowed).all())
        True
        >>> list(table.index)[:3]
        ['coefficients are those of the physics', 'solutions are finite', 'batches do not matter']
    """
    import pandas as pd

    if isinstance(pde, type) or not isinstance(pde, PDE):
        raise InputError(f"pde must be an instance of a PDE, got {described(pde)}; call its class")
    problem = Problem(pde, prior)  # type: ignore[arg-type]  # None is the default
    nodes = grid if isinstance(grid, Grid) else pde.grid(grid)
    generator = seeds.generator(seeds.TUNING, seed)
    a = problem.sample_coefficient(_DRAWS, nodes, generator)
    with torch.no_grad():
        found = [*_of_coefficients(pde, a), *_of_solutions(pde, a, nodes)]
        found += _of_claims(pde, a, nodes, generator)
    if pde.differentiable:
        deviation = check_derivative(pde, a[:1], a[1:2])
        found.append(_Finding("the gradient is that of differences", deviation, DERIVATIVE))
    return pd.DataFrame(found, columns=list(_Finding._fields))


def _held(check: str, deviation: float, allowed: float, must: str, remedy: str) -> _Finding:
    """Return a finding.

    Raises:
        InputError: the deviation is not within what is allowed.
    """
    if not deviation <= allowed:
        raise InputError(f"{must}, got a deviation of {deviation:.2g}; {remedy}")
    return _Finding(check, deviation, allowed)


def _of_coefficients(pde: PDE, a: torch.Tensor) -> Iterator[_Finding]:
    low = float(a.amin())
    if pde.positive_coefficient and low <= 0:
        raise InputError(
            f"the coefficient of {pde.name} must be positive everywhere, got {low:.3g} of its "
            f"prior; choose a prior such as LogNormal"
        )
    yield _held(
        "coefficients are those of the physics",
        _distance(pde.restrict(a), a),
        _SAME,
        f"restrict of {pde.name} must leave a coefficient that it returned",
        "correct it",
    )


def _of_solutions(pde: PDE, a: torch.Tensor, grid: Grid) -> Iterator[_Finding]:
    name, state = pde.name, torch.cat([a, pde.respond(a)], dim=1)
    u = state[:, list(pde.solution_channels)]
    if state.shape[1] != len(pde.fields):
        raise InputError(
            f"respond of {name} must return {len(pde.fields) - 1} channels, got "
            f"{state.shape[1] - 1}; return one for each field but the coefficient"
        )
    wrong = float((~state.isfinite()).double().mean())
    must = f"solutions of {name} must be finite"
    yield _held("solutions are finite", wrong, 0.0, must, "raise NumericalError where it fails")
    alone = torch.cat([pde.respond(one) for one in a.split(1)])
    must = f"the solution of {name} must not depend on the other coefficients of its batch"
    remedy = "compute each from its own coefficient, and leave it as it is"
    yield _held("batches do not matter", _distance(alone, state[:, 1:]), _SAME, must, remedy)
    solved = _distance(pde.solve(a), u)
    must = f"respond of {name} must hold what solve returns"
    yield _held("respond holds the solution", solved, _SAME, must, "correct it")
    zero = pde.residual(a, torch.zeros_like(u))
    left = _ratio(pde.residual(a, u), zero)
    must = f"the residual of {name} must vanish for its solution"
    yield _held("the residual vanishes", left, _VANISHES, must, "correct residual or solve")
    rough = _distance(pde.surrogate(a), u)
    must = f"the surrogate of {name} must be close to solve"
    yield _held("the surrogate is close", rough, _CLOSE, must, "refine it")
    deviation = 0.0
    for channel in range(len(pde.fields)):
        known = pde.known_values(channel, grid.points().double()).reshape(grid.shape)
        fixed = ~known.isnan()
        if bool(fixed.any()):
            values = state[:, channel, fixed]
            scale = values.abs().max().clamp(min=state[:, channel].abs().max())
            deviation = max(deviation, float((values - known[fixed]).abs().max() / scale))
    must = f"known_values of {name} must be those of its states"
    yield _held("known values are kept", deviation, _SAME, must, "correct them or solve")


def _of_claims(
    pde: PDE, a: torch.Tensor, grid: Grid, generator: torch.Generator
) -> Iterator[_Finding]:
    first, second = a[:1], a[1:2]
    u = pde.respond(first)
    if pde.linear:
        deviation = check_linearity(pde, first, second, u)
        yield _Finding("it is linear", deviation, LINEAR)
    else:
        deviation = nonlinearity(pde, first, second, u)
        linear = deviation < _EXACTLY_LINEAR
        note = "not claimed; it is linear: set linear = True" if linear else "not claimed"
        yield _Finding("it is linear", deviation, float("inf"), note)
    deviation = check_linear_fields(pde, torch.cat([first, u], dim=1))
    note = f"{len(pde.linear_channels)} fields" if pde.linear_channels else "none is claimed"
    yield _Finding("derived fields are linear", deviation, LINEAR_FIELDS, note)
    elements = some_symmetries(pde, grid, generator)
    deviations = [check_symmetry(pde, g, first, u, grid) for g in elements]
    note = f"{len(elements)} elements" if elements else "none is claimed"
    yield _Finding("solve(g a) = g solve(a)", max(deviations, default=0.0), SYMMETRIC, note)


def _distance(u: torch.Tensor, exact: torch.Tensor) -> float:
    return _ratio(u - exact, exact)


def _ratio(deviation: torch.Tensor, scale: torch.Tensor) -> float:
    return float(deviation.norm() / scale.norm().clamp(min=torch.finfo(scale.dtype).tiny))
