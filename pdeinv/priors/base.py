"""The contracts of priors."""

from __future__ import annotations

from typing import Protocol

import torch

from pdeinv.grid import Grid

__all__ = ["Prior"]


class Prior(Protocol):
    """Anything that draws states (coefficient, solution)."""

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n states (n, 2, grid.n, grid.n)."""
        ...
