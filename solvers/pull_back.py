"""The adjoint of the derivative of readings at one coefficient, block by block of channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from pdeinv.observation import Observation
from pdeinv.solvers.batched_gradient import batched_gradient

__all__ = ["PullBack"]

_CHUNK = 32  # rows of a Jacobian at a time; larger chunks fall out of the cache


class PullBack:
    """From vectors of readings to gradients of a leaf.

    The channels of the state come in blocks that depend on the leaf apart from one another, such as
    those of several experiments on one coefficient. A reading of one channel passes back through
    its own block alone.

    Arguments:
        observation: the readings.
        leaf: to what they are differentiated, (1, ...).
        blocks: the state's channels in their order, (1, channels, ny, nx) each; channels beyond
            them are not read.
        count: is given the number of vectors, and that of the blocks they pass back through.
    """

    def __init__(
        self,
        observation: Observation,
        leaf: torch.Tensor,
        blocks: Sequence[torch.Tensor],
        count: Callable[[int, int], None],
    ):
        self.observation, self.leaf, self.count = observation, leaf, count
        self.blocks = blocks
        ends = torch.tensor([block.shape[1] for block in blocks]).cumsum(0)
        self.block_of = torch.searchsorted(ends, observation.channel.cpu(), right=True)
        """The block of each reading, (m,)."""
        self._spans = [
            range(end - block.shape[1], end)
            for end, block in zip(ends.tolist(), blocks, strict=True)
        ]

    def __call__(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the gradients (k, ...) of vectors of readings (k, m)."""
        read = self.block_of.unique().tolist()
        self.count(len(weights), len(read))
        moved = [i for i in read if self.blocks[i].requires_grad]
        v = self.observation.adjoint(weights)[:, None]
        parts = [v[:, :, self._spans[i].start : self._spans[i].stop] for i in moved]
        return batched_gradient([self.blocks[i] for i in moved], self.leaf)(parts)[:, 0]

    def rows(self) -> torch.Tensor:
        """Return the gradient of each reading, (m, ...)."""
        rows = self.leaf.new_zeros(len(self.observation), *self.leaf.shape[1:])
        for i, chosen in self._chunks():
            self.count(len(chosen), 1)
            if not self.blocks[i].requires_grad:
                continue
            v = self.observation.rows(chosen, self._spans[i])[:, None]
            rows[chosen] = batched_gradient([self.blocks[i]], self.leaf)([v])[:, 0]
        return rows

    def _chunks(self) -> Iterator[tuple[int, torch.Tensor]]:
        """Yield a few readings of one block at a time: its number, and theirs."""
        for i in self.block_of.unique().tolist():  # torch has no gradients of no cotangents
            yield from ((i, part) for part in (self.block_of == i).nonzero()[:, 0].split(_CHUNK))
