"""Poisson's equation with an unknown source."""

from __future__ import annotations

from dataclasses import dataclass, field

from pdeinv.coefficients import SpectralField
from pdeinv.datasets.elliptic.base import SourcePDE
from pdeinv.datasets.registry import register
from pdeinv.fields import Field

__all__ = ["Poisson"]


@register
@dataclass(frozen=True)
class Poisson(SourcePDE):
    """Δu = a + source, with the unknown source term a.

    The discretisation is finite volumes on the nodes. Trigonometric transforms solve it exactly.

    Arguments:
        discretisation: "five-point" for finite differences, of second order, or "spectral" for the
            exact eigenvalues of the waves, where all sides are zero.
        domain: the rectangle.
        boundary: the conditions on the sides; a `Flux` is ∂u/∂n.
        source: the known part of the right-hand side: a number, an array or a function.
        coefficient_field, solution_field: names and units of a and u.

    Reference:
        Huang et al., *DiffusionPDE*, NeurIPS 2024, section 4.2 (arXiv 2406.17763).
    """

    coefficient_field: Field = field(default=Field("source", "source term a"), kw_only=True)
    solution_field: Field = field(default=Field("potential", "potential u"), kw_only=True)

    name = "poisson"
    shift = 0.0
    matlab_names = ("f_data", "phi_data")

    @property
    def equation(self) -> str:
        return f"Δu = {self.right_hand_side}"

    @property
    def default_prior(self) -> SpectralField:
        return SpectralField("neumann", alpha=2.0, tau=3.0)
