"""Solve the matrix of waves: differentiable, with sparse factorisations that are kept.

A factorisation is found again by the operator and the content of the medium. So all sources at one
frequency share one, and so do their adjoints and tangents. Nor does the adjoint field of a receiver
depend on the source: it is found again by the content of the right-hand sides too.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch
from scipy.sparse import csc_matrix, diags
from scipy.sparse.linalg import SuperLU, splu

from pdeinv.datasets.kept import Kept
from pdeinv.datasets.waves.operator import WaveOperator
from pdeinv.errors import NumericalError

__all__ = ["wave_solve"]

_MOST_KEPT = 16  # factorisations
_KEPT_BYTES = 256 * 2**20  # of kept factorisations; the last one is always kept
_MOST_ADJOINTS = 64  # solutions of adjoint systems, of many right-hand sides each
_ADJOINT_BYTES = 64 * 2**20
_BYTES = 20  # of one entry of a factor: a complex number and its row
_RESIDUAL = 1e-8  # relative residual of a random right-hand side from which one is refused
_RESONANT = 1e7  # amplification of a random right-hand side from which one is refused


def wave_solve(operator: WaveOperator, m: torch.Tensor, loads: torch.Tensor) -> torch.Tensor:
    """Return u (..., batch, 2, free) with (S - P m) u = loads; differentiable any number of times.

    Arguments:
        operator: of the grid and its sides.
        m: (batch, free) or (1, free), the medium, float64.
        loads: (..., batch, 2, free), real and imaginary part of what sources bring, float64.

    Raises:
        NumericalError: the system cannot be solved: the wavenumber is a resonance of a room whose
            sides and medium take up nothing.
    """
    return _Solve.apply(m, loads, operator, False)


class _Solve(torch.autograd.Function):
    """Map (m, r) to u with (S - P m) u = r, or to the solution of the adjoint system."""

    @staticmethod
    def forward(
        m: torch.Tensor, r: torch.Tensor, operator: WaveOperator, adjoint: bool
    ) -> torch.Tensor:
        media = m.detach().double().cpu().numpy()
        right = _complex(r)
        if len(media) == 1:
            found = _solved(operator, media[0], right, adjoint)
        else:
            parts = [
                _solved(operator, one, right[..., i, :], adjoint) for i, one in enumerate(media)
            ]
            found = np.stack(parts, axis=-2)
        return _real(found, r)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, u: torch.Tensor) -> None:
        m, _, ctx.operator, ctx.adjoint = inputs
        ctx.save_for_backward(m, u)

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple,
        m: torch.Tensor,
        r: torch.Tensor,
        operator: WaveOperator,
        adjoint: bool,
    ) -> tuple[torch.Tensor, int]:
        """Solve many right-hand sides of one medium, or many media, as one batch."""
        of_m, of_r, *_ = in_dims
        r = r.expand(info.batch_size, *r.shape) if of_r is None else r.movedim(of_r, 0)
        if of_m is None:
            return _Solve.apply(m, r, operator, adjoint), 0
        count = r.shape[-3]
        m = m.movedim(of_m, 0).expand(-1, count, -1).flatten(0, 1)
        r = r.movedim(0, -4)
        u = _Solve.apply(m, r.flatten(-4, -3), operator, adjoint)
        return u.unflatten(-3, (info.batch_size, count)).movedim(-4, 0), 0

    @staticmethod
    def backward(ctx: Any, grad_u: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        m, u = ctx.saved_tensors
        operator, adjoint = ctx.operator, ctx.adjoint
        other = _Solve.apply(m, grad_u.contiguous(), operator, not adjoint)
        grad_m = None
        if ctx.needs_input_grad[0]:
            pair = (u, other) if adjoint else (other, u)
            grad_m = (_Medium.apply(pair[0], operator, True) * pair[1]).sum(dim=-2)
            grad_m = grad_m.sum_to_size(m.shape)
        return grad_m, other, None, None


class _Medium(torch.autograd.Function):
    """Map (..., 2, free) by P, or by its adjoint."""

    @staticmethod
    def forward(r: torch.Tensor, operator: WaveOperator, adjoint: bool) -> torch.Tensor:
        _, medium = operator.matrices
        flat = _complex(r).reshape(-1, len(operator.free)).T
        found = (medium.conj() if adjoint else medium) @ flat
        return _real(found.T.reshape(*r.shape[:-2], -1), r)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, u: torch.Tensor) -> None:
        _, ctx.operator, ctx.adjoint = inputs

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple, r: torch.Tensor, operator: WaveOperator, adjoint: bool
    ) -> tuple[torch.Tensor, int]:
        return _Medium.apply(r.movedim(in_dims[0], 0), operator, adjoint), 0

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return _Medium.apply(grad.contiguous(), ctx.operator, not ctx.adjoint), None, None


def _complex(r: torch.Tensor) -> np.ndarray:
    """Return (..., 2, free) as complex numbers (..., free)."""
    values = r.detach().double().cpu().numpy()
    return values[..., 0, :] + 1j * values[..., 1, :]


def _real(u: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.stack([u.real, u.imag], axis=-2)).to(like)


def _solved(operator: WaveOperator, m: np.ndarray, right: np.ndarray, adjoint: bool) -> np.ndarray:
    """Return the solutions of right-hand sides (..., free) of one medium (free,)."""
    if not adjoint:
        return _substituted(operator, m, right, "N")
    key = (operator, _digest(m), _digest(right), right.shape)
    found = _adjoints.get(key)
    if found is None:
        found = _substituted(operator, m, right, "H")
        _adjoints.add(key, found, found.nbytes)
    return found


def _substituted(operator: WaveOperator, m: np.ndarray, right: np.ndarray, kind: str) -> np.ndarray:
    flat = right.reshape(-1, right.shape[-1]).T
    u = np.zeros_like(flat)
    fed = flat.any(axis=0)  # many adjoints of one reading are 0 in all frequencies but one
    if fed.any():
        u[:, fed] = _factorised(operator, m).solve(np.ascontiguousarray(flat[:, fed]), kind)
    return u.T.reshape(right.shape)


def _digest(values: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).data).digest()


_adjoints: Kept[np.ndarray] = Kept(_MOST_ADJOINTS, _ADJOINT_BYTES)
_kept: Kept[SuperLU] = Kept(_MOST_KEPT, _KEPT_BYTES)


def _factorised(operator: WaveOperator, m: np.ndarray) -> SuperLU:
    """Return the factorisation for a medium (free,), a kept one if there is one."""
    key = (operator, _digest(m))
    made = _kept.get(key)
    if made is None:
        made = _checked(operator, m)
        _kept.add(key, made, _BYTES * made.nnz)
    return made


def _checked(operator: WaveOperator, m: np.ndarray) -> SuperLU:
    fixed, medium = operator.matrices
    matrix = csc_matrix(fixed - medium @ diags(m))
    right = np.random.default_rng(0).standard_normal(len(m)).astype(complex)
    residual = size = np.inf
    try:
        made = splu(
            matrix,
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.01,
            options={"SymmetricMode": True},
        )
        u = made.solve(right)
        residual = float(np.linalg.norm(matrix @ u - right) / np.linalg.norm(right))
        size = float(np.linalg.norm(u) * abs(matrix).max() / np.linalg.norm(right))
    except RuntimeError:  # an exactly singular factor
        pass
    if not residual <= _RESIDUAL or not size <= _RESONANT:
        raise NumericalError(
            f"k must not be a resonance of the room, got k = {operator.k:g} where nothing takes up "
            f"waves; change k slightly, or add damping or an absorbing side"
        )
    return made
