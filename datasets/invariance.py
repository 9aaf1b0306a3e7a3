"""Which symmetries keep a source, conditions on sides, or wells.

An element g maps positions x, in shares of the sides, to M x + s. It keeps a scalar quantity f
where f(g x) = f(x); a pseudo-scalar changes its sign by det M. The comparison is up to rounding.
Arrays are compared as the functions that they are, linear between their values. Functions are
compared on a lattice of 64 cells a side and at 1024 positions apart from it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy
import torch

from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.sides import Side, Sides, axis_of
from pdeinv.datasets.wells import Well
from pdeinv.grid import Domain
from pdeinv.symmetry import Symmetry

__all__ = ["InvariantSource", "keeps_sides", "keeps_wells"]

_LATTICE = 256  # cells a side, on which functions are compared; details below them may escape
_SAME = 1e-10  # of the largest value; a smaller difference is rounding
_NEAR = 1e-9  # of the domain's size; nearer positions are one
_APART = 1024  # positions that no lattice has
_CHUNK = 2**17  # positions evaluated at once
_ENDS = np.array([0.0, 1.0])

# Positions of low discrepancy: multiples of the inverse powers of the plastic number
_SCATTERED = np.arange(1, _APART + 1)[:, None] * [0.7548776662466927, 0.5698402909980532] % 1


class InvariantSource:
    """A quantity over a domain, to be compared with its images.

    Arguments:
        source: the quantity.
        domain: its domain.
        periodic: whether that is a torus.
    """

    def __init__(self, source: Distributed, domain: Domain, periodic: bool) -> None:
        self._source, self._domain, self._periodic = source, domain, periodic
        value = source.expected.value
        shape = value.shape if isinstance(value, np.ndarray) else (_LATTICE + (not periodic),) * 2
        y, x = (np.linspace(0, 1, n, endpoint=not periodic) for n in shape)
        if domain.square and len(y) != len(x):  # an image may bend where the quantity is straight
            y = x = np.union1d(y, x)
        nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        self._shares = np.concatenate([_SCATTERED, nodes])
        self._values = self._at(self._shares)
        self._close = _SAME * np.abs(self._values).max()

    def keeps(self, element: Symmetry, sign: int) -> bool:
        """Return whether the quantity at the image of each position is `sign` times its value."""
        for start in range(0, len(self._shares), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            moved = self._at(_image(element, self._shares[chunk]))
            if not (np.abs(moved - sign * self._values[chunk]) <= self._close).all():
                return False
        return True

    def _at(self, shares: np.ndarray) -> np.ndarray:
        shares = shares % 1 if self._periodic else shares
        return self._source.at(
            _absolute(self._domain, shares), self._domain, periodic=self._periodic
        )


def keeps_sides(sides: Sides, domain: Domain, element: Symmetry, sign: int) -> bool:
    """Return whether an element maps the conditions on the sides of a domain onto themselves.

    Arguments:
        sides: the conditions.
        domain: the domain, onto which the element maps itself.
        element: the element.
        sign: the element's sign on the solution.
    """
    pairs = []
    for name, side in sides.items():
        ends = _side_shares(name, _ENDS)
        image = _side_at(_image(element, ends).mean(axis=0))
        other = getattr(sides, image)
        if side.fixes_value != other.fixes_value or side.takes_up != other.takes_up:
            return False
        shares = _side_shares(name, np.union1d(_positions(side), _positions(other)))
        before = side.at(_absolute(domain, shares), domain, name)
        after = other.at(_absolute(domain, _image(element, shares)), domain, image)
        pairs.append((side.fixes_value, before, after))
    for kind in (True, False):  # values have another size than fluxes
        before, after = (
            np.concatenate([np.zeros(1), *(pair[i] for pair in pairs if pair[0] == kind)])
            for i in (1, 2)
        )
        if not (np.abs(after - sign * before) <= _SAME * np.abs(before).max()).all():
            return False
    return True


def keeps_wells(
    wells: Sequence[Well], domain: Domain, periodic: bool, element: Symmetry, sign: int
) -> bool:
    """Return whether an element maps wells onto wells of the same rate; arguments as above.

    Wells at one position count as one.
    """
    if not wells:
        return True
    positions = torch.tensor([(w.x, w.y) for w in wells], dtype=torch.float64)
    shares = domain.relative(positions).numpy()
    images, rates = _image(element, shares), np.array([w.rate for w in wells])
    box = None
    if periodic:
        shares, images, box = shares % 1 % 1, images % 1 % 1, 1.0
    tree = scipy.spatial.cKDTree(shares, boxsize=box)
    before, after = (
        np.array([rates[near].sum() for near in tree.query_ball_point(places, _NEAR)])
        for places in (shares, images)
    )
    return bool((np.abs(after - sign * before) <= _SAME * np.abs(rates).max()).all())


def _image(element: Symmetry, shares: np.ndarray) -> np.ndarray:
    return shares @ np.array(element.matrix).T + element.shift


def _absolute(domain: Domain, shares: np.ndarray) -> np.ndarray:
    return domain.absolute(torch.from_numpy(shares)).numpy()


def _side_shares(name: str, along: np.ndarray) -> np.ndarray:
    """Return positions on a side, (m, 2), from their shares of its length."""
    across = np.full_like(along, name in ("right", "top"))
    return np.stack([along, across] if axis_of(name) == 0 else [across, along], axis=1)


def _side_at(middle: np.ndarray) -> str:
    """Return the name of the side whose middle is at these shares."""
    x, y = middle
    if abs(y - 0.5) < 0.25:
        return "left" if x < 0.5 else "right"
    return "bottom" if y < 0.5 else "top"


def _positions(side: Side) -> np.ndarray:
    """Return the shares of a side at which its condition is compared."""
    value = side.quantity.expected.value
    if isinstance(value, np.ndarray):
        return np.linspace(0, 1, len(value))
    return (
        np.union1d(_SCATTERED[:, 0], np.linspace(0, 1, _LATTICE + 1)) if callable(value) else _ENDS
    )
