"""The symmetries that several PDEs have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pdeinv.symmetry import Group, Symmetry

__all__ = ["common_group"]

_SAME = 1e-9  # difference of shifts that are equal


def common_group(groups: Sequence[Group]) -> Group:
    """Return the group of the elements that all groups have, acting on scalars.

    Arguments:
        groups: symmetries of one domain; which kinds of fields they act on does not matter.
    """
    translations: list[tuple[int, int]] = []
    for dx, dy in (d for group in groups for d in group.translations):
        everywhere = all(
            _translates(group, (share * dx, share * dy))
            for group in groups
            for share in (math.sqrt(2), math.sqrt(3))  # of no finite group
        )
        if everywhere and not any(dx * ey == dy * ex for ex, ey in translations):
            translations.append((dx, dy))
    found = Group((Symmetry(),), tuple(translations))
    for element in (g for group in groups for g in group):
        plain = Symmetry(element.matrix, element.shift)
        if all(_holds(group, plain) for group in groups) and not _holds(found, plain):
            found = Group((*found.elements, plain), found.translations)
    return found


def _holds(group: Group, element: Symmetry) -> bool:
    """Return whether a group has an element, whatever it acts on."""
    return any(
        g.matrix == element.matrix
        and _translates(group, (element.shift[0] - g.shift[0], element.shift[1] - g.shift[1]))
        for g in group
    )


def _translates(group: Group, shift: tuple[float, float]) -> bool:
    """Return whether a shift is by whole periods and translations of the group."""
    if len(group.translations) > 1:
        return True
    sx, sy = shift
    if not group.translations:
        return _whole(sx) and _whole(sy)
    ((dx, dy),) = group.translations
    return _whole((sx * dy - sy * dx) / math.gcd(dx, dy))


def _whole(number: float) -> bool:
    return abs(number - round(number)) < _SAME
