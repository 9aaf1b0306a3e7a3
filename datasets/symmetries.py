"""The symmetries of a PDE, computed from its operator and its data.

A class states the group of its operator alone. An element of it is a symmetry of the PDE where it
maps the domain, the conditions on the sides, the sources and the wells onto themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.features import Feature
from pdeinv.datasets.invariance import InvariantSource, keeps_sides, keeps_wells
from pdeinv.datasets.invariant_shapes import keeps_features, keeps_region
from pdeinv.datasets.sides import Sides
from pdeinv.datasets.wells import Well
from pdeinv.symmetry import Group, Matrix, Symmetry

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE

__all__ = ["common_symmetries"]

_SHIFTS = 192  # nodes a side of the lattice of shifts of functions: halves, thirds, to 1/64
_FINEST = 1024  # nodes a side of the lattice of shifts
_MOST = 4096  # elements of the finite part
_SUPPORT = 1e-10  # of the largest Fourier coefficient; a smaller one is rounding
_ALIKE = 1e-9  # deviation from a full correlation, of shifts that are compared exactly
_ANYWHERE = (0.3819660112501051, 0.7182818284590452)  # shares of a period that no lattice has

Check = Callable[[Symmetry], bool]


def common_symmetries(physics: Sequence[PDE]) -> Group:
    """Return the symmetries that all of some PDEs on one domain have, acting on scalars.

    On a torus, shifts are by nodes of the sources' lattice: of the arrays' own, or of 192 x 192
    nodes for functions. They are of any size along a direction in which all sources are constant.

    Arguments:
        physics: one PDE or several.
    """
    domain, periodic = physics[0].domain, physics[0].grid_kind == "periodic"
    operators = [pde.operator_symmetries for pde in physics]
    checks = [_check(pde) for pde in physics]

    def kept(element: Symmetry) -> bool:
        return all(_reaches(group, element) for group in operators) and all(
            check(element) for check in checks
        )

    candidates = [g for g in operators[0] if domain.square or g.matrix[0][0]]
    if not periodic:
        return Group(tuple(Symmetry(g.matrix, g.shift) for g in candidates if kept(g)))
    stated = [(source, _pseudo(pde)) for pde in physics for source in pde.sources]
    sources = [(source, pseudo) for source, pseudo in stated if not source.zero]
    matrices = list(dict.fromkeys(g.matrix for g in candidates))
    return _on_torus(matrices, _Lattice(physics, sources), kept)


def _check(pde: PDE) -> Check:
    """Return the function that returns whether an element maps a PDE's data onto themselves."""
    domain, periodic, pseudo = pde.domain, pde.grid_kind == "periodic", _pseudo(pde)
    sources = [InvariantSource(source, domain, periodic) for source in pde.sources]
    values = pde.parameters.values()
    conditions = [value for value in values if isinstance(value, Sides)]
    groups = [value for value in values if isinstance(value, tuple)]
    wells = [well for group in groups for well in group if isinstance(well, Well)]
    features = [one for group in groups for one in group if isinstance(one, Feature)]

    def check(element: Symmetry) -> bool:
        sign = element.determinant if pseudo else 1
        return (
            keeps_region(domain, element)
            and keeps_features(features, domain, element, sign)
            and keeps_wells(wells, domain, periodic, element, sign)
            and all(keeps_sides(sides, domain, element, sign) for sides in conditions)
            and all(source.keeps(element, sign) for source in sources)
        )

    return check


def _pseudo(pde: PDE) -> bool:
    return pde.solution_field.kind == "pseudo-scalar"


def _reaches(group: Group, element: Symmetry) -> bool:
    """Return whether a group has an element, up to whole periods."""
    for g in group:
        gap = [a - b for a, b in zip(element.shift, g.shift, strict=True)]
        if len(group.translations) == 1:
            ((dx, dy),) = group.translations
            gap = [dx * gap[1] - dy * gap[0]]
        elif group.translations:
            gap = []
        if g.matrix == element.matrix and all(abs(s - round(s)) < 1e-9 for s in gap):
            return True
    return False


# Tori


class _Lattice:
    """The sources of some PDEs on a lattice of the torus.

    Attributes:
        shape: nodes (ny, nx).
        values: (sources, ny, nx), each with a largest size of 1.
        pseudo: which sources are pseudo-scalars.
    """

    def __init__(self, physics: Sequence[PDE], sources: list[tuple[Distributed, bool]]) -> None:
        domain = physics[0].domain
        ny = nx = 1
        for source, _ in sources:
            value = source.value
            array = isinstance(value, np.ndarray)
            rows, columns = value.shape if array else (_SHIFTS, _SHIFTS)
            ny, nx = math.lcm(ny, rows), math.lcm(nx, columns)
        if domain.square:
            ny = nx = math.lcm(ny, nx)
        if max(ny, nx) > _FINEST:
            ny = nx = _SHIFTS
        self.shape = (ny, nx)
        self.pseudo = [pseudo for _, pseudo in sources]
        x0, _, y0, _ = domain.extent
        width, height = domain.lengths
        x, y = np.meshgrid(x0 + width * np.arange(nx) / nx, y0 + height * np.arange(ny) / ny)
        points = np.stack([x, y], axis=-1).reshape(-1, 2)
        values = [s.at(points, domain, periodic=True).reshape(ny, nx) for s, _ in sources]
        self.values = np.array([v / (np.abs(v).max() or 1.0) for v in values])
        self.values = self.values.reshape(-1, ny, nx)

    def directions(self) -> list[tuple[int, int]]:
        """Return the directions along which all sources are constant on the lattice."""
        amplitudes = np.abs(np.fft.fft2(self.values)).max(axis=0, initial=0.0)
        found = np.argwhere(amplitudes > _SUPPORT * max(amplitudes.max(), 1e-300))
        waves = set()
        for ky, kx in found.tolist():
            ny, nx = self.shape
            for signed_y in {ky - ny * (2 * ky > ny), ky - ny * (2 * ky >= ny)}:
                for signed_x in {kx - nx * (2 * kx > nx), kx - nx * (2 * kx >= nx)}:
                    waves.add((signed_x, signed_y))
        waves.discard((0, 0))
        if not waves:
            return [(1, 0), (0, 1)]
        kx, ky = min(waves, key=lambda k: (abs(k[0]) + abs(k[1]), k))
        if any(kx * y != ky * x for x, y in waves):
            return []
        size = math.gcd(kx, ky)
        dx, dy = ky // size, -kx // size
        return [(dx, dy) if (dx, dy) > (0, 0) else (-dx, -dy)]

    def shifts(self, matrix: Matrix) -> np.ndarray:
        """Return the nodes (i, j) by whose shift, after M, the sources may be kept, (m, 2)."""
        (a, b), (c, d) = matrix
        moved = self.values.swapaxes(-1, -2) if a == 0 else self.values
        for axis, flipped in ((-1, a + b < 0), (-2, c + d < 0)):
            if flipped:
                moved = np.roll(np.flip(moved, axis), 1, axis)
        signs = np.where(self.pseudo, a * d - b * c, 1).reshape(-1, 1, 1)
        spectrum = np.fft.fft2(self.values) * np.fft.fft2(signs * moved).conj()
        correlation = np.fft.ifft2(spectrum.sum(axis=0)).real
        return np.argwhere(correlation >= (1 - _ALIKE) * (self.values**2).sum())[:, ::-1]


def _on_torus(matrices: Sequence[Matrix], lattice: _Lattice, kept: Check) -> Group:
    """Return the symmetries among those of given linear parts and shifts by nodes."""
    directions = tuple(
        d
        for d in lattice.directions()
        if all(kept(Symmetry(shift=(t * d[0], t * d[1]))) for t in _ANYWHERE)
    )
    elements, ny, nx = [], *lattice.shape
    for matrix in matrices:
        found = lattice.shifts(matrix) / np.array([nx, ny])
        elements += [(matrix, shift) for shift in _representatives(found, directions)]
    if len(elements) > _MOST:
        elements = [(matrix, (0.0, 0.0)) for matrix in matrices]
    made = [Symmetry(matrix, shift) for matrix, shift in elements]
    return Group(tuple(g for g in made if kept(g)), directions)


def _representatives(
    shifts: np.ndarray, directions: Sequence[tuple[int, int]]
) -> list[tuple[float, float]]:
    """Return one of all shifts that differ by a translation along the directions.

    It is the one across a direction where that is among them, the least one otherwise.
    """
    pairs = [(float(x), float(y)) for x, y in sorted(shifts.tolist())]
    if len(directions) == 2:
        return pairs[:1]
    if not directions:
        return pairs
    ((dx, dy),) = directions
    alike: dict[float, list[tuple[float, float]]] = {}
    for x, y in pairs:
        alike.setdefault(round((dx * y - dy * x) % 1, 9) % 1, []).append((x, y))
    chosen = []
    for across, equal in sorted(alike.items()):
        size = across / (dx * dx + dy * dy)
        straight = (-dy * size % 1, dx * size % 1)
        near = [p for p in equal if max(abs(p[0] - straight[0]), abs(p[1] - straight[1])) < 1e-9]
        chosen.append((near or equal)[0])
    return chosen
