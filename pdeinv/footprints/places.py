"""Where the footprints of readings lie, and what the domain must hold."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch

from pdeinv.grid import Grid
from pdeinv.sensors.kinds import KINDS
from pdeinv.sensors.rows import Rows

__all__ = ["DIFFERENCE", "DISC", "LINE", "POINT", "Footprints"]

POINT, DISC, LINE, DIFFERENCE = range(len(KINDS))
_SAME = 1e-9  # relative difference of lengths that are equal


class Footprints(NamedTuple):
    """What m sensors read about their points.

    Arguments:
        kind: (m,), integers, positions in `pdeinv.sensors.KINDS`.
        radius: (m,), of discs; any number for other kinds. None is without discs.
        ends: (m, 2), of lines and differences; any numbers for other kinds. None is without.
    """

    kind: torch.Tensor
    radius: torch.Tensor | None = None
    ends: torch.Tensor | None = None

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> Footprints | None:
        """Return the footprints of the checked rows of a table; None where all read points."""
        if "kind" not in table or (table.kind == KINDS[POINT]).all():
            return None
        kind = torch.tensor([KINDS.index(kind) for kind in table.kind])
        radius, ends = (
            torch.as_tensor(table[given].to_numpy(copy=True)) if {*given} <= {*table} else None
            for given in (["radius"], ["x2", "y2"])
        )
        return cls(kind, None if radius is None else radius[:, 0], ends)

    def check(self, points: torch.Tensor, grid: Grid, rows: Rows) -> None:
        """Refuse footprints that a grid's domain does not hold.

        Arguments:
            points: (m, 2), in the domain.
            grid: grid of the fields.
            rows: names of the rows.

        Raises:
            InputError: a kind is unknown, a radius or an end is missing, or a disc or an end is
                outside of the domain; on a periodic grid, a disc meets itself or a line is longer
                than the domain.
        """
        kind, m = self.kind, len(points)
        rows.refuse(
            ~torch.isin(kind, torch.arange(len(KINDS))),
            lambda i: (
                f"kind must be an integer from 0 to {len(KINDS) - 1}, got {kind[i]}; correct it"
            ),
        )
        r = points.new_full((m,), torch.nan) if self.radius is None else self.radius.double()
        end = points.new_full((m, 2), torch.nan) if self.ends is None else self.ends.double()
        disc, paired = kind == DISC, (kind == LINE) | (kind == DIFFERENCE)
        rows.refuse(
            disc & ~((r > 0) & r.isfinite()),
            lambda i: f"radius must be positive, got {float(r[i]):g}; give that of the disc",
        )
        rows.refuse(
            paired & ~end.isfinite().all(dim=1),
            lambda i: f"x2 and y2 must be finite, got {_shown(end[i])}; give the other end",
        )
        if grid.periodic:
            _check_on_torus(points, torch.where(disc, r, 0), end, paired, grid, rows)
        else:
            _check_inside(points, torch.where(disc, r, 0), end, paired, grid, rows)


def _check_on_torus(
    points: torch.Tensor,
    radius: torch.Tensor,
    ends: torch.Tensor,
    paired: torch.Tensor,
    grid: Grid,
    rows: Rows,
) -> None:
    most, lengths = grid.domain.shorter / 2, points.new_tensor(grid.domain.lengths)
    rows.refuse(
        radius > most * (1 + _SAME),
        lambda i: (
            f"radius must be at most {most:g}, half the domain's shorter side, got "
            f"{float(radius[i]):.10g}; use a smaller one, or drop the row"
        ),
    )
    rows.refuse(
        paired & ((ends - points).abs() > lengths * (1 + _SAME)).any(dim=1),
        lambda i: (
            f"x2 and y2 must be at most a width and a height of the domain {grid.domain} from x "
            f"and y, got {_shown(ends[i])} from {_shown(points[i])}; subtract periods, or drop the "
            f"row"
        ),
    )


def _check_inside(
    points: torch.Tensor,
    radius: torch.Tensor,
    ends: torch.Tensor,
    paired: torch.Tensor,
    grid: Grid,
    rows: Rows,
) -> None:
    domain, (x0, x1, y0, y1) = grid.domain, grid.domain.extent
    low, high = points.new_tensor([x0, y0]), points.new_tensor([x1, y1])
    room = torch.minimum(points - low, high - points).amin(dim=1).clamp(min=0)
    rows.refuse(
        radius > room + _SAME * domain.shorter,
        lambda i: (
            f"the disc must lie in the domain {domain}, got the radius {float(radius[i]):.10g} "
            f"about {_shown(points[i])}; use a radius of at most {float(room[i]):.6g}, or drop the "
            f"row"
        ),
    )
    rows.refuse(
        paired & ~domain.contains(ends),
        lambda i: (
            f"x2 and y2 must be in the domain {domain}, got {_shown(ends[i])}; use its "
            f"coordinates, or drop the row"
        ),
    )


def _shown(point: torch.Tensor) -> str:
    return f"({point[0]:.10g}, {point[1]:.10g})"
