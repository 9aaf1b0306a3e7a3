"""The matrix of Δu + k²(1 + i damping) m u = -f on a grid with its sides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import scipy
import torch

from pdeinv.datasets.sides import SIDES, Sides
from pdeinv.datasets.waves.lines import Line, line, load_matrix, mass_matrix
from pdeinv.grid import Grid

__all__ = ["WaveOperator"]

End: TypeAlias = "str | float"
"""A side: "value", "open", or its admittance β, which is 0 where nothing flows."""


@dataclass(frozen=True)
class WaveOperator:
    """The matrix S - P m of the free nodes, for a medium m at the nodes.

    Free nodes are those of the grid that no side fixes, and the nodes beyond open sides. There the
    medium is that of the nearest node of the grid. With ∂u/∂n = i k β u on a side, what its half
    element lacks of fourth order is (h²/12) ∂³u/∂n³, which the equation gives as derivatives along
    the side.

    Arguments:
        ny, nx: nodes of the grid.
        hy, hx: distances of its nodes.
        k: wavenumber.
        damping: of the medium.
        ends: of the left, the right, the bottom and the top.
    """

    ny: int
    nx: int
    hy: float
    hx: float
    k: float
    damping: float
    ends: tuple[End, End, End, End]

    @classmethod
    def on(cls, grid: Grid, boundary: Sides, k: float, damping: float) -> WaveOperator:
        """Return the operator of a grid with its sides."""
        (ny, nx), (width, height) = grid.shape, grid.domain.lengths
        ends: list[End] = []
        for _, side in boundary.items():
            found = 0.0 if side.takes_up is None else side.takes_up
            ends.append("value" if side.fixes_value else found)
        left, right, bottom, top = ends
        hy, hx = height / (ny - 1), width / (nx - 1)
        return cls(ny, nx, hy, hx, k, damping, (left, right, bottom, top))

    @property
    def k2(self) -> complex:
        """The square of the wavenumber in the medium m = 1."""
        return self.k**2 * (1 + 1j * self.damping)

    @cached_property
    def lines(self) -> tuple[Line, Line]:
        """The matrices along y and along x."""
        left, right, bottom, top = (end == "open" for end in self.ends)
        k = complex(np.sqrt(self.k2))
        return line(self.ny, self.hy, k, bottom, top), line(self.nx, self.hx, k, left, right)

    @cached_property
    def free(self) -> np.ndarray:
        """Indices of the free nodes among all, those beyond open sides included."""
        kept = [along.kept.copy() for along in self.lines]
        for name, end in zip(SIDES, self.ends, strict=True):
            if end == "value":
                axis, along = self._axis(name)
                kept[axis][self._end(along, name)] = False
        return np.flatnonzero(np.outer(*kept))

    @cached_property
    def places(self) -> np.ndarray:
        """For each free node the grid's node there or nearest, as an index of (ny nx,)."""
        y, x = np.unravel_index(self.free, self._shape)
        rows, columns = (
            np.clip(nodes - along.first, 0, along.n - 1)
            for nodes, along in zip((y, x), self.lines, strict=True)
        )
        return rows * self.nx + columns

    @cached_property
    def of_grid(self) -> np.ndarray:
        """For each node of the grid its index among the free nodes, (ny, nx); their number where
        a side fixes the node."""
        index = np.full(self._shape, len(self.free))
        index.ravel()[self.free] = np.arange(len(self.free))
        rows, columns = (slice(along.first, along.first + along.n) for along in self.lines)
        return index[rows, columns]

    @cached_property
    def whole(self) -> tuple[scipy.sparse.csr_matrix, scipy.sparse.csr_matrix]:
        """The matrices S and P over all nodes; both are symmetric."""
        y, x = self.lines
        fixed = scipy.sparse.kron(y.mass, x.stiffness) + scipy.sparse.kron(y.stiffness, x.mass)
        mass = scipy.sparse.kron(y.mass, x.mass)
        corners = np.zeros(self._shape, dtype=complex)
        for name, end in zip(SIDES, self.ends, strict=True):
            if isinstance(end, float) and end:
                axis, along = self._axis(name)
                other, share = self.lines[1 - axis], self._spacing(axis) ** 2 / 12
                at = self._at(along, name)
                absorbed = 1j * self.k * end
                fixed = fixed - absorbed * self._product(
                    axis, at, other.mass + share * other.stiffness
                )
                mass = mass - absorbed * share * self._product(axis, at, other.mass)
                corners += share * self._corners(axis, self._end(along, name), absorbed)
        index = np.arange(corners.size)
        fixed = fixed + scipy.sparse.csr_matrix((corners.ravel(), (index, index)))
        return fixed.tocsr(), (self.k2 * mass).tocsr()

    def _corners(self, axis: int, end: int, absorbed: complex) -> np.ndarray:
        """Return what a side adds to the diagonal where others that absorb meet it."""
        found = np.zeros(self._shape, dtype=complex)
        for name, other in zip(SIDES, self.ends, strict=True):
            across, along = self._axis(name)
            if across != axis and isinstance(other, float):
                place = (end, self._end(along, name))
                found[place if axis == 0 else place[::-1]] += absorbed * 1j * self.k * other
        return found

    @cached_property
    def matrices(self) -> tuple[scipy.sparse.csr_matrix, scipy.sparse.csr_matrix]:
        """The matrices S and P of the free nodes, symmetric."""
        fixed, medium = self.whole
        return fixed[self.free][:, self.free], medium[self.free][:, self.free]

    @cached_property
    def loads(self) -> tuple[np.ndarray, np.ndarray]:
        """The matrices `load_matrix` along y and along x."""
        return load_matrix(self.ny, self.hy), load_matrix(self.nx, self.hx)

    def loads_at(self, density: np.ndarray) -> np.ndarray:
        """Return what densities (ny, nx) of points bring to all nodes, (all,)."""
        y, x = mass_matrix(self.ny, self.hy), mass_matrix(self.nx, self.hx)
        return self._beyond(y @ density @ x.T).ravel()

    def loads_of_sides(self, values: np.ndarray, fluxes: dict[str, np.ndarray]) -> np.ndarray:
        """Return what sides bring to all nodes of a homogeneous medium m = 1, (all,).

        Arguments:
            values: (ny, nx), u on the sides that fix it, and 0 elsewhere.
            fluxes: ∂u/∂n along some sides.
        """
        fixed, medium = self.whole
        total = -((fixed - medium) @ self._beyond(values).ravel())
        for name, flux in fluxes.items():
            axis, along = self._axis(name)
            other, share = self.lines[1 - axis], self._spacing(axis) ** 2 / 12
            matrix = (1 - self.k2 * share) * other.mass + share * other.stiffness
            beyond, slopes = np.zeros(len(other.kept)), np.zeros(len(other.kept))
            beyond[other.first : other.first + other.n] = flux
            slopes[[other.first, other.first + other.n - 1]] = _outward_slopes(flux)
            slopes *= share / self._spacing(1 - axis)
            pair = [self._at(along, name).diagonal(), matrix @ beyond - slopes]
            total = total + np.outer(*(pair if axis == 0 else pair[::-1])).ravel()
        return total

    @property
    def _shape(self) -> tuple[int, int]:
        y, x = self.lines
        return len(y.kept), len(x.kept)

    def _axis(self, side: str) -> tuple[int, Line]:
        """Return the axis across a side, 0 for y, and its matrices."""
        axis = 0 if side in ("bottom", "top") else 1
        return axis, self.lines[axis]

    def _spacing(self, axis: int) -> float:
        return (self.hy, self.hx)[axis]

    def _end(self, along: Line, side: str) -> int:
        return along.first + (0 if side in ("left", "bottom") else along.n - 1)

    def _at(self, along: Line, side: str) -> scipy.sparse.csr_matrix:
        """Return the matrix with a 1 at the end of an axis."""
        end, m = self._end(along, side), len(along.kept)
        return scipy.sparse.csr_matrix(([1.0], ([end], [end])), shape=(m, m))

    @staticmethod
    def _product(
        axis: int, across: scipy.sparse.csr_matrix, along: scipy.sparse.csr_matrix
    ) -> scipy.sparse.csr_matrix:
        return scipy.sparse.kron(across, along) if axis == 0 else scipy.sparse.kron(along, across)

    def _beyond(self, field: np.ndarray) -> np.ndarray:
        """Return a field (ny, nx) over all nodes, 0 beyond the grid."""
        total = np.zeros(self._shape, dtype=field.dtype)
        rows, columns = (slice(along.first, along.first + along.n) for along in self.lines)
        total[rows, columns] = field
        return total

    def embedded(self, loads: torch.Tensor) -> torch.Tensor:
        """Return loads (..., ny, nx) of the grid's nodes at the free nodes, (..., free)."""
        flat = torch.nn.functional.pad(loads.flatten(-2), (0, 1))
        inside = np.full(len(self.free) + 1, self.ny * self.nx)
        inside[self.of_grid.ravel()] = np.arange(self.ny * self.nx)
        return flat[..., torch.from_numpy(inside[:-1]).to(loads.device)]

    def on_grid(self, u: torch.Tensor) -> torch.Tensor:
        """Return values (..., free) at the grid's nodes, (..., ny, nx); 0 where a side fixes
        them."""
        whole = torch.nn.functional.pad(u, (0, 1))
        return whole[..., torch.from_numpy(self.of_grid).to(u.device)]


def _outward_slopes(values: np.ndarray) -> list[float]:
    """Return the outward differences at both ends of an axis, of second order, per cell."""
    weights = np.array([1.5, -2.0, 0.5])
    return [float(weights @ values[:3]), float(weights @ values[:-4:-1])]
