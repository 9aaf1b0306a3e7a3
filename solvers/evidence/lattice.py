"""Points that fill a cube evenly."""

from __future__ import annotations

import torch

__all__ = ["lattice"]


def lattice(n: int, dimension: int, shift: torch.Tensor | None = None) -> torch.Tensor:
    """Return n points (n, dimension) within the unit cube, none on its faces.

    Arguments:
        n: number of points.
        dimension: of the cube.
        shift: by which the points move around the cube, (dimension,); none if None.

    Reference:
        Kronecker's lattice of the powers of a generalised golden ratio: Roberts, *The unreasonable
        effectiveness of quasirandom sequences*, 2018.
    """
    ratio = 2.0
    for _ in range(64):  # the root of x^(d + 1) = x + 1
        ratio = (1 + ratio) ** (1 / (dimension + 1))
    device = None if shift is None else shift.device
    steps = ratio ** -torch.arange(1, dimension + 1, dtype=torch.float64, device=device)
    points = 0.5 + torch.arange(n, dtype=torch.float64, device=device)[:, None] * steps
    points = (points if shift is None else points + shift) % 1.0
    return points.clamp(1e-9, 1 - 1e-9)
