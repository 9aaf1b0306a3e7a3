"""A prior given by examples."""

from __future__ import annotations

import torch

from pdeinv.checks import EXTREME, tensor
from pdeinv.coefficients import CoefficientPrior
from pdeinv.errors import InputError
from pdeinv.grid import Grid

__all__ = ["Ensemble"]


class Ensemble:
    """A prior given by examples: simulations or past reconstructions.

    Arguments:
        states: coefficient and solution, (N, 2, ny, nx), or coefficients alone, (N, 1, ny, nx),
            which serve any physics; N >= 2, in physical units. Those of a dataset file are
            `pdeinv.datasets.states(pdeinv.datasets.open_dataset(path), pde)`.

        coefficient_prior: the distribution of the coefficients, where it is known: its symmetries
            may enlarge the ensemble.

    Raises:
        InputError: the states have another shape, hold nan or inf, or are the same in all members.
    """

    def __init__(self, states: torch.Tensor, coefficient_prior: CoefficientPrior | None = None):
        states = tensor("the states of an ensemble", states)
        if states.ndim != 4 or states.shape[1] not in (1, 2) or len(states) < 2:
            raise InputError(
                f"the states of an ensemble must be (N, 2, ny, nx) with N >= 2, or (N, 1, ny, nx) "
                f"for coefficients alone, got {tuple(states.shape)}; stack (coefficient, solution) "
                f"along axis 1"
            )
        bad = (~states.isfinite()).flatten(1).any(dim=1)
        if bad.any():
            raise InputError(f"ensemble member {int(bad.nonzero()[0])} holds nan or inf; drop it")
        for c, one in enumerate(states.double().unbind(1)):
            most, spread = float(one.abs().max()), float(one.std(dim=0).max())
            if not (spread > 1e-12 * most and spread > EXTREME**-1 and most < EXTREME):
                raise InputError(
                    f"the members of an ensemble must differ in channel {c}, by a spread between "
                    f"{1 / EXTREME:g} and {EXTREME:g}, got values of up to {most:.3g} with a "
                    f"standard deviation of at most {spread:.3g}; give members that vary"
                )
        self.states, self.coefficient_prior = states, coefficient_prior

    @property
    def channels(self) -> int:
        """1 for coefficients alone, 2 for coefficient and solution."""
        return self.states.shape[1]

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.states)

    def sample(self, n: int, grid: Grid, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return n different members in random order, or all members if there are no more than n.

        Raises:
            InputError: the members live on another grid.
        """
        if self.states.shape[-2:] != grid.shape:
            ny, nx = self.states.shape[-2:]
            raise InputError(
                f"the grid of this ensemble must have {ny} x {nx} nodes, got {grid}; reconstruct "
                f"with grid={min(ny, nx)}"
            )
        if n >= len(self.states):
            return self.states
        return self.states[torch.randperm(len(self.states), generator=generator)[:n]]
