"""Readings of the states of a joint prior: of its fields, and of what is linear in these."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

import torch

from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.solvers.trained_problem import joint_fields, names_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["JointReadings", "joint_readings"]

_CHUNK = 32  # states that are pulled back at a time


@dataclass(frozen=True)
class JointReadings(Observation):
    """y = H L x + noise, for states x of the fields of a joint prior: L appends the derived fields
    that are linear in these, and H reads the whole.

    The channels of the readings, and `order`, count the appended fields behind those of x.

    Arguments:
        whole: H.
        pde: the physics, whose `derive_linear` is L.
    """

    whole: Observation = field(kw_only=True)
    pde: PDE = field(kw_only=True)

    @classmethod
    def of(cls, whole: Observation, pde: PDE) -> Self:
        """Return the readings that a whole state has."""
        given = {f.name: getattr(whole, f.name) for f in fields(Observation) if f.init}
        return cls(**given, whole=whole, pde=pde)

    def stencil(self, chosen: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.whole.stencil(chosen, order)

    @property
    def pointwise(self) -> bool:
        return self.whole.pointwise

    def subset(self, chosen: torch.Tensor) -> Self:
        return self.of(self.whole.subset(chosen), self.pde)

    def on_grid(self, grid: Grid) -> Self:
        return self.of(self.whole.on_grid(grid), self.pde)

    def derived(self, state: torch.Tensor) -> torch.Tensor:
        """Return what L appends to states (batch, channel, ny, nx)."""
        return self.pde.derive_linear(state[:, :1], state[:, 1:])

    def __call__(self, state: torch.Tensor) -> torch.Tensor:
        """Return the noise-free sensor values (batch, m) of states (batch, channel, ny, nx)."""
        return super().__call__(torch.cat([state, self.derived(state)], dim=1))

    def adjoint(self, v: torch.Tensor) -> torch.Tensor:
        """Return Lᵀ Hᵀ v: sensor-space vectors (batch, m) to states (batch, channel, ny, nx)."""
        whole = super().adjoint
        return torch.cat([self._pulled_back(whole(part)) for part in v.split(_CHUNK)])

    def _pulled_back(self, whole: torch.Tensor) -> torch.Tensor:
        """Return Lᵀ of whole states."""
        joint = len(joint_fields(self.pde))
        with torch.enable_grad():
            origin = torch.zeros_like(whole[:, :joint]).requires_grad_()
            (further,) = torch.autograd.grad(
                self.derived(origin), origin, whole[:, joint:], create_graph=whole.requires_grad
            )
        return whole[:, :joint] + further


def joint_readings(solver: str, pde: PDE, observation: Observation, *, linear: bool) -> Observation:
    """Return the readings of the states of a joint prior.

    Arguments:
        solver: name of the solver, for the message.
        pde: the physics.
        observation: all readings.
        linear: whether the solver supports readings of derived fields that are linear in those of
            the prior.

    Raises:
        InputError: a sensor reads another field.
    """
    joint = joint_fields(pde)
    known = [*range(len(joint)), *(pde.linear_channels if linear else ())]
    others = [c for c in observation.channel.unique().tolist() if c not in known]
    if others:
        what = "these fields, or what is linear in them," if linear else "these fields,"
        raise InputError(
            f"sensors of the {solver} solver with a prior of {names_of(joint)} must read {what} "
            f"got readings of {pde.fields[others[0]].label}; drop them, choose moment or ddis with "
            f"a prior of the {pde.fields[0].name}, or the solver 'auto'"
        )
    order = tuple(observation.order[c] for c in known)
    if not bool((observation.channel >= len(joint)).any()):
        return replace(observation, order=order[: len(joint)])
    place = torch.zeros_like(observation.channel, dtype=torch.long).new_zeros(len(pde.fields))
    place[known] = torch.arange(len(known), device=place.device)
    placed = replace(observation, channel=place[observation.channel], order=order)
    return JointReadings.of(placed, pde)
