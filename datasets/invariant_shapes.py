"""Which symmetries keep the active part of a domain, and the features within it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pdeinv.datasets.distributed import Distributed
from pdeinv.datasets.features import Feature, FixedValue, Leakage, Path
from pdeinv.grid import Domain
from pdeinv.region import Region
from pdeinv.symmetry import Symmetry

__all__ = ["keeps_features", "keeps_region"]

_POSITIONS = 65  # a side, of a lattice on which regions are compared, and as many apart from it
_NEAR = 1e-6  # of the domain's size, within which lines are one


def keeps_region(domain: Domain, element: Symmetry) -> bool:
    """Return whether an element, which maps the rectangle onto itself, maps its active part onto
    itself."""
    return domain.active is None or _same_region(domain.active, domain.active, domain, element)


def keeps_features(
    features: Sequence[Feature], domain: Domain, element: Symmetry, sign: int
) -> bool:
    """Return whether an element maps features onto features of the same kind and numbers.

    Functions are kept by the identity alone.

    Arguments:
        features: what lies within.
        domain: the domain.
        element: the element.
        sign: its sign on the solution.
    """
    if element == Symmetry():
        return True
    return all(
        any(_is_image(one, other, domain, element, sign) for other in features) for one in features
    )


def _is_image(one: Feature, other: Feature, domain: Domain, element: Symmetry, sign: int) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, FixedValue) and isinstance(other, FixedValue):
        alike = _same_number(one.value, other.value, sign)
    elif isinstance(one, Leakage) and isinstance(other, Leakage):
        alike = one.conductance == other.conductance
        alike = alike and _same_number(one.level, other.level, sign)
    else:
        alike = True
    here, there = one.place, other.place
    if isinstance(here, Path) and isinstance(there, Path):
        return alike and _same_line(here, there, domain, element)
    if isinstance(here, Region) and isinstance(there, Region):
        return alike and _same_region(here, there, domain, element)
    return False


def _same_number(one: Distributed, other: Distributed, sign: int) -> bool:
    numbers = isinstance(one.value, float) and isinstance(other.value, float)
    return numbers and bool(one.value == sign * other.value)


def _same_region(one: Region, other: Region, domain: Domain, element: Symmetry) -> bool:
    """Return whether the image of a region is another one, at many positions."""
    lattice = (np.arange(_POSITIONS) + 0.5) / _POSITIONS
    shares = np.stack(np.meshgrid(lattice, lattice), axis=-1).reshape(-1, 2)
    scattered = np.arange(1, len(shares) + 1)[:, None] * [0.7548776662466927, 0.5698402909980532]
    shares = np.concatenate([shares, scattered % 1])
    images = shares @ np.array(element.matrix).T + element.shift
    here, there = (domain.absolute(torch.from_numpy(at)).numpy() for at in (shares, images))
    one, other = one.within(domain.extent), other.within(domain.extent)
    return bool((one.contains(here) == other.contains(there)).all())


def _same_line(one: Path, other: Path, domain: Domain, element: Symmetry) -> bool:
    shares = domain.relative(torch.tensor(one.corners, dtype=torch.float64)).numpy()
    images = shares @ np.array(element.matrix).T + element.shift
    moved = Path.of(domain.absolute(torch.from_numpy(images)).numpy())
    distance = moved.geometry().hausdorff_distance(other.geometry())
    return bool(distance < _NEAR * max(domain.lengths))
