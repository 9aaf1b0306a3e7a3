"""Values of a number, an array or a function at positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pdeinv.checks import EXTREME, described
from pdeinv.errors import InputError

__all__ = ["cells_around", "plain_values", "real_array"]

_SNAP = 1e-9  # cells; nearer to a node, a position is the node


def real_array(what: str, value: Any) -> np.ndarray:
    """Return a number or an array of real numbers as a float64 array."""
    try:
        if isinstance(value, torch.Tensor):
            value = value.detach().cpu().numpy()
        if isinstance(value, np.ma.MaskedArray):
            value = np.ma.filled(value.astype(np.float64), np.nan)
        array = np.asarray(value)
        if array.dtype.kind not in "fiu" or array.size == 0:
            raise TypeError
        with np.errstate(over="ignore"):
            return array.astype(np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InputError(
            f"{what} must be a real number, an array of real numbers or a function of x and y, got "
            f"{described(value)}; convert it"
        ) from None


def cells_around(
    share: np.ndarray, nodes: int, periodic: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the two nodes around each position, and the position between them from 0 to 1.

    Arguments:
        share: positions as shares of the side, (m,).
        nodes: equally spaced nodes of the side.
        periodic: whether the first node follows the last one.
    """
    t = share * nodes if periodic else np.clip(share, 0, 1) * (nodes - 1)
    t = np.where(np.abs(t - np.rint(t)) < _SNAP, np.rint(t), t)
    first = np.floor(t) if periodic else np.minimum(np.floor(t), nodes - 2)
    low = first.astype(np.int64)
    return low % nodes, (low + 1) % nodes, t - first


def plain_values(value: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return a number, or the values of a function, at each position."""
    if not callable(value):
        return np.full(len(x), value)
    name = described(value)
    try:
        try:
            found = value(x.copy(), y.copy())
        except (AttributeError, TypeError):  # functions of torch take tensors alone
            found = value(torch.tensor(x), torch.tensor(y))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"a function of the positions must take two arrays x and y, got {name}, which fails "
            f"with {described(error)}; correct the function"
        ) from None
    values = real_array(f"what the function {name} returns", found)
    if values.shape not in ((), x.shape):
        raise InputError(
            f"what the function {name} returns must be one number for each of the {len(x)} "
            f"positions, got an array of shape {values.shape}; correct the function"
        )
    wrong = np.flatnonzero(~(np.abs(values) <= EXTREME))
    if wrong.size:
        where = f" at x = {x[wrong[0]]:g}, y = {y[wrong[0]]:g}" if values.ndim else ""
        raise InputError(
            f"what the function {name} returns must be finite and at most {EXTREME:g} in size, got "
            f"{values.flat[wrong[0]]:g}{where}; correct the function"
        )
    return np.broadcast_to(values, x.shape).copy()
