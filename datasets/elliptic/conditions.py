"""Values and fluxes on the sides, brought to the right-hand side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch

from pdeinv.datasets.elliptic.volumes import Volumes
from pdeinv.datasets.sides import SIDES, axis_of

__all__ = ["Conditions"]


@dataclass(frozen=True, eq=False)
class Conditions:
    """What the sides hold, at the nodes; float64.

    Attributes:
        volumes: the rectangle, which states what each side holds.
        values: (ny, nx), u where it is held, 0 at the other nodes; None if all are 0.
        inflow: (my, mx), a du/dn of the sides of fluxes, times the length of the side that a node
            owns, over its volume; None if no flux is given.
        fluxes: a du/dn at the nodes of each side where it is given and not 0.
    """

    volumes: Volumes
    values: torch.Tensor | None = None
    inflow: torch.Tensor | None = None
    fluxes: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @classmethod
    def on(
        cls,
        volumes: Volumes,
        given: Mapping[str, torch.Tensor],
        within: torch.Tensor | None = None,
    ) -> Conditions:
        """Return the conditions of what is given along the sides.

        Arguments:
            volumes: the rectangle.
            given: for sides "left", "right" (ny,) and "bottom", "top" (nx,), the values or the
                fluxes at their nodes; 0 along the others. The mean holds in a corner of two sides
                of values.
            within: (ny, nx), the values at the nodes that the pattern holds, nan at the others.
        """
        values = torch.zeros(volumes.ny, volumes.nx, dtype=torch.float64)
        owners = torch.zeros_like(values)
        inflow = torch.zeros_like(values)
        for side in SIDES:
            along = given.get(side, torch.zeros((), dtype=torch.float64))
            nodes = _nodes(side)
            if getattr(volumes, side):
                values[nodes] += along
                owners[nodes] += 1
            else:
                h = volumes.hy if axis_of(side) == 0 else volumes.hx
                inflow[nodes] += volumes.side_over_volume(side) * along / h
        values /= owners.clamp_min(1)
        if volumes.pattern is not None:
            values = values * volumes.held
            if within is not None:
                values = torch.where(within.isnan(), values, within)
        free = volumes.inside(inflow)
        return cls(
            volumes,
            values if bool(values.any()) else None,
            free if bool(free.any()) else None,
            {k: v for k, v in given.items() if not getattr(volumes, k) and bool(v.any())},
        )

    @cached_property
    def level(self) -> float:
        """The middle of the values that are held; 0 where there is none."""
        if self.values is None:
            return 0.0
        held = self.values[self.volumes.held].detach()
        return float(held.min() + held.max()) / 2

    @cached_property
    def deviations(self) -> torch.Tensor:
        """Values less the level where they are held, (ny, nx), and 0 at the other nodes."""
        values = torch.zeros(self.volumes.ny, self.volumes.nx, dtype=torch.float64)
        if self.values is not None:
            held = self.volumes.held
            values[held] = self.values[held] - self.level
        return values

    def with_inflow(self, f: torch.Tensor, sign: int = 1) -> torch.Tensor:
        """Return f (..., my, mx) and, times a sign, what enters through the sides of fluxes, in
        divergence form."""
        return f if self.inflow is None else f + sign * self.inflow.to(f)

    def completed(self, u: torch.Tensor) -> torch.Tensor:
        """Return u (..., ny, nx) of its free values (..., my, mx)."""
        u = self.volumes.extended(u)
        return u if self.values is None else u + self.values.to(u)

    def residual(self, equation: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return one field of both residuals, (..., ny, nx).

        Arguments:
            equation: (..., my, mx), residual of the equation at the free nodes, given fluxes
                included.
            u: (..., ny, nx), the solution; on the sides of values it must be the value.
        """
        known = u - self.volumes.extended(self.volumes.inside(u))
        if self.values is not None:
            known = known - self.values.to(u)
        return self.volumes.extended(equation) + known


def _nodes(side: str) -> tuple[int | slice, int | slice]:
    """Return the index [y, x] of a side's nodes."""
    position = 0 if side in ("left", "bottom") else -1
    return (position, slice(None)) if axis_of(side) == 0 else (slice(None), position)
