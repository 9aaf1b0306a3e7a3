"""Any positive coefficient, by conjugate gradients preconditioned with the constant coefficient.

The condition number is at most the contrast of the coefficient, on every grid and for every mix of
sides.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.functional import pad

from pdeinv.datasets.elliptic.faces import FaceMean, relative_conductances
from pdeinv.datasets.elliptic.transform_solver import solve_shifted_laplacian
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.errors import NumericalError

__all__ = ["MOST", "conjugate_gradients"]

MOST = 400
"""Iterations, at most."""


def conjugate_gradients(
    volumes: Volumes, a: torch.Tensor, f: torch.Tensor, tolerance: float, mean: FaceMean
) -> torch.Tensor:
    """Return u (..., my, mx) with A(a) u = f, A(a) the balance of the volumes over hx hy.

    Each instance stops by itself, so that none depends on its batch.

    Arguments:
        volumes: the rectangle, with a value on one side at least.
        a: (..., ny, nx), the coefficient, positive.
        f: (..., my, mx), sources of the volumes over hx hy; its batch is that of a, broadcast.
        tolerance: relative residual at which an instance's iteration stops.
        mean: mean of a on the faces.

    Raises:
        NumericalError: an instance does not stop in `MOST` iterations.
    """
    # The inner products of a small f, such as a gradient, underflow in float32. No residual falls
    # below the rounding.
    size = f.abs().amax(dim=(-1, -2), keepdim=True)
    size = torch.where(size == 0, 1.0, size)
    f = f / size
    tolerance = max(tolerance, torch.finfo(f.dtype).eps)
    scale = a.mean(dim=(-1, -2), keepdim=True)
    product = _balance_product(volumes, a, mean)

    def precondition(r):
        z = solve_shifted_laplacian(volumes, volumes.per_volume(r.unflatten(-1, volumes.shape)))
        return (z / -scale).flatten(-2)

    r = f.flatten(-2).clone()
    u = torch.zeros_like(r)
    z = precondition(r)
    p = z
    rz = _inner(r, z)
    stop = tolerance**2 * _inner(r, r)
    for _ in range(MOST):
        active = ~(_inner(r, r) <= stop)  # nan is active, and ends in the error below
        if not bool(active.any()):
            return size * u.unflatten(-1, volumes.shape)
        q = product(p)
        alpha = (rz / _inner(p, q)).masked_fill_(~active, 0.0)
        u.addcmul_(alpha, p)
        r.addcmul_(alpha, q, value=-1.0)
        z = precondition(r)
        rz, previous = _inner(r, z), rz
        p = torch.addcmul(z, (rz / previous).masked_fill_(~active, 0.0), p)
    raise NumericalError(
        f"conjugate gradients must reach the relative residual {tolerance:g} in {MOST} "
        f"iterations, and did not for a coefficient of contrast {float(a.max() / a.min()):.4g}; "
        f"lower the contrast, raise `tolerance` or use the direct method"
    )


def _inner(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return the inner products (..., 1) of x and y (..., N)."""
    return torch.linalg.vecdot(x, y)[..., None]


def _balance_product(
    volumes: Volumes, a: torch.Tensor, mean: FaceMean
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the product with A(a) for free values in one row, (..., my mx).

    It is `balance`, whose slices of a rectangle are not contiguous, as those of a row are.
    """
    across, along = (f / volumes.hy**2 for f in relative_conductances(volumes, a, mean))
    x = pad(across, (int(not volumes.left), int(not volumes.right)))
    y = pad(along, (0, 0, int(not volumes.bottom), int(not volumes.top)))
    diagonal = (x[..., :-1] + x[..., 1:] + y[..., :-1, :] + y[..., 1:, :]).flatten(-2)
    # Between a free value and the next one in x, or in y; none from one line to the next
    links = (
        (1, pad(x[..., 1:-1], (0, 1)).flatten(-2)[..., :-1]),
        (volumes.shape[1], y[..., 1:-1, :].flatten(-2)),
    )

    def product(p: torch.Tensor) -> torch.Tensor:
        q = diagonal * p
        for stride, link in links:
            q[..., stride:].addcmul_(link, p[..., :-stride], value=-1.0)
            q[..., :-stride].addcmul_(link, p[..., stride:], value=-1.0)
        return q

    return product
