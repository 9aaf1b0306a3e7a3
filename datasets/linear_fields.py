"""The claim of a PDE that derived fields are linear in its channels, measured."""

from __future__ import annotations

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError

__all__ = ["LINEAR_FIELDS", "check_linear_fields"]

LINEAR_FIELDS = 1e-6
"""Largest deviation of a derived field from a linear function of the channels."""

_WEIGHTS = (0.5, 0.25)  # of two states; they do not add up to 1, which a constant would show


def check_linear_fields(pde: PDE, state: torch.Tensor) -> float:
    """Return the deviation of `derive_linear` from superposition, and from the state's own fields,
    as a share of these; 0 where no field is claimed.

    The second state is the first one upside down. It takes no solve.

    Arguments:
        pde: the physics.
        state: coefficients and their response, (batch, channel, ny, nx).

    Raises:
        InputError: it is too large.
    """
    if not pde.linear_channels:
        return 0.0
    first = 1 + len(pde.solution_channels)
    x = state[:, :first]
    y = x.flip(-2)
    mixed = _WEIGHTS[0] * x + _WEIGHTS[1] * y
    own, other, both = (pde.derive_linear(s[:, :1], s[:, 1:]) for s in (x, y, mixed))
    superposed = _WEIGHTS[0] * own + _WEIGHTS[1] * other
    parts = ((both, superposed), (own, state[:, list(pde.linear_channels)]))
    found = max(_deviation(one, exact) for one, exact in parts)
    if not found <= LINEAR_FIELDS:
        names = ", ".join(pde.fields[c].label for c in pde.linear_channels)
        raise InputError(
            f"derived fields of {pde.name} must be linear in the coefficient and the solution, as "
            f"linear_in_channels states of {names}, got a deviation of {found:.2g}; state it of "
            f"others alone"
        )
    return found


def _deviation(fields: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the largest relative deviation over the channels; nan where one is not finite."""
    off, size = (f.transpose(0, 1).flatten(1).norm(dim=1) for f in (fields - exact, exact))
    return float((off / size.clamp(min=torch.finfo(size.dtype).tiny)).max())
