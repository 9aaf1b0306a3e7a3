"""Units in the CF convention: their products, and how figures show them."""

from __future__ import annotations

import re

__all__ = ["in_figures", "inverse", "product"]

_POWER = re.compile(r"([A-Za-z\u00b5\u03bc\u00b0%]+)(-?\d+)?")
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def product(*units: str) -> str:
    """Return the product of units.

    Powers of one unit are gathered where all factors are plain powers, such as `m2` or `s-1`.

    Example:
        >>> from pdeinv.units import product
        >>> product("m day-1", "m", "m")
        'm3 day-1'
    """
    factors = [factor for unit in units for factor in unit.split() if factor not in ("1", "1-1")]
    powers: dict[str, int] = {}
    for factor in factors:
        found = _POWER.fullmatch(factor)
        if found is None:
            return " ".join(unit for unit in units if unit not in ("1", "1-1")) or "1"
        powers[found[1]] = powers.get(found[1], 0) + int(found[2] or 1)
    gathered = [f"{name}{'' if n == 1 else n}" for name, n in powers.items() if n]
    return " ".join(gathered) or "1"


def inverse(units: str) -> str:
    """Return the units of one over a quantity; those of a product of plain powers alone.

    Example:
        >>> from pdeinv.units import inverse
        >>> inverse("m day-1")
        'm-1 day'
    """
    powers = [_POWER.fullmatch(factor) for factor in units.split() if factor != "1"]
    if not all(powers):
        return f"({units})-1"
    found = [(one[1], -int(one[2] or 1)) for one in powers if one]
    return " ".join(f"{name}{'' if n == 1 else n}" for name, n in found) or "1"


def in_figures(units: str) -> str:
    """Return units with their powers raised; nothing for dimensionless ones.

    Example:
        >>> from pdeinv.units import in_figures
        >>> in_figures("m3 day-1")
        'm³ day⁻¹'
    """
    if units == "1":
        return ""
    raised = r"(?<=[A-Za-z\u00b5\u03bc)])-?\d+(?![A-Za-z\d.])"
    return re.sub(raised, lambda found: found[0].translate(_RAISED), units)
