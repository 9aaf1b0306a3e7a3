"""Rows of a linear operator on the nodes of a grid, most of whose weights are zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

__all__ = ["NodeBlock", "WeightedNodes"]

_GATHERED = 2**19  # values of nodes that are held at a time


class NodeBlock(NamedTuple):
    """Rows of similar length, padded with weights of 0 to the longest one.

    Arguments:
        rows: (k,), their numbers.
        nodes: (k, w), flat over the channels too.
        weight: (k, w), float64.
    """

    rows: torch.Tensor
    nodes: torch.Tensor
    weight: torch.Tensor


class WeightedNodes:
    """The operator H of m rows in blocks, so that a few long rows do not widen all others.

    Arguments:
        blocks: at least one; each row is in one of them.
        size: numbers of a state.
    """

    def __init__(self, blocks: tuple[NodeBlock, ...], size: int):
        self.blocks, self.size = blocks, size
        self.rows = sum(len(block.rows) for block in blocks)
        self.weights = sum(block.weight.numel() for block in blocks)
        self._place = torch.cat([block.rows for block in blocks]).argsort()

    def to(self, device: torch.device | str) -> WeightedNodes:
        """Return the operator with its tensors on a device."""
        blocks = tuple(NodeBlock(*(part.to(device) for part in block)) for block in self.blocks)
        return WeightedNodes(blocks, self.size)

    def read(self, states: torch.Tensor) -> torch.Tensor:
        """Return H x, (batch, m), of flat states (batch, size)."""
        parts = [(b.nodes.to(states.device), b.weight.to(states)) for b in self.blocks]

        def gather(part: torch.Tensor) -> torch.Tensor:
            read = [part[:, nodes].mul_(weight).sum(dim=-1) for nodes, weight in parts]
            if len(read) == 1:
                return read[0]
            return torch.cat(read, dim=1)[:, self._place.to(part.device)]

        return self._in_blocks(gather, states, self.rows)

    def spread(self, v: torch.Tensor) -> torch.Tensor:
        """Return Hᵀ v, (batch, size), of (batch, m)."""
        parts = [(b.rows, b.nodes.to(v.device), b.weight.to(v)) for b in self.blocks]

        def scatter(part: torch.Tensor) -> torch.Tensor:
            state = part.new_zeros(len(part), self.size)
            for rows, nodes, weight in parts:
                mine = part if len(parts) == 1 else part[:, rows.to(part.device)]
                state.index_add_(1, nodes.flatten(), (mine[:, :, None] * weight).flatten(1))
            return state

        return self._in_blocks(scatter, v, self.size)

    def rows_at(self, chosen: torch.Tensor, first: int, last: int) -> torch.Tensor:
        """Return rows of H from one column up to another, (k, last - first), float64.

        Arguments:
            chosen: numbers of the rows, (k,).
            first, last: columns; the last one is not among them.
        """
        found = self.blocks[0].weight.new_zeros(len(chosen), last - first)
        place = torch.full_like(self._place, -1)
        place[chosen] = torch.arange(len(chosen), device=place.device)
        for rows, nodes, weight in self.blocks:
            mine = place[rows] >= 0
            columns, weights = nodes[mine] - first, weight[mine]
            within = (columns >= 0) & (columns < last - first)
            columns, weights = columns.where(within, 0), weights.where(within, 0.0)
            at = place[rows[mine]][:, None].expand_as(columns)
            found.index_put_((at, columns), weights, accumulate=True)
        return found

    def totals(self) -> torch.Tensor:
        """Return the sum of the weights of each row, (m,)."""
        return torch.cat([block.weight.sum(dim=1) for block in self.blocks])[self._place]

    def _in_blocks(
        self, function: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor, width: int
    ) -> torch.Tensor:
        """A function of the rows of a batch, (batch, width), in parts of it: each row takes as many
        numbers as there are weights."""
        size = max(1, _GATHERED // max(1, self.weights))
        if len(batch) <= size:
            return function(batch)
        result = batch.new_empty(len(batch), width)
        for start in range(0, len(batch), size):
            result[start : start + size] = function(batch[start : start + size])
        return result
