"""Solves of which some may be unstable."""

from __future__ import annotations

import torch

from pdeinv.checks import EXTREME
from pdeinv.datasets.base import PDE
from pdeinv.errors import NumericalError
from pdeinv.solvers.forward import TensorMap

__all__ = ["check_range", "finite_or_infinite", "solved_or_infinite"]


def check_range(pde: PDE, a: torch.Tensor) -> torch.Tensor:
    """Return coefficients (batch, 1, ny, nx) of numbers that were inferred.

    Raises:
        NumericalError: they are beyond the range of the numbers.
    """
    within = a.isfinite() & (a.abs() < EXTREME)
    if pde.positive_coefficient:
        within &= a > 1 / EXTREME
    if not bool(within.all()):
        raise NumericalError("the values of the coefficient left the range of the numbers")
    return a


def solved_or_infinite(
    function: TensorMap, a: torch.Tensor, shape: tuple[int, ...]
) -> tuple[torch.Tensor, str]:
    """Return a function of coefficients, infinite where it ends in a NumericalError.

    Arguments:
        function: of coefficients (batch, 1, ny, nx).
        a: the coefficients.
        shape: of the function of one coefficient.

    Returns:
        The values (batch, *shape), and the message of one failure; "" if there was none.
    """
    if not len(a):
        return torch.empty(0, *shape, dtype=torch.float64, device=a.device), ""
    try:
        return function(a), ""
    except NumericalError as error:
        if len(a) == 1:
            return torch.full((1, *shape), torch.inf, dtype=torch.float64, device=a.device), str(
                error
            )
    # One unstable solve ends that of the whole batch
    halves = [solved_or_infinite(function, half, shape) for half in a.chunk(2)]
    return torch.cat([values for values, _ in halves]), halves[1][1] or halves[0][1]


def finite_or_infinite(function: TensorMap, size: int) -> TensorMap:
    """Return a function of states (batch, channel, ny, nx) with values (batch, size), infinite
    where the state is not finite or the function ends in a NumericalError."""

    def guarded(x: torch.Tensor) -> torch.Tensor:
        finite = x.flatten(1).isfinite().all(dim=1)
        if bool(finite.all()):
            return solved_or_infinite(function, x, (size,))[0]
        values = torch.full((len(x), size), torch.inf, dtype=torch.float64, device=x.device)
        values[finite] = solved_or_infinite(function, x[finite], (size,))[0]
        return values

    return guarded
