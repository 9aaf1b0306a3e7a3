"""Waves of one frequency through an unknown medium."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pdeinv.checks import Positive
from pdeinv.coefficients import LogNormal
from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.registry import register
from pdeinv.datasets.waves.base import WavePhysics
from pdeinv.errors import InputError
from pdeinv.fields import Field

__all__ = ["Scattering"]


@register
@dataclass(frozen=True)
class Scattering(WavePhysics):
    """Δu + k²(1 + i damping) m u = -(source + wells), with the unknown medium m; u complex.

    The coefficient m is the squared slowness relative to that of the background, (c₀ / c)², any
    positive field. The discretisation, the sides and the two parts of u are those of `Acoustics`.
    Beyond an open side the medium is that at the side. Gradients come from the adjoint equation.
    All sources of one frequency, in as many `Experiments`, share the factorisation of a medium.

    Arguments:
        k: wavenumber ω / c₀ in the background, in units of 1 / unit of length; positive.
        damping: share by which the medium damps: k² is k² (1 + i damping).
        source: what is known to emit: a number, an array or a function; 0 where wells alone do.
        wells: point sources; one of rate q adds q δ to the source.
        domain: the rectangle.
        boundary: the conditions on the sides, `Open` by default; all values and fluxes are 0.
        coefficient_field, solution_field: names and units of m and of the real part of u, whose
            name ends in `_real`.

    Reference:
        Colton and Kress, *Inverse Acoustic and Electromagnetic Scattering Theory*, 2019, chapter 8.

    Example:
        >>> from pdeinv.datasets import Scattering, Well
        >>> Scattering(12.0, source=0.0, wells=(Well(0.1, 0.5, 1.0),)).equation
        'Δu + k²mu = -1 well, open on the boundary'
    """

    k: Positive = 4.0
    source: Distributed = field(default=Distributed(1.0), kw_only=True)
    coefficient_field: Field = field(
        default=Field("squared_slowness", "relative squared slowness m"), kw_only=True
    )

    name = "scattering"
    positive_coefficient = True
    at_once = 8  # media, whose factorisations are kept

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.coefficient_field.kind != "scalar":
            raise InputError(
                f"the field {self.coefficient_field.name!r} of {self.name} must be a scalar, got "
                f"{self.coefficient_field.kind}; change its kind"
            )
        if not self.boundary.homogeneous:
            raise InputError(
                f"boundary of {self.name} must have values and fluxes of 0 alone, got "
                f"{self.boundary.phrase()}; let a source or a well emit"
            )
        if self.source.zero and not any(well.rate for well in self.wells):
            raise InputError(
                f"source of {self.name} must not be 0 where no well emits, got "
                f"{self.source.phrase}: the wave field would be 0; give a source or a well"
            )

    @property
    def default_prior(self) -> LogNormal:
        return LogNormal(1.0, 0.2, 0.2 * self.domain.shorter)

    @property
    def equation(self) -> str:
        square = "k²mu" if self.damping == 0 else f"k²(1 + {self.damping:g}i)mu"
        known = self.sources_phrase
        right = f"({known})" if "+" in known else known
        return f"Δu + {square} = -{right}, {self.boundary.phrase()}"

    def parts(self, a: torch.Tensor) -> torch.Tensor:
        wrong = ~((a > 0) & a.isfinite())
        if bool(wrong.any()):
            raise InputError(
                f"the {self.coefficient_field.name} must be positive and finite everywhere, got "
                f"{float(a[wrong][0]):.3g}; mend the field"
            )
        return self.excited(torch.zeros_like(a, dtype=torch.float64), a.double()).to(a)
