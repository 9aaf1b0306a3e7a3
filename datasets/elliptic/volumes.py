"""Finite volumes on the nodes of a rectangle, whose sides hold values or fluxes.

A node owns the points that are nearer to it than to any other: half a volume on a side, a quarter
in a corner. A side either holds values of u, or is crossed by a given flux. A node on a side of
values is known, the other nodes are *free*; a corner belongs to the side of values. The free nodes
form a rectangle (..., my, mx). An equation at a free node is the balance of its volume, divided by
the volume: the divergence form.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import pad

__all__ = ["Volumes"]


@dataclass(frozen=True)
class Volumes:
    """Nodes of a rectangle with their volumes; which sides hold values.

    Arguments:
        ny, nx: nodes per direction, sides included.
        width, height: lengths of the rectangle.
        left, right, bottom, top: whether the side holds values; else a flux is given there.
    """

    ny: int
    nx: int
    width: float = 1.0
    height: float = 1.0
    left: bool = True
    right: bool = True
    bottom: bool = True
    top: bool = True

    @property
    def hx(self) -> float:
        """Distance of neighbouring nodes along x."""
        return self.width / (self.nx - 1)

    @property
    def hy(self) -> float:
        """Distance of neighbouring nodes along y."""
        return self.height / (self.ny - 1)

    @property
    def rows(self) -> slice:
        """The free nodes along y."""
        return slice(int(self.bottom), self.ny - int(self.top))

    @property
    def columns(self) -> slice:
        """The free nodes along x."""
        return slice(int(self.left), self.nx - int(self.right))

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the free nodes, (my, mx)."""
        return (
            self.ny - int(self.bottom) - int(self.top),
            self.nx - int(self.left) - int(self.right),
        )

    @property
    def whole(self) -> bool:
        """Whether every free node has a whole volume: all sides hold values."""
        return self.left and self.right and self.bottom and self.top

    @property
    def floating(self) -> bool:
        """Whether no side holds a value, so that fluxes alone leave a constant of u open."""
        return not (self.left or self.right or self.bottom or self.top)

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values (..., my, mx) of a field (..., ny, nx) at the free nodes."""
        return x[..., self.rows, self.columns]

    def extended(self, x: torch.Tensor) -> torch.Tensor:
        """Return a field (..., ny, nx) that is x (..., my, mx) at the free nodes, and else 0."""
        return pad(x, (int(self.left), int(self.right), int(self.bottom), int(self.top)))

    def weights(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the shares of hy and of hx that free nodes own, (my, 1) and (mx,): 1 or 1/2."""
        return _weights(self, like.dtype, like.device)

    def times_volume(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (..., my, mx) times the volumes, in units of hx hy."""
        if self.whole:
            return x
        along, across = self.weights(x)
        return x * along * across

    def per_volume(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (..., my, mx) divided by the volumes, in units of hx hy."""
        if self.whole:
            return x
        along, across = self.weights(x)
        return x / (along * across)

    def mirrored(self, u: torch.Tensor) -> torch.Tensor:
        """Return u (..., ny, nx) at the free nodes and one more on every side, (my+2, mx+2).

        Beyond a side of fluxes they are those of the mirror image.
        """
        if not self.left or not self.right:
            parts = [u] if self.left else [u[..., 1:2], u]
            u = torch.cat(parts if self.right else [*parts, u[..., -2:-1]], dim=-1)
        if not self.bottom or not self.top:
            parts = [u] if self.bottom else [u[..., 1:2, :], u]
            u = torch.cat(parts if self.top else [*parts, u[..., -2:-1, :]], dim=-2)
        return u

    def laplacian(self, u: torch.Tensor) -> torch.Tensor:
        """Return the five-point Laplacian (..., my, mx) of u (..., ny, nx) in divergence form.

        No flux enters through the sides of fluxes.
        """
        x = self.mirrored(u)
        ratio = self.ratio
        neighbours = (
            x[..., 2:, 1:-1]
            + x[..., :-2, 1:-1]
            + ratio * x[..., 1:-1, 2:]
            + ratio * x[..., 1:-1, :-2]
        )
        return (neighbours - (2 + 2 * ratio) * x[..., 1:-1, 1:-1]) / self.hy**2

    @property
    def ratio(self) -> float:
        """(hy / hx)², exactly 1 for square cells."""
        return (self.height * (self.nx - 1) / (self.width * (self.ny - 1))) ** 2


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a cached inference tensor would break every later gradient
def _weights(
    volumes: Volumes, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    (my, mx) = volumes.shape
    along = torch.ones(my, 1, dtype=dtype, device=device)
    across = torch.ones(mx, dtype=dtype, device=device)
    for weights, first, last in (
        (along, volumes.bottom, volumes.top),
        (across, volumes.left, volumes.right),
    ):
        if not first:
            weights[0] = 0.5
        if not last:
            weights[-1] = 0.5
    return along, across
