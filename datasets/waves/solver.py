"""Solve the matrix of waves: differentiable, with sparse factorisations that are kept.

A factorisation is found again by the operator and the content of the medium. So all sources at one
frequency share one, and so do their adjoints and tangents. Nor does the adjoint field of a receiver
depend on the source: it is found again by the content of the right-hand sides too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy
import torch

from pdeinv.datasets.kept import Kept, KeptByThread
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
        kind = "H" if adjoint else "N"
        solve = partial(_solved, operator, kind=kind)
        return _real(_by_medium(solve, m, _complex(r)), r)

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
        of_medium_alone = ctx.needs_input_grad[0] and not ctx.needs_input_grad[1]
        if of_medium_alone and not adjoint and not torch.is_grad_enabled():
            return _Slope.apply(m, u, grad_u.contiguous(), operator), None, None, None
        other = _Solve.apply(m, grad_u.contiguous(), operator, not adjoint)
        grad_m = None
        if ctx.needs_input_grad[0]:
            pair = (u, other) if adjoint else (other, u)
            grad_m = (_Medium.apply(pair[0], operator, True) * pair[1]).sum(dim=-2)
            grad_m = grad_m.sum_to_size(m.shape)
        return grad_m, other, None, None


class _Slope(torch.autograd.Function):
    """Map (m, u, g) to the gradient of the medium where that of u is g: the real part of
    conj(Pᴴ λ) u, with the adjoint field λ of g. The fields Pᴴ λ of receivers are kept."""

    @staticmethod
    def forward(
        m: torch.Tensor, u: torch.Tensor, g: torch.Tensor, operator: WaveOperator
    ) -> torch.Tensor:
        adjoint = _by_medium(partial(_adjoint_load, operator), m, _complex(g))
        fields = _complex(u)
        slope = adjoint.real * fields.real + adjoint.imag * fields.imag
        if len(m) == 1:
            slope = slope.sum(axis=-2, keepdims=True)
        return torch.from_numpy(slope).to(g)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, slope: torch.Tensor) -> None:
        """Nothing is kept: where derivatives are differentiated again, `_Solve` serves."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: tuple,
        m: torch.Tensor,
        u: torch.Tensor,
        g: torch.Tensor,
        operator: WaveOperator,
    ) -> tuple[torch.Tensor, int]:
        of_m, of_u, of_g, _ = in_dims
        u = u if of_u is None else u.movedim(of_u, 0)
        g = g.expand(info.batch_size, *g.shape) if of_g is None else g.movedim(of_g, 0)
        if of_m is None:
            return _Slope.apply(m, u, g, operator), 0
        us = u.expand(info.batch_size, *u.shape) if of_u is None else u
        each = zip(m.movedim(of_m, 0), us, g, strict=True)
        return torch.stack([_Slope.apply(*one, operator) for one in each]), 0


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


def _by_medium(
    function: Callable[[np.ndarray, np.ndarray], np.ndarray], m: torch.Tensor, right: np.ndarray
) -> np.ndarray:
    """A function of a medium (free,) and right-hand sides (..., free), of each medium of a batch:
    right-hand sides (..., batch, free) belong to one medium each, or all to a single one."""
    media = m.detach().double().cpu().numpy()
    if len(media) == 1:
        return function(media[0], right)
    parts = [function(one, right[..., i, :]) for i, one in enumerate(media)]
    return np.stack(parts, axis=-2)


def _solved(operator: WaveOperator, m: np.ndarray, right: np.ndarray, kind: str) -> np.ndarray:
    """Return the solutions of right-hand sides (..., free) of one medium (free,); of the adjoint
    system if the kind is "H", and not "N"."""
    flat = right.reshape(-1, right.shape[-1]).T
    u = np.zeros_like(flat)
    fed = flat.any(axis=0)  # many adjoints of one reading are 0 in all frequencies but one
    if fed.any():
        u[:, fed] = _factorised(operator, m).solve(np.ascontiguousarray(flat[:, fed]), kind)
    return u.T.reshape(right.shape)


def _adjoint_load(operator: WaveOperator, m: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return Pᴴ λ of the adjoint fields λ of right-hand sides (..., free), kept ones if there
    are."""
    key = (operator, _digest(m), _digest(right), right.shape)
    found = _adjoints.get(key)
    if found is None:
        _, medium = operator.matrices
        flat = _solved(operator, m, right, "H").reshape(-1, right.shape[-1])
        found = (medium.conj() @ flat.T).T.reshape(right.shape)
        found = np.ascontiguousarray(found)
        _adjoints.add(key, found, found.nbytes)
    return found


def _digest(values: np.ndarray) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(values).data).digest()


_adjoints: Kept[np.ndarray] = Kept(_MOST_ADJOINTS, _ADJOINT_BYTES)
_kept: KeptByThread[scipy.sparse.linalg.SuperLU] = KeptByThread(_MOST_KEPT, _KEPT_BYTES)


def _factorised(operator: WaveOperator, m: np.ndarray) -> scipy.sparse.linalg.SuperLU:
    """Return the factorisation for a medium (free,), a kept one if there is one."""
    key = (operator, _digest(m))
    made = _kept.kept.get(key)
    if made is None:
        made = _checked(operator, m)
        _kept.kept.add(key, made, _BYTES * made.nnz)
    return made


def _checked(operator: WaveOperator, m: np.ndarray) -> scipy.sparse.linalg.SuperLU:
    fixed, medium = operator.matrices
    matrix = scipy.sparse.csc_matrix(fixed - medium @ scipy.sparse.diags(m))
    right = np.random.default_rng(0).standard_normal(len(m)).astype(complex)
    residual = size = np.inf
    try:
        made = scipy.sparse.linalg.splu(
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
