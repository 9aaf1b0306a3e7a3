"""What a PDE claims of itself, measured: linearity, symmetries and derivatives.

`check_claims` tests the claims of a PDE that is not the package's, before a solver uses them.
"""

from __future__ import annotations

from contextlib import suppress

import torch

from pdeinv import seeds
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.function_pde import FunctionPDE
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Grid
from pdeinv.symmetry import Symmetry

__all__ = [
    "DERIVATIVE",
    "LINEAR",
    "SYMMETRIC",
    "check_claims",
    "check_derivative",
    "check_linearity",
    "check_symmetry",
    "nonlinearity",
    "some_symmetries",
]

LINEAR = 1e-3
"""Largest deviation from linearity, which iterations of a solve may leave."""
SYMMETRIC = 1e-2
"""Largest deviation from a symmetry, which a mesh of triangles may leave."""
DERIVATIVE = 5e-2
"""Largest deviation of a derivative, which an adjoint of the continuous equation may leave."""

_SHARE = 0.3  # of one coefficient in a mixture of two
_STEP = 1e-3  # of a difference, as a share of the distance between two draws
_ELEMENTS = 3  # symmetries that are tested, one solve each
_REMEMBERED = 64  # PDEs

_tested: dict[PDE, set[str]] = {}


def check_claims(pde: PDE, prior: object, grid: Grid, *, derivative: bool) -> None:
    """Refuse a PDE, not one of the package's, for which a claim does not hold; test each once.

    That a PDE is linear takes 3 solves, a symmetry one more for each of 3 elements, a derivative 4.
    Where nothing is claimed nothing is solved.

    Arguments:
        pde: the physics; of `Experiments`, each.
        prior: of its coefficient; that of the PDE takes its place where it cannot be drawn from.
        grid: on which claims are tested.
        derivative: whether derivatives are used, and so tested.

    Raises:
        InputError: with the measured deviation and the remedy.
    """
    for one in (pde, *pde.experiments.values()):
        kind = type(one)
        if not kind.__module__.startswith("pdeinv.") or kind is FunctionPDE:
            with suppress(NumericalError):  # such draws state nothing
                _check(one, prior, grid, derivative)


def _check(pde: PDE, prior: object, grid: Grid, derivative: bool) -> None:
    wanted = {
        "linear": pde.linear,
        "symmetric": len(pde.symmetries) > 1 or bool(pde.symmetries.translations),
        "derivative": derivative and pde.differentiable,
    }
    tested = _tests_of(pde)
    missing = {claim for claim, claimed in wanted.items() if claimed} - tested
    if not missing:
        return
    given = prior if isinstance(prior, CoefficientPrior) else pde.default_prior
    generator = seeds.generator(seeds.STATISTICS)
    a, b = Problem(pde, given).sample_coefficient(2, grid, generator).split(1)
    with torch.no_grad():
        u = pde.respond(a) if missing & {"linear", "symmetric"} else a
        if "linear" in missing:
            check_linearity(pde, a, b, u)
        if "symmetric" in missing:
            for g in some_symmetries(pde, grid, generator):
                check_symmetry(pde, g, a, u, grid)
    if "derivative" in missing:
        check_derivative(pde, a, b)
    tested |= missing


def _tests_of(pde: PDE) -> set[str]:
    """Return the set of the claims of a PDE that were tested."""
    try:
        if len(_tested) >= _REMEMBERED and pde not in _tested:
            del _tested[next(iter(_tested))]
        return _tested.setdefault(pde, set())
    except TypeError:  # a user's class without a hash
        return set()


def nonlinearity(pde: PDE, a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> float:
    """Return how far the response to a mixture of two coefficients is from that of the responses.

    Arguments:
        pde: the physics.
        a, b: coefficients (1, 1, ny, nx).
        u: the response to a.

    Returns:
        The deviation as a share of the distance between the two responses.
    """
    v, mixed = pde.respond(b), pde.respond(_SHARE * a + (1 - _SHARE) * b)
    return _ratio(mixed - _SHARE * u - (1 - _SHARE) * v, u - v)


def check_linearity(pde: PDE, a: torch.Tensor, b: torch.Tensor, u: torch.Tensor) -> float:
    """Return the `nonlinearity` of a PDE that claims to be linear.

    Raises:
        InputError: it is not.
    """
    found = nonlinearity(pde, a, b, u)
    if found > LINEAR:
        raise InputError(
            f"{pde.name} must be affine in its coefficient, as linear = True states, got a "
            f"deviation of {found:.2g} for a mixture of two coefficients; set linear = False"
        )
    return found


def some_symmetries(pde: PDE, grid: Grid, generator: torch.Generator) -> list[Symmetry]:
    """Return a few random elements of a PDE's group, by whole cells, without the identity."""
    group = pde.symmetries.on_grid(grid)
    first = 0 if group.translations else 1
    order = torch.randperm(len(group) - first, generator=generator)[:_ELEMENTS] + first
    return [group.element(i, generator, grid) for i in order.tolist()]


def check_symmetry(pde: PDE, g: Symmetry, a: torch.Tensor, u: torch.Tensor, grid: Grid) -> float:
    """Return the deviation of respond(g a) from g respond(a), as a share of the latter.

    Arguments:
        pde: the physics.
        g: an element that it claims.
        a: coefficient (1, 1, ny, nx).
        u: the response to a.
        grid: of them.

    Raises:
        InputError: the element is no symmetry.
    """
    turned = g(torch.cat([a, u], dim=1), grid)
    found = _ratio(pde.respond(turned[:, :1]) - turned[:, 1:], turned[:, 1:])
    if found > SYMMETRIC:
        raise InputError(
            f"{pde.name} must have the symmetry {g.matrix} with the shift {g.shift}, which it "
            f"states, got a deviation of {found:.2g} between solve(g a) and g solve(a); leave it "
            f"out of its symmetries"
        )
    return found


def check_derivative(pde: PDE, a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the deviation of a derivative in reverse mode from a central difference.

    Arguments:
        pde: the physics.
        a, b: coefficients (1, 1, ny, nx), of which the first is moved towards the other.

    Raises:
        InputError: it is too large, or there is no derivative.
        NumericalError: a response is not finite.
    """
    respond = pde.respond if pde.linear else pde.respond_roughly
    with torch.no_grad():
        difference = (respond(a + _STEP * (b - a)) - respond(a - _STEP * (b - a))) / (2 * _STEP)
    if not bool(difference.isfinite().all()):
        raise NumericalError(
            f"solutions of {pde.name} must be finite for draws of the prior, got nan or inf; check "
            f"its parameters"
        )
    if not bool(difference.any()):
        return 0.0
    rough = torch.randn(
        difference.shape, dtype=a.dtype, generator=seeds.generator(seeds.STATISTICS, 1)
    )
    weights = difference / difference.norm() + rough / rough.norm()
    with torch.enable_grad():
        leaf = a.detach().requires_grad_()
        try:
            (gradient,) = torch.autograd.grad(respond(leaf), leaf, weights)
        except RuntimeError as error:
            if isinstance(error, NumericalError):
                raise
            raise InputError(
                f"{pde.name} must be differentiated by torch from its solution to its coefficient, "
                f"got: {' '.join(str(error).split())}; compute with torch alone, or set "
                f"differentiable = False"
            ) from None
    expected = float((weights * difference).sum())
    found = abs(float((gradient * (b - a)).sum()) - expected) / abs(expected)
    if not found <= DERIVATIVE:
        raise InputError(
            f"the gradient of {pde.name} must be that of its solution, got a deviation of "
            f"{found:.2g} from a difference; correct it, or leave it out"
        )
    return found


def _ratio(deviation: torch.Tensor, scale: torch.Tensor) -> float:
    """Return the largest ratio of two norms over the channels."""
    sizes = scale.detach().norm(dim=(-1, -2)).flatten()
    errors = deviation.detach().norm(dim=(-1, -2)).flatten()
    return float((errors / sizes.clamp(min=torch.finfo(sizes.dtype).tiny)).max())
