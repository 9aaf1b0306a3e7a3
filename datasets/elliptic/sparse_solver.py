"""Any positive coefficient, by a sparse factorisation that is kept for further right-hand sides.

A factorisation is found again by the content of its coefficient. So the solve of a state, its
adjoints, its tangents and every further right-hand side share one, as long as it is kept.
"""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

import numpy as np
import scipy
import torch

from pdeinv.datasets.elliptic.faces import FaceMean, relative_conductances
from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.kept import KeptByThread
from pdeinv.errors import NumericalError
from pdeinv.torch_state import one_blas_thread

__all__ = ["RESIDUAL", "sparse_solve"]

RESIDUAL = 1e-6
"""Relative residual of the unit source from which a factorisation is refused. Rounding of u alone
makes a residual of about the contrast times the rounding unit."""

_MOST_KEPT = 32  # factorisations; many small ones would scatter over the heap
_KEPT_BYTES = 128 * 2**20  # of kept factorisations; the last one is always kept
_BYTES = 12  # of one entry of a factor: a number and its row


def sparse_solve(
    volumes: Volumes,
    a: torch.Tensor,
    f: torch.Tensor,
    mean: FaceMean,
    diagonal: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return u (..., my, mx) with A(a) u + diagonal u = f, A(a) the balance of the volumes over
    hx hy.

    States of the batch are solved one after the other: SuperLU frees a factorisation only in the
    thread that made it. Numbers are float64, whatever the type of f, which is that of u.

    Arguments:
        volumes: the rectangle, with a value on one side at least or a diagonal.
        a: (..., ny, nx), the coefficient, positive.
        f: (..., my, mx), sources of the volumes over hx hy. Its batch is that of a, broadcast: many
            right-hand sides of one coefficient use one factorisation.
        mean: mean of a on the faces.
        diagonal: (my, mx); 0 if None.

    Raises:
        NumericalError: a coefficient's system cannot be solved to the residual `RESIDUAL`.
    """
    f = volumes.at_free(f)
    extra = f.ndim - a.ndim
    batch = (1,) * extra + tuple(a.shape[:-2])
    states = [i for i, size in enumerate(batch) if size > 1]
    shared = [i for i, size in enumerate(batch) if size == 1]
    order = [*states, f.ndim - 2, f.ndim - 1, *shared]
    count = math.prod(batch)
    if count == 0:
        return torch.zeros_like(f)
    moved = f.detach().permute(order)
    right = moved.reshape(count, math.prod(volumes.shape), -1).double().cpu().numpy()
    if diagonal is not None:
        diagonal = diagonal.detach().double().cpu()
    coefficients = a.detach().double().cpu().reshape(count, volumes.ny, volumes.nx)

    def solved(i: int) -> np.ndarray:
        return _factorised(volumes, coefficients[i], mean, diagonal).solve(right[i])

    # Threads of the linear algebra below would compete with one another on such small blocks
    with one_blas_thread():
        parts = [solved(i) for i in range(count)]
    u = torch.from_numpy(np.stack(parts)).to(f).reshape(moved.shape)
    return u.permute(*np.argsort(order).tolist()).contiguous()


class _Factorisation:
    """A sparse LU factorisation of the matrix of one coefficient.

    Arguments:
        matrix: symmetric.
        definite: whether it is positive definite, so that no pivoting is needed.
    """

    def __init__(self, matrix: scipy.sparse.csc_matrix, definite: bool):
        self.lu = scipy.sparse.linalg.splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0 if definite else 1.0,
            options={"SymmetricMode": definite},
        )
        self.bytes = _BYTES * self.lu.nnz

    def solve(self, right: np.ndarray) -> np.ndarray:
        return self.lu.solve(right)


_kept: KeptByThread[_Factorisation] = KeptByThread(_MOST_KEPT, _KEPT_BYTES)


def _factorised(
    volumes: Volumes, a: torch.Tensor, mean: FaceMean, diagonal: torch.Tensor | None
) -> _Factorisation:
    """Return the factorisation of a coefficient (ny, nx), a kept one if there is one."""
    content = hashlib.sha256(a.numpy().tobytes())
    if diagonal is not None:
        content.update(diagonal.numpy().tobytes())
    key = (volumes, mean, content.digest())
    made = _kept.kept.get(key)
    if made is None:
        made = _checked(volumes, a, mean, diagonal)
        _kept.kept.add(key, made, made.bytes)
    return made


def _checked(
    volumes: Volumes, a: torch.Tensor, mean: FaceMean, diagonal: torch.Tensor | None
) -> _Factorisation:
    """Return a new factorisation, whose solution for the unit source has a small residual."""
    matrix = assembled(volumes, a, mean, diagonal)
    unit = volumes.at_free(torch.ones(volumes.shape, dtype=torch.float64, device=a.device))
    right = volumes.times_volume(unit).numpy().ravel()
    definite = diagonal is None or bool((diagonal >= 0).all())
    residual = math.inf
    try:
        made = _Factorisation(matrix, definite)
        u = made.solve(right)
        residual = float(np.linalg.norm(matrix @ u - right) / np.linalg.norm(right))
    except RuntimeError:  # an exactly singular factor
        pass
    if not residual <= RESIDUAL:
        raise NumericalError(
            f"the relative residual of the balance must be at most {RESIDUAL:g}, got "
            f"{residual:.3g} for a coefficient from {float(a.min()):.4g} to {float(a.max()):.4g}; "
            f"{'lower the contrast' if definite else 'change the wavenumber slightly'}"
        )
    return made


def assembled(
    volumes: Volumes, a: torch.Tensor, mean: FaceMean, further: torch.Tensor | None = None
) -> scipy.sparse.csc_matrix:
    """Return the symmetric matrix of the balance, over hx hy, for a coefficient (ny, nx).

    Arguments:
        volumes, a, mean: as of `sparse_solve`.
        further: (my, mx), what is added to the diagonal.
    """
    h2 = volumes.height**2 / volumes.cells[0] ** 2
    x, y = (faces.numpy() / h2 for faces in relative_conductances(volumes, a, mean))
    (my, mx), indices, pointers, order = volumes.shape, *_pattern(volumes)
    left, right = int(not volumes.left), int(not volumes.right)
    bottom, top = int(not volumes.bottom), int(not volumes.top)
    wide, tall = np.pad(x, ((0, 0), (left, right))), np.pad(y, ((bottom, top), (0, 0)))
    diagonal = wide[:, :-1] + wide[:, 1:] + tall[:-1] + tall[1:]
    if further is not None:
        diagonal += further.numpy()
    # faces between two free nodes
    x, y = -wide[:, 1:-1], -tall[1:-1]
    if volumes.pattern is not None:  # u is 0 at the others
        free = volumes.free.numpy()
        diagonal = np.where(free, diagonal, 1.0)
        x, y = x * (free[:, 1:] & free[:, :-1]), y * (free[1:] & free[:-1])
    x, y = x.ravel(), y.ravel()
    values = np.concatenate([diagonal.ravel(), x, x, y, y])[order]
    return scipy.sparse.csc_matrix((values, indices, pointers), shape=(my * mx, my * mx))


@lru_cache(maxsize=16)
def _pattern(volumes: Volumes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return indices and pointers of the matrix's columns, and the order of its values."""
    number = np.arange(math.prod(volumes.shape), dtype=np.int32).reshape(volumes.shape)
    west, east = number[:, :-1].ravel(), number[:, 1:].ravel()
    south, north = number[:-1].ravel(), number[1:].ravel()
    rows = np.concatenate([number.ravel(), west, east, south, north])
    columns = np.concatenate([number.ravel(), east, west, north, south])
    order = np.lexsort((rows, columns))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(columns))]).astype(np.int32)
    return rows[order], pointers, order
