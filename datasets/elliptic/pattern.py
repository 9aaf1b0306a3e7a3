"""Which nodes of a rectangle take part, which of them hold values, and which faces are closed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import pad

__all__ = ["CentredPattern", "Marks", "Pattern", "along_side"]


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

    def owned(self, side: str) -> torch.Tensor:
        """Return how much of a side each of its nodes owns, in cells, float64."""
        # Of the cells along the side, half belongs to each of their two nodes
        cells = along_side(self.cells.tensor.double(), side)
        return (pad(cells, (1, 0)) + pad(cells, (0, 1))) / 2

    @property
    def active(self) -> torch.Tensor:
        """The nodes that take part, (ny, nx)."""
        return self.shares()[2] > 0


@dataclass(frozen=True)
class CentredPattern(Pattern):
    """Nodes at the centres of cells, each of which owns a whole cell.

    Nodes on the sides of values hold the values there. They are half a cell from their neighbours,
    so that the faces between them have a share of 2.

    Arguments:
        cells: (ny, nx), the active ones, those on the sides included.
        on_sides: (ny, nx), nodes on the sides.
        held, closed_x, closed_y: as of `Pattern`.
    """

    on_sides: Marks

    def shares(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return _centred_shares(self)

    def owned(self, side: str) -> torch.Tensor:
        return along_side(self.cells.tensor.double(), side)


def along_side(values: torch.Tensor, side: str) -> torch.Tensor:
    """Return the values along a side of an array [y, x]."""
    end = 0 if side in ("left", "bottom") else -1
    return values[:, end] if side in ("left", "right") else values[end]


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _centred_shares(pattern: CentredPattern) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    active, sides = pattern.cells.tensor.double(), pattern.on_sides.tensor.double()
    faces = []
    for closed, first, second in (
        (pattern.closed_x, (slice(None), slice(1, None)), (slice(None), slice(-1))),
        (pattern.closed_y, (slice(1, None),), (slice(-1),)),
    ):
        nodes_of_sides = sides[first] + sides[second]
        share = active[first] * active[second] * ~closed.tensor
        faces.append(share * (1 + nodes_of_sides) * (nodes_of_sides < 2))
    return faces[0], faces[1], active


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _shares(pattern: Pattern) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    around = pad(pattern.cells.tensor.double(), (1, 1, 1, 1))
    rows, columns = (around[1:] + around[:-1]) / 2, (around[:, 1:] + around[:, :-1]) / 2
    across, along = rows[:, 1:-1], columns[1:-1]
    open_x, open_y = (~marks.tensor for marks in (pattern.closed_x, pattern.closed_y))
    return across * open_x, along * open_y, (rows[:, 1:] + rows[:, :-1]) / 2
