"""Finite volumes on the nodes of a rectangle, whose sides hold values or fluxes.

A node owns the points that are nearer to it than to any other: half a volume on a side, a quarter
in a corner. A side either holds values of u, or is crossed by a given flux. A node on a side of
values is known, the other nodes are *free*; a corner belongs to the side of values. The free nodes
form a rectangle (..., my, mx). An equation at a free node is the balance of its volume, divided by
the volume: the divergence form.

A `Pattern` leaves nodes of that rectangle out: those that are inactive, and those that hold values.
Arrays keep their shape and are 0 there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch.nn.functional import pad

from pdeinv.datasets.elliptic.pattern import Pattern

__all__ = ["Volumes"]


@dataclass(frozen=True)
class Volumes:
    """Nodes of a rectangle with their volumes; which sides hold values.

    Arguments:
        ny, nx: nodes per direction, sides included.
        width, height: lengths of the rectangle.
        left, right, bottom, top: whether the side holds values; else a flux is given there.
        pattern: what differs from a whole rectangle; None where nothing does.
    """

    ny: int
    nx: int
    width: float = 1.0
    height: float = 1.0
    left: bool = True
    right: bool = True
    bottom: bool = True
    top: bool = True
    pattern: Pattern | None = None

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
        sides = self.left and self.right and self.bottom and self.top
        return sides and self.pattern is None

    @property
    def floating(self) -> bool:
        """Whether no side holds a value, so that fluxes alone leave a constant of u open."""
        return not (self.left or self.right or self.bottom or self.top)

    def inside(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values (..., my, mx) of a field (..., ny, nx) at the free nodes."""
        return x[..., self.rows, self.columns]

    def extended(self, x: torch.Tensor) -> torch.Tensor:
        """Return a field (..., ny, nx) that is x (..., my, mx) at the free nodes, and else 0."""
        return pad(
            self.at_free(x), (int(self.left), int(self.right), int(self.bottom), int(self.top))
        )

    def at_free(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (..., my, mx), 0 at the nodes that the pattern leaves out."""
        return x if self.pattern is None else x * self.free.to(x)

    def at_active(self, u: torch.Tensor) -> torch.Tensor:
        """Return u (..., ny, nx), 0 at inactive nodes."""
        return u if self.pattern is None else u * self.pattern.active.to(u)

    @property
    def free(self) -> torch.Tensor:
        """Which nodes of their rectangle are free, (my, mx)."""
        return _free(self)

    @property
    def held(self) -> torch.Tensor:
        """Which nodes hold values, (ny, nx)."""
        active = torch.ones(self.ny, self.nx, dtype=torch.bool)
        if self.pattern is not None:
            active = self.pattern.active
        return active & (self.extended(torch.ones(self.shape, dtype=torch.float64)) == 0)

    def face_shares(self, like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the open shares of the faces across x and across y, which broadcast to these: 1,
        1/2 along a side of fluxes or an edge, 0 where closed."""
        return _shares(self, like.dtype, like.device)[:2]

    def times_volume(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (..., my, mx) times the volumes, in units of hx hy."""
        return x if self.whole else x * _shares(self, x.dtype, x.device)[2]

    def per_volume(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (..., my, mx) divided by the volumes, in units of hx hy."""
        if self.whole:
            return x
        shares = _shares(self, x.dtype, x.device)[2]
        return x / shares if self.pattern is None else x / shares.where(self.free, 1.0)

    def side_over_volume(self, side: str) -> torch.Tensor | float:
        """Return, for the nodes of a side, how much of it each owns over the share of its volume,
        in cells: 2 along a whole side."""
        if self.pattern is None:
            return 2.0
        whole = self.pattern.shares()[2]
        end = 0 if side in ("left", "bottom") else -1
        # Of the cells along the side, half belongs to each of their two nodes
        cells = self.pattern.cells.tensor.double()
        owned = cells[:, end] if side in ("left", "right") else cells[end]
        owned = (pad(owned, (1, 0)) + pad(owned, (0, 1))) / 2
        volume = whole[:, end] if side in ("left", "right") else whole[end]
        return torch.where(volume > 0, owned / volume.clamp_min(0.25), 0.0)

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
def _shares(
    volumes: Volumes, dtype: torch.dtype, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the shares of the faces across x and y, and of the volumes."""
    if volumes.pattern is not None:
        across, along, whole = volumes.pattern.shares()
        parts = across[volumes.rows], along[:, volumes.columns], volumes.inside(whole)
        return tuple(part.to(dtype=dtype, device=device) for part in parts)  # type: ignore
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
    return along, across, along * across


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _free(volumes: Volumes) -> torch.Tensor:
    if volumes.pattern is None:
        return torch.ones(volumes.shape, dtype=torch.bool)
    return volumes.inside(volumes.pattern.active & ~volumes.pattern.held.tensor)
