"""The Helmholtz equation with an unknown source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from pdeinv.coefficients import SpectralField
from pdeinv.datasets.elliptic.base import SourcePDE
from pdeinv.datasets.elliptic.dispersion import dispersion_error
from pdeinv.datasets.elliptic.problem import Enclosure, volumes_on
from pdeinv.datasets.registry import register
from pdeinv.fields import Field
from pdeinv.grid import Grid

__all__ = ["Helmholtz"]

_DISPERSION = 0.01  # relative error of the solution from which five points are doubtful
_PUBLISHED = SpectralField("neumann", alpha=2.0, tau=3.0)
_PER_WAVE = 6  # nodes per wavelength from which the waves of the grid resolve a wave


@register
@dataclass(frozen=True)
class Helmholtz(SourcePDE):
    """Δu + k²u = a + source, with the unknown source term a.

    The coefficient a is set to 0 on the sides that fix a value. The discretisation is finite
    volumes on the nodes. Trigonometric transforms solve it exactly. On the unit square with u = 0
    on the boundary, resonances lie near k² = π²(p² + q²), the first at k = 4.44.

    Arguments:
        k: wavenumber, in units of 1 / unit of length.
        discretisation: "five-point" for finite differences, of second order, or "spectral" for the
            exact eigenvalues of the waves, where all sides are zero. Five points shift the
            resonances: their error grows with k. `reconstruct` and `generate` warn where it is
            large.
        domain: the rectangle.
        boundary: the conditions on the sides; a `Flux` is ∂u/∂n.
        source: the known part of the right-hand side: a number, an array or a function.
        coefficient_field, solution_field: names and units of a and u.

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).
    """

    k: float = 1.0
    coefficient_field: Field = field(default=Field("source", "source term a"), kw_only=True)
    solution_field: Field = field(default=Field("wavefield", "wave field u"), kw_only=True)

    name = "helmholtz"
    matlab_names = ("f_data", "psi_data")

    @property
    def shift(self) -> float:
        return self.k**2

    @property
    def equation(self) -> str:
        return f"Δu + k²u = {self.right_hand_side}"

    @property
    def default_prior(self) -> SpectralField:
        return _PUBLISHED

    def restrict(self, a: torch.Tensor) -> torch.Tensor:
        volumes = volumes_on(self.grid_of(a), self.enclosure)
        return volumes.extended(volumes.inside(a))

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if channel != 0:
            return super().known_values(channel, points)
        fixed = torch.from_numpy(self.boundary.fixes(points.numpy(force=True), self.domain))
        return torch.where(fixed.to(points.device), 0.0, super().known_values(0, points))

    def doubt(self, grid: Grid) -> str:
        """Return a warning where the grid is too coarse for the wavenumber; see `PDE.doubt`."""
        waves = f"k = {self.k:g} of {self.name} on {min(grid.shape)} nodes per side"
        per_wave = 2 * math.pi / (abs(self.k) * max(grid.spacing)) if self.k else math.inf
        if self.discretisation == "spectral":
            return (
                f"{waves} has {per_wave:.1f} nodes per wavelength, where {_PER_WAVE} or more are "
                f"needed; use a finer grid"
                if per_wave < _PER_WAVE
                else ""
            )
        relative = Grid(*grid.shape, (0.0, grid.domain.aspect[0], 0.0, grid.domain.aspect[1]))
        error = dispersion_error(
            volumes_on(relative, Enclosure(self.boundary)),
            abs(self.k) * grid.domain.shorter,
            _PUBLISHED.alpha,
            _PUBLISHED.tau,
        )
        remedy = "discretisation='spectral' or a finer grid"
        return (
            f"{waves} has an estimated dispersion error of {_percent(error)} % of the "
            f"{self.solution_field.name}; use "
            f"{remedy if self.boundary.homogeneous else 'a finer grid'}"
            if error > _DISPERSION
            else ""
        )


def _percent(error: float) -> str:
    return f"{100 * error:.3g}" if error < 1 else "over 100"
