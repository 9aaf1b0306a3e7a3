"""A few of many weighted points, which stand for all of them."""

from __future__ import annotations

import torch

from pdeinv.solvers.evidence.points import WeightedPoints

__all__ = ["thinned"]

_ROUNDS = 20  # of the means of clusters


def thinned(
    points: WeightedPoints, n: int, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the indices of at most n points, and weights with the sum 1.

    The points are parted into n clusters, and one is drawn of each by its weight. So the spread
    within clusters is not lost.

    Arguments:
        points: the points.
        n: how many are wanted.
        generator: of random numbers.
    """
    weights = points.weights
    if len(weights) <= n:
        return torch.arange(len(weights)), weights
    scale = (weights @ (points.z - weights @ points.z).square()).sqrt().clamp(min=1e-12)
    white = points.z / scale
    heights = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    order = white[:, 0].argsort() if white.shape[1] else torch.arange(len(white))
    places = torch.searchsorted(weights[order].cumsum(0), heights).clamp(max=len(white) - 1)
    centres = white[order[places]].clone()
    of = torch.zeros(len(white), dtype=torch.long)
    for _ in range(_ROUNDS):
        of = torch.cdist(white, centres).argmin(dim=1)
        for j in range(n):
            mine = of == j
            if float(weights[mine].sum()) > 0:
                centres[j] = weights[mine] @ white[mine] / weights[mine].sum()
    chosen, total = [], []
    for j in range(n):
        mine = (of == j).nonzero()[:, 0]
        share = float(weights[mine].sum())
        if share > 0:
            one = torch.multinomial(weights[mine], 1, generator=generator)
            chosen.append(int(mine[one]))
            total.append(share)
    shares = torch.tensor(total, dtype=torch.float64)
    return torch.tensor(chosen), shares / shares.sum()
