"""A prior given by examples."""

from __future__ import annotations

import torch

from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Ensemble"]


class Ensemble:
    """A prior given by examples: simulations or past reconstructions.

    Arguments:
        states: (N, 2, n, n), N >= 2; for a dataset file,
            `pdeinv.datasets.states(pdeinv.datasets.open_dataset(path), pde)`.
    """

    def __init__(self, states: torch.Tensor):
        states = torch.as_tensor(states)
        if (
            states.ndim != 4
            or states.shape[1] != 2
            or len(states) < 2
            or states.shape[2] != states.shape[3]
        ):
            raise InputError(
                f"an ensemble of shape {tuple(states.shape)} is not of the form (N >= 2, 2, n, n)"
            )
        bad = (~states.isfinite()).flatten(1).any(dim=1)
        if bad.any():
            raise InputError(f"ensemble member {int(bad.nonzero()[0])} holds nan or inf; drop it")
        self.states = states

    def __len__(self) -> int:
        return len(self.states)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """n different members, in random order; all of them when n is at least their number."""
        if self.states.shape[-2:] != grid.shape:
            size = self.states.shape[-1]
            raise InputError(
                f"the ensemble lives on a grid of {size} nodes, not {grid.n}; reconstruct with "
                f"grid={size}"
            )
        if n >= len(self.states):
            return self.states
        return self.states[torch.randperm(len(self.states), generator=generator)[:n]]
