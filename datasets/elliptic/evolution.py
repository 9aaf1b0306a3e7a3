"""storage ∂u/∂t = ∇·(a ∇u) + inflow over any time, with an inflow that is constant in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from pdeinv.datasets.elliptic.decay import step_rule
from pdeinv.datasets.elliptic.faces import FaceMean, balance, relative_conductances
from pdeinv.datasets.elliptic.long_step import LongStep
from pdeinv.datasets.elliptic.volumes import Volumes

__all__ = ["Evolution"]


@dataclass(frozen=True, eq=False)
class Evolution:
    """The map from a start to later times; differentiable any number of times.

    Each time has one step from the start, of several implicit ones of equal length (`step_rule`).
    They share one sparse factorisation, with the adjoints too. All systems are symmetric. In each
    mode of the discretised equation, the error of the change since the start is at most `accuracy`
    of that change, for any coefficient and any time.

    Arguments:
        volumes: the rectangle; its sides need not hold values.
        storage: (my, mx), at the free nodes, positive, float64.
        mean: mean of the coefficient on the faces.
        accuracy: of the time steps.
        leaking: (my, mx), what leaves a volume per unit of u, over hx hy; 0 if None.
    """

    volumes: Volumes
    storage: torch.Tensor
    mean: FaceMean = "arithmetic"
    accuracy: float = 1e-4
    leaking: torch.Tensor | None = None

    def after(
        self, a: torch.Tensor, u: torch.Tensor, inflow: torch.Tensor, times: Sequence[float]
    ) -> torch.Tensor:
        """Return u at times, (batch, times, ny, nx).

        Arguments:
            a: (batch, 1, ny, nx), the coefficient, positive, float64.
            u: (batch, 1, ny, nx), at the start; it stays as it is on the sides of values.
            inflow: (batch, 1, my, mx), what enters each volume per time, over hx hy.
            times: positive, since the start.

        Raises:
            NumericalError: a system is not solved to the residual that is promised.
        """
        h2 = self.volumes.hy**2
        across, along = relative_conductances(self.volumes, a, self.mean)
        net = inflow - balance(self.volumes, (across / h2, along / h2), u)
        if self.leaking is not None:
            net = net - self.leaking.to(u) * self.volumes.inside(u)
        changes = [self.volumes.extended(self._change(a, net, time)) for time in times]
        return u + torch.cat(changes, dim=1)

    def _change(self, a: torch.Tensor, net: torch.Tensor, time: float) -> torch.Tensor:
        """Return the change (batch, 1, my, mx) in a time, of the net inflow at its start."""
        rule = step_rule(self.accuracy)
        kept = self.volumes.times_volume(self.storage).to(net.device) / (rule.pole * time)
        return LongStep(self.volumes, self.mean, rule, self.leaking)(a, net, kept)
