"""What each reading of a table reads: a point, a mean over a disc or a line, or a difference."""

from __future__ import annotations

import numpy as np
import pandas as pd

from pdeinv.sensors.rows import Rows

__all__ = ["KINDS", "are_differences", "kinds_of"]

KINDS = ("point", "disc", "line", "difference")
"""Kinds of readings: of the point (x, y); the mean over the disc of a `radius` about it; the mean
along the segment from it to (x2, y2); its value less that at (x2, y2)."""
_NEEDS = {"point": (), "disc": ("radius",), "line": ("x2", "y2"), "difference": ("x2", "y2")}


def kinds_of(table: pd.DataFrame, rows: Rows) -> list[str]:
    """Return the kind of each reading: that which is stated, or which its other columns imply.

    Arguments:
        table: with some of the columns `kind`, `radius`, `x2` and `y2`, checked one by one.
        rows: names of the rows.

    Raises:
        InputError: a kind contradicts the other columns, or these each other.
    """
    nothing = np.full(len(table), np.nan)
    given = {c: ~np.isnan(table.get(c, nothing)) for c in ("radius", "x2", "y2")}
    stated = table.get("kind", pd.Series([""] * len(table))).tolist()
    rows.refuse(
        given["x2"] != given["y2"],
        lambda i: (
            "x2 and y2 must be given together, got "
            f"{'x2' if given['x2'][i] else 'y2'} alone; give both or neither"
        ),
    )
    rows.refuse(
        given["radius"] & (table.get("radius", nothing) <= 0),
        lambda i: (
            f"radius must be positive, got {table.radius[i]:g}; leave it empty for a reading of a "
            f"point"
        ),
    )
    found = [
        kind or ("disc" if disc else "line" if line else "point")
        for kind, disc, line in zip(stated, given["radius"], given["x2"], strict=True)
    ]
    rows.refuse(
        [any(given[c][i] != (c in _NEEDS[kind]) for c in given) for i, kind in enumerate(found)],
        lambda i: _contradiction(found[i], [c for c in given if given[c][i]]),
    )
    rows.refuse(
        given["x2"] & (table.x == table.get("x2", nothing)) & (table.y == table.get("y2", nothing)),
        lambda i: (
            f"x2, y2 must differ from x, y for a {found[i]}, got ({table.x2[i]:.10g}, "
            f"{table.y2[i]:.10g}) for both; correct them, or leave them empty for a point"
        ),
    )
    return found


def are_differences(table: pd.DataFrame) -> np.ndarray:
    """Return which readings (m,) of a checked table are differences: they have a size of their own,
    and state no value of a field."""
    if "kind" not in table:
        return np.zeros(len(table), dtype=bool)
    return (table.kind == "difference").to_numpy()


def _contradiction(kind: str, given: list[str]) -> str:
    needs = _NEEDS[kind]
    other = [column for column in given if column not in needs]
    remedy = f"empty {' and '.join(other)}" if other else f"give {' and '.join(needs)}"
    return (
        f"a reading of the kind {kind} must have "
        f"{' and '.join(needs) + ' alone' if needs else 'neither radius nor x2, y2'}, got "
        f"{', '.join(given) or 'none'}; {remedy}, or correct the kind"
    )
