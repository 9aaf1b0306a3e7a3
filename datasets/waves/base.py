"""What physics of waves of one frequency have in common: a complex field as two channels."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch

from pdeinv.checks import NotNegative, Positive
from pdeinv.datasets.absorbing import Open
from pdeinv.datasets.distributed import Distributed, node_positions
from pdeinv.datasets.elliptic.base import EllipticPDE
from pdeinv.datasets.elliptic.problem import Enclosure, conditions_on
from pdeinv.datasets.sides import Sides
from pdeinv.datasets.waves.operator import WaveOperator
from pdeinv.datasets.waves.points import point_density
from pdeinv.datasets.waves.solver import wave_solve
from pdeinv.datasets.wells import Well, check_wells
from pdeinv.errors import InputError
from pdeinv.fields import REAL, Field, imaginary_of
from pdeinv.grid import Grid

__all__ = ["WavePhysics"]

_PER_WAVE = 8  # nodes per wavelength from which a wave is resolved
_SECONDS, _NODES, _GROWTH = 0.5, 10_000, 1.5  # of a factorisation, and its power of the nodes


@dataclass(frozen=True)
class WavePhysics(EllipticPDE):
    """Waves u exp(-iωt) of one frequency, with sides that may take them up.

    The solution is the real part of u; the imaginary part is a derived field, whose name ends in
    `_imag` where that of the solution ends in `_real`.

    Arguments:
        k: wavenumber ω / c, in units of 1 / unit of length; positive.
        damping: share by which the medium damps: k² is k² (1 + i damping).
        boundary: the conditions on the sides; each is `Open` by default.
        source: the known part of the source: a number, an array or a function.
        wells: point sources; one of rate q adds q δ to the sources.
        solution_field: name and units of the real part of u.
    """

    k: Positive = 5.0
    damping: NotNegative = field(default=0.0, kw_only=True)
    boundary: Sides = field(default=Sides(Open(), Open(), Open(), Open()), kw_only=True)
    source: Distributed = field(default=Distributed(0.0), kw_only=True)
    wells: tuple[Well, ...] = field(default=(), kw_only=True)
    solution_field: Field = field(
        default=Field("wavefield_real", "real part of the wave field"), kw_only=True
    )

    waves = True
    uncertain_parameters = ("source",)

    def __post_init__(self) -> None:
        if isinstance(self.solution_field, Field) and not self.solution_field.name.endswith(REAL):
            raise InputError(
                f"the name of the solution_field of {self.name} must end in {REAL}, got "
                f"{self.solution_field.name!r}; name it such as pressure{REAL}"
            )
        super().__post_init__()
        if self.domain.active is not None or self.features:
            raise InputError(
                f"the domain of {self.name} must be a whole rectangle without features, got "
                f"{self.domain} with {len(self.features)} features; leave out its active part and "
                f"what lies within"
            )
        check_wells(self.wells, self.domain)
        points = [(well.x, well.y) for well in self.wells]
        for i, fixed in enumerate(self.boundary.fixes(points, self.domain)):
            if fixed:
                raise InputError(
                    f"well {i} must not be on a side that fixes the wave field, got x = "
                    f"{points[i][0]:g}, y = {points[i][1]:g}; move it into the domain"
                )

    @property
    def wavenumber(self) -> float:
        return self.k

    @property
    def sources_phrase(self) -> str:
        """The known sources for people; "" if there are none."""
        count = len(self.wells)
        wells = f"{count} well{'s' if count > 1 else ''}" if count else ""
        return " + ".join(
            term for term in ("" if self.source.zero else self.source.phrase, wells) if term
        )

    @property
    def imaginary(self) -> Field:
        """The field of the imaginary part."""
        return imaginary_of(self.solution_field)

    @property
    def derived(self) -> tuple[Field, ...]:
        return (self.imaginary,)

    @abstractmethod
    def parts(self, a: torch.Tensor) -> torch.Tensor:
        """Return the real and the imaginary part of u, (batch, 2, ny, nx); differentiable.

        Arguments:
            a: (batch, 1, ny, nx), the coefficient.
        """

    def solve(self, a: torch.Tensor) -> torch.Tensor:
        return self.parts(a)[:, :1]

    def respond(self, a: torch.Tensor) -> torch.Tensor:
        return self.parts(a)[:, : len(self.fields) - 1]

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        return self.respond(a)

    def derive(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        return self.parts(a)[:, 1:]

    def known_values(self, channel: int, points: torch.Tensor) -> torch.Tensor:
        if self.fields[channel] != self.imaginary:
            return super().known_values(channel, points)
        fixed = torch.from_numpy(self.boundary.fixes(points.numpy(force=True), self.domain))
        return torch.where(fixed.to(points.device), 0.0, super().known_values(0, points))

    def operator(self, grid: Grid) -> WaveOperator:
        """Return the operator of a grid."""
        return _operator(self.check_grid(grid), self.boundary, self.k, self.damping)

    def excited(self, sources: torch.Tensor, m: torch.Tensor) -> torch.Tensor:
        """Return both parts of u, (batch, 2, ny, nx), float64, that sources make with those known.

        Arguments:
            sources: (batch, 1, ny, nx), float64.
            m: (batch, 1, ny, nx) or (1, 1, ny, nx), the medium, float64.
        """
        grid = self.grid_of(sources)
        operator = self.operator(grid)
        if not self.source.zero:
            known = self.source.tensor(node_positions(grid), self.domain).reshape(grid.shape)
            sources = sources + known.to(sources)
        along_y, along_x = (torch.from_numpy(matrix).to(sources) for matrix in operator.loads)
        loads = operator.embedded(along_y @ sources @ along_x.T)
        given = _given_loads(operator, grid, self.boundary, self.wells)
        right = torch.nn.functional.pad(loads, (0, 0, 0, 1)) + torch.from_numpy(given).to(loads)
        medium = m.flatten(1)[:, torch.from_numpy(operator.places).to(m.device)]
        u = operator.on_grid(wave_solve(operator, medium, right))
        values = self.conditions(grid).values
        if values is not None:
            u = u + torch.nn.functional.pad(values.to(u)[None], (0, 0, 0, 0, 0, 1))
        return u

    def doubt(self, grid: Grid) -> str:
        """Return a warning where the grid is too coarse for the wavenumber; see `PDE.doubt`."""
        per_wave = 2 * np.pi / (self.k * max(grid.spacing))
        if per_wave >= _PER_WAVE:
            return ""
        return (
            f"k = {self.k:g} of {self.name} on {min(grid.shape)} nodes per side has {per_wave:.1f} "
            f"nodes per wavelength, where {_PER_WAVE} or more are needed; use a finer grid"
        )

    def solve_seconds(self, grid: Grid) -> float:
        return _SECONDS * (grid.nodes / _NODES) ** _GROWTH


@lru_cache(maxsize=64)
def _operator(grid: Grid, boundary: Sides, k: float, damping: float) -> WaveOperator:
    return WaveOperator.on(grid, boundary, k, damping)


@lru_cache(maxsize=256)
def _given_loads(
    operator: WaveOperator, grid: Grid, boundary: Sides, wells: tuple[Well, ...]
) -> np.ndarray:
    conditions = conditions_on(grid, Enclosure(boundary))
    values = np.zeros(grid.shape) if conditions.values is None else conditions.values.numpy()
    fluxes = {side: along.numpy() for side, along in conditions.fluxes.items()}
    total = operator.loads_of_sides(values, fluxes) + operator.loads_at(point_density(grid, wells))
    free = total[operator.free]
    return np.stack([free.real, free.imag])
