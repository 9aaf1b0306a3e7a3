"""What a design makes certain: a field, a part of it, or some numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pdeinv.observation import Observation
from pdeinv.solvers.base import progress_bar
from pdeinv.solvers.design.laws import Functionals, Law, node_readings

__all__ = ["Target"]

_CHUNK = 32


@dataclass(frozen=True)
class Target:
    """A sum of variances tr(W C), of the nodes of a channel or of functionals of it.

    Arguments:
        like: readings of such states.
        channel: of the states.
        weights: of the nodes' variances, (ny, nx); or the functionals, (k, ny, nx).
    """

    like: Observation
    channel: int
    weights: torch.Tensor

    @property
    def nodewise(self) -> bool:
        """Whether it is of nodes."""
        return self.weights.ndim == 2

    def of(self, states: torch.Tensor) -> torch.Tensor:
        """Return xᵀ W x of states (n, channel, ny, nx), (n,)."""
        values = states[:, self.channel]
        if self.nodewise:
            return (self.weights * values.square()).sum(dim=(1, 2))
        return torch.einsum("kyx,nyx->nk", self.weights, values).square().sum(dim=1)

    def rows(self, law: Law, state: torch.Tensor) -> torch.Tensor:
        """Return Tᵀ W x of a state (1, channel, ny, nx), (1, size)."""
        values = state[:, self.channel]
        if self.nodewise:
            weighed = self.weights * values
        else:
            numbers = torch.einsum("kyx,nyx->nk", self.weights, values)
            weighed = torch.einsum("nk,kyx->nyx", numbers, self.weights)
        return law.rows(Functionals.of(self.like, self.channel, weighed))

    def total(self, law: Law, known: torch.Tensor, progress: bool = False) -> float:
        """Return tr(W C) for C = T (1 - Vᵀ V) Tᵀ with V = `known`, (r, size)."""
        if not self.nodewise:
            rows = law.rows(Functionals.of(self.like, self.channel, self.weights))
            return float(rows.square().sum() - (rows @ known.T).square().sum())
        flat, total = self.weights.flatten(), 0.0
        nodes = (flat > 0).nonzero()[:, 0]
        for part in progress_bar(nodes.split(_CHUNK), "variances", progress, "batch"):
            rows = law.rows(node_readings(self.like, self.channel, part))
            left = rows.square().sum(dim=1) - (rows @ known.T).square().sum(dim=1)
            total += float(flat[part] @ left)
        return total
