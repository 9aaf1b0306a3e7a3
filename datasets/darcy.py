"""Darcy flow through a random two-phase medium."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated

import torch

from pdeinv.checks import EXTREME, Bounds, Positive
from pdeinv.datasets.base import PDE
from pdeinv.datasets.elliptic import (
    dirichlet_residual,
    interior,
    solve_shifted_laplacian,
    zero_boundary,
    zero_on_sides,
)
from pdeinv.datasets.registry import register
from pdeinv.errors import InputError, NumericalError
from pdeinv.grid import Field
from pdeinv.random_field import GaussianRandomField
from pdeinv.symmetry import Group, square_group

__all__ = ["Darcy"]

_MOST = 400  # iterations of conjugate gradients
_GEOMETRIC = 0.7  # share of the geometric mean in a smoothed permeability


@register
@dataclass(frozen=True)
class Darcy(PDE):
    """-∇·(a ∇u) = source on (0, 1)², u = 0 on the boundary; a takes two values.

    The coefficient a is `high` where a Gaussian random field is >= 0, else `low`. The
    discretisation is five-point finite volumes with arithmetic means of a on the faces, of second
    order for smooth a. Conjugate gradients, preconditioned with the constant-coefficient solve,
    find u. The condition number is at most high/low on every grid, so about 13 iterations give six
    digits. Gradients come from the adjoint equation, whose operator is the same.

    Arguments:
        low, high: the two permeabilities, positive.
        source: right-hand side, a constant other than 0.
        alpha, tau, modes: parameters of the latent `GaussianRandomField` of Neumann cosines.
        tolerance: relative residual at which an instance's iteration stops.

    Reference:
        Li et al., *Fourier neural operator*, ICLR 2021, section 5.2 (arXiv 2010.08895); Huang et
        al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).
    """

    low: Positive = 3.0
    high: Positive = 12.0
    source: float = 1.0
    alpha: float = 2.0
    tau: float = 3.0
    modes: int = 128
    tolerance: Annotated[float, Bounds(above=0, below=1)] = 1e-11

    name = "darcy"
    coefficient_field = Field("permeability", "permeability a", interpolation_order=0)
    solution_field = Field("pressure", "pressure u")
    gaussian_coefficient = False
    numerical_parameters = ("tolerance",)
    matlab_names = ("thresh_a_data", "thresh_p_data")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not abs(self.source) > 1 / EXTREME:
            raise InputError(
                f"source of {self.name} must be above {1 / EXTREME:g} in size, got {self.source}; "
                f"without a source the pressure is 0 everywhere"
            )
        if not self.low < self.high:
            raise InputError(
                f"the permeabilities must be 0 < low < high, got low = {self.low} and high = "
                f"{self.high}; change one of them"
            )

    @cached_property
    def latent_prior(self) -> GaussianRandomField:
        return GaussianRandomField("neumann", self.alpha, self.tau, self.modes)

    @property
    def equation(self) -> str:
        return f"-∇·(a ∇u) = {self.source:g}, u = 0 on the boundary"

    @property
    def coefficient_range(self) -> tuple[float, float]:
        return (self.low, self.high)

    def coefficient(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.where(latent >= 0, latent.new_tensor(self.high), latent.new_tensor(self.low))

    def smoothed(self, latent: torch.Tensor, width: float) -> torch.Tensor:
        """Return a smooth permeability: 0.7 of the geometric and 0.3 of the arithmetic mean.

        The share of the high phase is the logistic function of latent / width. A two-dimensional
        mixture of equal shares conducts like the geometric mean, a layered one between the harmonic
        and the arithmetic mean. At the default contrast this weighting removes most of
        the bias of the pressure that the arithmetic mean alone has.

        Reference:
            Dykhne, *Conductivity of a two-dimensional two-phase system*, JETP 32, 1971.
        """
        share = torch.sigmoid(latent / width)
        arithmetic = self.low + (self.high - self.low) * share
        geometric = self.low * (self.high / self.low) ** share
        return _GEOMETRIC * geometric + (1 - _GEOMETRIC) * arithmetic

    def surrogate(self, a: torch.Tensor) -> torch.Tensor:
        """Return `solve` in single precision, stopped early: u has four digits.

        Raises:
            NumericalError: the contrast is too high for the iterations of an inversion, which meet
                coefficients that are harder than draws of the prior.
        """
        contrast = self.high / self.low
        if _iterations(contrast, self.tolerance) > _MOST:
            raise NumericalError(
                f"the contrast high / low of the permeability must be at most a few hundred for "
                f"conjugate gradients in an inversion, got {contrast:.4g}; bring low and high "
                f"together, or use a solver without them: 'optimal-interpolation'"
            )
        rough = replace(self, tolerance=max(self.tolerance, 6e-5 * self.high / self.low))
        return rough.solve(a.float()).to(a)

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        self.grid_of(a)
        if not bool((a > 0).all()):
            raise InputError(
                f"the permeability must be positive everywhere, got {float(a.min()):.3g}; mend the "
                f"field"
            )
        source = torch.full_like(interior(a), self.source)
        return zero_boundary(_DarcySolve.apply(a, source, self.tolerance))

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel != 1:
            return super().known_values(channel, points)
        return zero_on_sides(points, self.domain)

    def residual(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return dirichlet_residual(_divergence_form(a, u) - self.source, u)

    @property
    def symmetries(self) -> Group:
        return square_group()


def _differences(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the jumps of x across the faces that touch an interior node.

    They are (..., n-2, n-1) along x, and (..., n-1, n-2) along y.
    """
    return x[..., 1:-1, 1:] - x[..., 1:-1, :-1], x[..., 1:, 1:-1] - x[..., :-1, 1:-1]


def _face_means(a: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (a[..., 1:-1, 1:] + a[..., 1:-1, :-1]) / 2, (a[..., 1:, 1:-1] + a[..., :-1, 1:-1]) / 2


def _apply(faces: Sequence[torch.Tensor], u: torch.Tensor) -> torch.Tensor:
    """Return -h² ∇·(a ∇u) at interior nodes, for face coefficients and u with its boundary."""
    dx, dy = _differences(u)
    flux_x, flux_y = faces[0] * dx, faces[1] * dy
    return flux_x[..., :-1] - flux_x[..., 1:] + flux_y[..., :-1, :] - flux_y[..., 1:, :]


def _divergence_form(a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    return _apply(_face_means(a), u) * (a.shape[-1] - 1) ** 2


def _iterations(contrast: float, tolerance: float) -> float:
    """Return the iterations within which conjugate gradients surely reach a tolerance.

    Reference:
        Saad, *Iterative Methods for Sparse Linear Systems*, 2003, section 6.11.3; the factor from
        the energy norm to the residual is the root of the condition number.
    """
    root = math.sqrt(contrast)
    return 0.5 * root * math.log(2 * root / tolerance)


def _conjugate_gradients(a: torch.Tensor, f: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Return the interior u with -∇·(a ∇u) = f.

    Each instance stops by itself, so that none depends on its batch.
    """
    # The inner products of a small f, such as a gradient, underflow in float32. No residual falls
    # below the rounding.
    size = f.abs().amax(dim=(-1, -2), keepdim=True)
    size = torch.where(size == 0, 1.0, size)
    f = f / size
    tolerance = max(tolerance, torch.finfo(f.dtype).eps)
    h2 = 1.0 / (a.shape[-1] - 1) ** 2
    faces = [face / h2 for face in _face_means(a)]
    scale = a.mean(dim=(-1, -2), keepdim=True)

    def inner(x, y):
        return torch.linalg.vecdot(x.flatten(-2), y.flatten(-2))[..., None, None]

    def precondition(r):
        return -solve_shifted_laplacian(r) / scale

    u = torch.zeros_like(f)
    r = f.clone()
    z = precondition(r)
    p = z
    rz = inner(r, z)
    stop = tolerance**2 * inner(f, f)
    for _ in range(_MOST):
        active = inner(r, r) > stop
        if not bool(active.any()):
            return size * u
        q = _apply(faces, zero_boundary(p))
        pq = inner(p, q)
        alpha = torch.where(active, rz / torch.where(active, pq, 1.0), 0.0)
        u = u + alpha * p
        r = r - alpha * q
        z = precondition(r)
        rz, previous = inner(r, z), rz
        p = torch.where(active, z + rz / torch.where(active, previous, 1.0) * p, p)
    raise NumericalError(
        f"conjugate gradients must reach the relative residual {tolerance:g} in {_MOST} "
        f"iterations, and did not for a permeability of contrast {float(a.max() / a.min()):.4g}; "
        f"lower the contrast or raise `tolerance`"
    )


class _DarcySolve(torch.autograd.Function):
    """Map (a, f) to the interior u; twice differentiable.

    The map is self-adjoint in f, so the backward pass is one more solve.
    """

    @staticmethod
    def forward(a, f, tolerance):
        return _conjugate_gradients(a, f, tolerance)

    @staticmethod
    def setup_context(ctx, inputs, u):
        a, _, ctx.tolerance = inputs
        ctx.save_for_backward(a, u)

    @staticmethod
    def vmap(info, in_dims, a, f, tolerance):
        """Solve many right-hand sides or permeabilities as one larger batch."""
        a, f = (
            x.expand(info.batch_size, *x.shape) if d is None else x.movedim(d, 0)
            for x, d in zip((a, f), in_dims, strict=False)
        )
        u = _DarcySolve.apply(a.flatten(0, 1), f.flatten(0, 1), tolerance)
        return u.unflatten(0, a.shape[:2]), 0

    @staticmethod
    def backward(ctx, grad_u):
        a, u = ctx.saved_tensors
        adjoint = _DarcySolve.apply(a, grad_u.contiguous(), ctx.tolerance)
        grad_a = None
        if ctx.needs_input_grad[0]:
            # d/da of -λᵀ A(a) u: each of a face's two nodes takes half its product of jumps
            ux, uy = _differences(zero_boundary(u))
            lx, ly = _differences(zero_boundary(adjoint))
            scale = 0.5 * (a.shape[-1] - 1) ** 2
            px, py = -scale * ux * lx, -scale * uy * ly
            pad = torch.nn.functional.pad
            grad_a = (
                pad(px, (0, 1, 1, 1))
                + pad(px, (1, 0, 1, 1))
                + pad(py, (1, 1, 0, 1))
                + pad(py, (1, 1, 1, 0))
            )
        return grad_a, adjoint, None
