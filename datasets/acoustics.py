"""Waves of one frequency from an unknown source, with sides that take them up."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.datasets.registry import register
from pdeinv.datasets.waves.base import WavePhysics
from pdeinv.datasets.waves.solver import wave_solve
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

    source: Distributed = field(default=Distributed(0.0), kw_only=True)
    coefficient_field: Field = field(default=Field("source", "source term a"), kw_only=True)

    name = "acoustics"
    linear = True
    uncertain_parameters = ("source",)

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
        count = len(self.wells)
        terms = ["a", "" if self.source.zero else self.source.phrase]
        terms += [f"{count} well{'s' if count > 1 else ''}" if count else ""]
        right = " + ".join(term for term in terms if term)
        right = f"({right})" if " " in right else right
        return f"Δu + {square} = -{right}, {self.boundary.phrase()}"

    @property
    def source_units(self) -> str:
        return self.coefficient_field.units

    def parts(self, a: torch.Tensor) -> torch.Tensor:
        grid = self.grid_of(a)
        operator = self.operator(grid)
        sources = a.double()
        if not self.source.zero:
            known = self.source.tensor(node_positions(grid), self.domain).reshape(grid.shape)
            sources = sources + known.to(sources)
        along_y, along_x = (torch.from_numpy(matrix).to(sources) for matrix in operator.loads)
        loads = operator.embedded(along_y @ sources @ along_x.T)
        given = torch.from_numpy(self.given_loads(grid)).to(loads)
        right = torch.nn.functional.pad(loads, (0, 0, 0, 1)) + given
        medium = loads.new_ones(1, len(operator.free))
        u = operator.on_grid(wave_solve(operator, medium, right))
        values = self.conditions(grid).values
        if values is not None:
            u = u + torch.nn.functional.pad(values.to(u)[None], (0, 0, 0, 0, 0, 1))
        return u.to(a)
