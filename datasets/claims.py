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
from pdeinv.datasets.linear_fields import check_linear_fields
from pdeinv.datasets.problem import Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Grid
from pdeinv.locks import SharedLock
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
_STEPS = (1e-3, 1e-5, 1e-7)  # of differences, as shares of the distance between two draws
_START = 0.1  # of them, a share of the way from one draw to the other
_ROUNDING = (1e-9, 1e-6)  # shares of a response that are no change of it: of float64, of float32
_DISTURBED = 1e-13  # share of a coefficient to which its response is compared
_AMPLIFIED = 10.0  # deviation from a symmetry, by that of a disturbed coefficient
_ELEMENTS = 3  # symmetries that are tested, one solve each
_REMEMBERED = 64  # PDEs

_tested: dict[PDE, set[str]] = {}
_lock = SharedLock()


def check_claims(pde: PDE, prior: object, grid: Grid, *, derivative: bool) -> None:
    """Refuse a PDE, not one of the package's, for which a claim does not hold; test each once.

    That a PDE is linear takes 3 solves, a symmetry one more for each of 3 elements, a derivative 4,
    that derived fields are linear in the channels 1.
    Where nothing is claimed nothing is solved; where a claim seems not to hold, it is tested again.

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
        "fields": bool(pde.linear_channels),
    }
    tested = _tests_of(pde)
    missing = {claim for claim, claimed in wanted.items() if claimed} - tested
    if not missing:
        return
    given = prior if isinstance(prior, CoefficientPrior) else pde.default_prior
    generator = seeds.generator(seeds.STATISTICS)
    a, b = Problem(pde, given).sample_coefficient(2, grid, generator).split(1)
    with torch.no_grad():
        u = pde.respond(a) if missing & {"linear", "symmetric", "fields"} else a
        if "linear" in missing:
            check_linearity(pde, a, b, u)
        if "symmetric" in missing:
            for g in some_symmetries(pde, grid, generator):
                check_symmetry(pde, g, a, u, grid)
        if "fields" in missing:
            check_linear_fields(pde, torch.cat([a, u], dim=1))
    if "derivative" in missing:
        check_derivative(pde, a, b)
    tested |= missing


def _tests_of(pde: PDE) -> set[str]:
    """Return the set of the claims of a PDE that were tested."""
    try:
        with _lock:
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
        The deviation as a share of the distance between the two responses; 0 if it is rounding.
    """
    v, mixed = pde.respond(b), pde.respond(_SHARE * a + (1 - _SHARE) * b)
    deviation = mixed - _SHARE * u - (1 - _SHARE) * v
    rounding = _rounding(u) * torch.maximum(_sizes(u), _sizes(v))
    return _ratio(torch.where(_sizes(deviation) > rounding, deviation, 0.0), u - v)


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

    A response that magnifies rounding, such as a chaotic one, differs from its own for a disturbed
    coefficient; a deviation of the same size counts as 0.

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
    if found > SYMMETRIC and found <= _AMPLIFIED * _sensitivity(pde, a, u):
        return 0.0
    if found > SYMMETRIC:
        raise InputError(
            f"{pde.name} must have the symmetry {g.matrix} with the shift {g.shift}, which it "
            f"states, got a deviation of {found:.2g} between solve(g a) and g solve(a); leave it "
            f"out of its symmetries"
        )
    return found


def _sensitivity(pde: PDE, a: torch.Tensor, u: torch.Tensor) -> float:
    """Return how far the response to a coefficient moves when that changes in its last digits."""
    noise = torch.randn(a.shape, dtype=a.dtype, generator=seeds.generator(seeds.STATISTICS, 2))
    share = _DISTURBED if _rounding(u).amax() < _ROUNDING[1] else _ROUNDING[1]
    return _ratio(pde.respond(a * (1 + share * noise)) - u, u)


def check_derivative(pde: PDE, a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the deviation of a derivative in reverse mode from a central difference.

    The difference is between two coefficients on the line from a to b, where each value is between
    those of two draws, and so positive where they are. All outputs have the same weight. Where the
    two do not agree, smaller differences are tried: a response may bend within the first.

    Arguments:
        pde: the physics.
        a, b: coefficients (1, 1, ny, nx).

    Raises:
        InputError: it is too large, or there is no derivative.
        NumericalError: a response is not finite.
    """
    found = _derivative_deviation(pde, a, b, _STEPS[0])
    for step in _STEPS[1:]:
        if found <= DERIVATIVE:
            break
        found = min(found, _derivative_deviation(pde, a, b, step))
    if not found <= DERIVATIVE:
        raise InputError(
            f"the gradient of {pde.name} must be that of its solution, got a deviation of "
            f"{found:.2g} from a difference; correct it, or leave it out "
            f"(differentiable = False of a class)"
        )
    return found


def _derivative_deviation(pde: PDE, a: torch.Tensor, b: torch.Tensor, step: float) -> float:
    """Return the deviation for a difference whose step is a share of the distance of a and b."""
    respond = pde.respond if pde.linear else pde.respond_roughly
    move = b - a
    start = a + _START * move
    with torch.no_grad():
        u, other = respond(start + step * move), respond(start - step * move)
    difference = (u.double() - other.double()) / (2 * step)
    if not bool(difference.isfinite().all()):
        raise NumericalError(
            f"solutions of {pde.name} must be finite for draws of the prior, got nan or inf; check "
            f"its parameters"
        )
    if not bool(difference.any()):
        return 0.0
    rough = torch.randn(
        difference.shape, dtype=difference.dtype, generator=seeds.generator(seeds.STATISTICS, 1)
    )
    # What is rounding at the first step is the size of a derivative that counts as 0 at each
    rounding = _rounding(u) * _sizes(u.double()) / (2 * _STEPS[0])
    size = torch.maximum(_sizes(difference), rounding)
    weights = torch.where(size > 0, (difference / size + rough / _sizes(rough)) / size, 0.0)
    gradient = _weighted_gradient(pde, start, weights)
    expected = float((weights * difference).sum())
    return abs(float((gradient.double() * move).sum()) - expected) / max(abs(expected), 1.0)


def _weighted_gradient(pde: PDE, a: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the gradient of the sum of weights times the response.

    Raises:
        InputError: there is none.
    """
    respond = pde.respond if pde.linear else pde.respond_roughly
    with torch.enable_grad():
        leaf = a.detach().requires_grad_()
        try:
            outputs = respond(leaf)
            (gradient,) = torch.autograd.grad(outputs, leaf, weights.to(outputs))
        except RuntimeError as error:
            if isinstance(error, NumericalError):
                raise
            raise InputError(
                f"{pde.name} must be differentiated by torch from its solution to its coefficient, "
                f"got: {' '.join(str(error).split())}; compute with torch alone, or set "
                f"differentiable = False"
            ) from None
    return gradient


def _sizes(u: torch.Tensor) -> torch.Tensor:
    """Return the norms of channels, (batch, channel, 1, 1)."""
    return u.detach().norm(dim=(-1, -2), keepdim=True)


def _rounding(u: torch.Tensor) -> torch.Tensor:
    """Return the shares of the sizes of channels, of that shape, that count as rounding."""
    single = (u.float().to(u.dtype) == u).all(dim=-1).all(dim=-1)[..., None, None]
    return torch.where(single, _ROUNDING[1], _ROUNDING[0]).double()


def _ratio(deviation: torch.Tensor, scale: torch.Tensor) -> float:
    """Return the largest ratio of two norms over the channels."""
    sizes = _sizes(scale)
    return float((_sizes(deviation) / sizes.clamp(min=torch.finfo(sizes.dtype).tiny)).max())
