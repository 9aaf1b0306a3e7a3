"""Waves of one frequency from an unknown source, with sides that take them up."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pdeinv.datasets.registry import register
from pdeinv.datasets.waves.base import WavePhysics
from pdeinv.errors import InputError
from pdeinv.fields import Field

__all__ = ["Acoustics"]


@register
@dataclass(frozen=True)
class Acoustics(WavePhysics):
    """Δu + k²(1 + i damping) u = -(a + source + wells), with the unknown real source a; u complex.

    The time factor is exp(-iωt), so that exp(ikr) leaves a source. A `Well` of rate 1 at a point
    makes (i/4) H₀⁽¹⁾(kr) where all sides are `Open`. The discretisation is a compact stencil of
    nine nodes, of fourth order. With ten nodes per wavelength, its waves are 0.03 % too long or
    less. A complex sparse factorisation solves it. All sources of one frequency share it.

    The state can have the imaginary part of u, `wavefield_imag`, as a further channel.

    Arguments:
        k: wavenumber ω / c, in units of 1 / unit of length; positive.
        damping: share by which the medium damps: k² is k² (1 + i damping).
        source: the known part of the source: a number, an array or a function.
        wells: point sources; one of rate q adds q δ to the sources.
        domain: the rectangle.
        boundary: the conditions on the sides, `Open` by default: `Impedance` for walls that take up
            a part, `NoFlux` for rigid walls, `Value(0)` for soft ones; a `Flux` is ∂u/∂n.
        coefficient_field, solution_field: names and units of a and of the real part of u, whose
            name ends in `_real`.

    Reference:
        Singer and Turkel, *High-order finite difference methods for the Helmholtz equation*,
        Comput. Methods Appl. Mech. Eng. 163 (1998).

    Example:
        >>> from pdeinv.datasets import Acoustics, Impedance, NoFlux, Sides, Well
        >>> walls = Sides(*4 * [Impedance(0.8)])
        >>> room = Acoustics(30.0, boundary=walls, wells=(Well(0.2, 0.3, rate=1.0),))
        >>> room.equation
        'Δu + k²u = -(a + 1 well), ∂u/∂n = 0.8 iku on the boundary'
        >>> [f.name for f in room.reading(["wavefield_imag"]).fields]
        ['source', 'wavefield_real', 'wavefield_imag']
    """

    coefficient_field: Field = field(default=Field("source", "source term a"), kw_only=True)

    name = "acoustics"
    linear = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coefficient_field.kind != self.solution_field.kind:
            raise InputError(
                f"coefficient_field and solution_field of {self.name} must be of one kind, got "
                f"{self.coefficient_field.kind} and {self.solution_field.kind}; change one"
            )

    @property
    def equation(self) -> str:
        square = "k²u" if self.damping == 0 else f"k²(1 + {self.damping:g}i)u"
        known = self.sources_phrase
        right = f"(a + {known})" if known else "a"
        return f"Δu + {square} = -{right}, {self.boundary.phrase()}"

    @property
    def source_units(self) -> str:
        return self.coefficient_field.units

    def parts(self, a: torch.Tensor) -> torch.Tensor:
        return self.excited(a.double(), a.new_ones(1, 1, *a.shape[-2:]).double()).to(a)
