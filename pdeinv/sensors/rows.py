"""Names of the rows of a table of readings, for messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pdeinv.errors import InputError

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """Names of a table's rows, for messages.

    Arguments:
        origin: origin of the table.
        first: number of the first row.
        positions: (m,), of the rows in the table, where they are some of it; None where they are
            all.
    """

    origin: str
    first: int
    positions: tuple[int, ...] | None = None

    def name(self, i: int) -> str:
        """Return the name of the row at a position."""
        position = i if self.positions is None else self.positions[i]
        return f"{self.origin}, row {position + self.first}"

    def refuse(self, bad: ArrayLike, message: Callable[[int], str]) -> None:
        """Raise an InputError about the first bad row, if there is one."""
        found = np.flatnonzero(bad)
        if len(found):
            raise InputError(f"{self.name(int(found[0]))}: {message(int(found[0]))}")
