"""One axis of a grid for waves: the matrices of its elements, and open ends.

An element of length h adds to a stiffness K and a mass M

    1/h [[1, -1], [-1, 1]]   and   h/12 [[5, 1], [1, 5]],

the mean of the consistent and the lumped mass. Then K - κ² M has the waves of wavenumber κ up to a
relative error of (κh)⁴/480. In two dimensions K⊗M + M⊗K - k² M⊗M is a compact stencil of nine
nodes, of fourth order.

Beyond an open end stand a few elements of complex lengths, the last of which ends at 0. An element
of any length L with the mass L/4 [[1, 1], [1, 1]] + h²/(6L) [[1, -1], [-1, 1]] has the impedance of
the grid, so that no wave is reflected where it begins. Its length decides how a wave decays in it:
L = 2i/κ takes up the wave of wavenumber κ along the axis whole. `ANGLES` elements take up those of
angles between 0° and `GRAZING` best; `NEAR` of real lengths precede them, for what decays near a
source.

Reference:
    Guddati and Lim, *Continued fraction absorbing boundary conditions for convex polygonal
    domains*, Int. J. Numer. Methods Eng. 66 (2006); Wachspress, *The ADI Model Problem* (2013), for
    the best wavenumbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import scipy
from scipy.special import ellipj, ellipk

__all__ = ["ANGLES", "GRAZING", "Line", "line", "load_matrix", "mass_matrix"]

ANGLES = 6
"""Elements of imaginary lengths beyond an open end."""
GRAZING = 86.0
"""Angle to the normal up to which an open side is best, degrees."""
NEAR = (1.0, 3.0)
"""Decay rates along the axis that elements of real lengths take up, in wavenumbers."""


class Line(NamedTuple):
    """The matrices of an axis with its open ends.

    Attributes:
        stiffness, mass: (m, m), complex, over all nodes, those beyond open ends included.
        first: index of the grid's first node.
        n: the grid's nodes.
        kept: (m,), which nodes are not the last one beyond an open end.
    """

    stiffness: scipy.sparse.csr_matrix
    mass: scipy.sparse.csr_matrix
    first: int
    n: int
    kept: np.ndarray


def line(n: int, h: float, k: complex, low: bool, high: bool) -> Line:
    """Return the matrices of an axis.

    Arguments:
        n, h: nodes of the grid along it, and their distance.
        k: wavenumber; complex where the medium damps.
        low, high: whether its ends are open.
    """
    beyond = _lengths(h, k)
    lengths = np.concatenate(
        [beyond[::-1] if low else [], np.full(n - 1, h, dtype=complex), beyond if high else []]
    )
    m = len(lengths) + 1
    apart, together = 1 / lengths, lengths / 4
    spread = h**2 / (6 * lengths)
    kept = np.full(m, True)
    kept[0], kept[-1] = not low, not high
    return Line(
        _assembled(apart, -apart),
        _assembled(together + spread, together - spread),
        len(beyond) if low else 0,
        n,
        kept,
    )


def _assembled(own: np.ndarray, other: np.ndarray) -> scipy.sparse.csr_matrix:
    """Return the symmetric matrix of elements with the entries [[own, other], [other, own]]."""
    diagonal = np.pad(own, (0, 1)) + np.pad(own, (1, 0))
    i = np.arange(len(own))
    rows = np.concatenate([np.arange(len(diagonal)), i, i + 1])
    columns = np.concatenate([np.arange(len(diagonal)), i + 1, i])
    return scipy.sparse.csr_matrix((np.concatenate([diagonal, other, other]), (rows, columns)))


def _lengths(h: float, k: complex) -> np.ndarray:
    """Return the lengths of the elements beyond an open end, from the domain outwards.

    The wavenumbers κ along the axis make the largest of Π |(κ - κj)/(κ + κj)|² over the angles the
    least. The grid's own wave of wavenumber κ meets that of κ / √(1 - (κh)²/6).
    """
    least = math.cos(math.radians(GRAZING))
    m = 1 - least**2
    _, _, cosines, _ = ellipj((np.arange(ANGLES) + 0.5) * ellipk(m) / ANGLES, m)
    waves = np.concatenate([1j * np.array(NEAR), cosines]) * k
    return 2j / (waves / np.sqrt(1 - (waves * h) ** 2 / 6))


def mass_matrix(n: int, h: float) -> np.ndarray:
    """Return the mass (n, n) of an axis's own elements."""
    lengths = np.full(n - 1, h, dtype=complex)
    return _assembled(5 * lengths / 12, lengths / 12).toarray().real


def load_matrix(n: int, h: float) -> np.ndarray:
    """Return the matrix (n, n) from a source at an axis's nodes to what it brings to their
    elements; of fourth order, sides included, for sources of any slope there."""
    rows = np.arange(n - 1)
    matrix = np.diag(np.full(n, 10 / 12))
    matrix[rows, rows + 1] = matrix[rows + 1, rows] = 1 / 12
    end = np.array([7 / 24, 1 / 4, -1 / 24])[: min(n, 3)]
    matrix[0, :] = matrix[-1, :] = 0
    matrix[0, : len(end)], matrix[-1, -len(end) :] = end, end[::-1]
    return h * matrix
