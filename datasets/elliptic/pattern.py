"""Which nodes of a rectangle take part, which of them hold values, and which faces are closed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import pad

__all__ = ["Marks", "Pattern"]


@dataclass(frozen=True)
class Marks:
    """A boolean array that can be hashed."""

    shape: tuple[int, ...]
    packed: bytes

    @classmethod
    def of(cls, given: torch.Tensor) -> Marks:
        """Return those of a boolean tensor."""
        return cls(tuple(given.shape), given.to(torch.uint8).numpy().tobytes())

    @property
    def tensor(self) -> torch.Tensor:
        """The array."""
        found = torch.frombuffer(bytearray(self.packed), dtype=torch.uint8)
        return found.reshape(self.shape).bool()


@dataclass(frozen=True)
class Pattern:
    """What differs from a whole rectangle.

    Arguments:
        cells: (ny-1, nx-1), the active ones. A node owns a quarter of each active cell that it is a
            corner of; one without any is inactive.
        held: (ny, nx), nodes that hold a value.
        closed_x, closed_y: (ny, nx-1) and (ny-1, nx), faces that nothing crosses.
    """

    cells: Marks
    held: Marks
    closed_x: Marks
    closed_y: Marks

    def shares(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the open shares of the faces across x (ny, nx-1) and y (ny-1, nx), and those of
        the volumes, (ny, nx): 1 where all cells around are active; float64."""
        return _shares(self)

    @property
    def active(self) -> torch.Tensor:
        """The nodes that take part, (ny, nx)."""
        return self.shares()[2] > 0


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _shares(pattern: Pattern) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    around = pad(pattern.cells.tensor.double(), (1, 1, 1, 1))
    rows, columns = (around[1:] + around[:-1]) / 2, (around[:, 1:] + around[:, :-1]) / 2
    across, along = rows[:, 1:-1], columns[1:-1]
    open_x, open_y = (~marks.tensor for marks in (pattern.closed_x, pattern.closed_y))
    return across * open_x, along * open_y, (rows[:, 1:] + rows[:, :-1]) / 2
