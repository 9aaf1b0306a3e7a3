"""Any positive coefficient, by conjugate gradients preconditioned with the constant coefficient.

The condition number is at most the contrast of the coefficient, on every grid and for every mix of
sides.
"""

from __future__ import annotations

import torch

from pdeinv.datasets.elliptic.faces import FaceMean, balance, relative_conductances
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
    h2 = volumes.height**2 / (volumes.ny - 1) ** 2
    across, along = relative_conductances(volumes, a, mean)
    faces = across / h2, along / h2
    scale = a.mean(dim=(-1, -2), keepdim=True)

    def inner(x, y):
        return torch.linalg.vecdot(x.flatten(-2), y.flatten(-2))[..., None, None]

    def precondition(r):
        return -solve_shifted_laplacian(volumes, volumes.per_volume(r)) / scale

    u = torch.zeros_like(f)
    r = f.clone()
    z = precondition(r)
    p = z
    rz = inner(r, z)
    stop = tolerance**2 * inner(f, f)
    for _ in range(MOST):
        active = ~(inner(r, r) <= stop)  # nan is active, and ends in the error below
        if not bool(active.any()):
            return size * u
        q = balance(volumes, faces, volumes.extended(p))
        pq = inner(p, q)
        alpha = torch.where(active, rz / torch.where(active, pq, 1.0), 0.0)
        u = u + alpha * p
        r = r - alpha * q
        z = precondition(r)
        rz, previous = inner(r, z), rz
        p = torch.where(active, z + rz / torch.where(active, previous, 1.0) * p, p)
    raise NumericalError(
        f"conjugate gradients must reach the relative residual {tolerance:g} in {MOST} "
        f"iterations, and did not for a coefficient of contrast {float(a.max() / a.min()):.4g}; "
        f"lower the contrast, raise `tolerance` or use the direct method"
    )
