"""Physics that evolves: its fields have several output times."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from pdeinv.checks import NotNegative
from pdeinv.datasets.base import PDE
from pdeinv.errors import InputError
from pdeinv.fields import SAME_TIME, ChannelField, Field, remedy_for

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Evolving"]


@dataclass(frozen=True)
class Evolving(PDE):
    """Base of a physics that starts at time 0 and whose solution is that at `end_time`.

    A subclass lists among its `derived` fields those at `at_times(...)`, and overrides `respond`,
    so that one solve gives all of them. `respond_roughly` is then `respond`. With `has_start`,
    `times` may hold 0, and the fields there are functions of the coefficient alone.

    Arguments:
        times: output times before the end, at which the state has further channels. `reading` adds
            those that a table of sensors names.
    """

    times: tuple[NotNegative, ...] = field(default=(), kw_only=True)

    def _settle_channels(self) -> None:
        kept: list[float] = []
        for time in sorted(self.times):
            if not self.reaches(time):
                raise InputError(
                    f"times of {self.name} must be {self._reached}, its end, got {time:g}; "
                    f"{remedy_for(time)}"
                )
            if not any(math.isclose(time, t, rel_tol=SAME_TIME) for t in (*kept, self.end_time)):
                kept.append(time + 0.0)  # not -0
        object.__setattr__(self, "times", tuple(kept))
        if not self.times:  # the solution is a channel anyway
            outputs = (name for name in self.outputs if name != self.solution_field.name)
            object.__setattr__(self, "outputs", tuple(outputs))
        timed = {f.name for f in self.derived if f.time is not None}
        if timed and not timed & {*self.outputs}:
            chosen = {self.evolving_field.name} & timed or timed
            object.__setattr__(self, "outputs", (*self.outputs, *sorted(chosen)))
        super()._settle_channels()

    @property
    @abstractmethod
    def end_time(self) -> float:
        """The time of the solution."""

    @property
    def evolving_field(self) -> Field:
        """The solution's field at the output times, where it has another name than at the end."""
        return self.solution_field

    @staticmethod
    def at(field: Field, time: float) -> Field:
        """Return a field at a time."""
        return ChannelField.of(field, time=time)

    def at_times(self, *fields: Field) -> tuple[Field, ...]:
        """Return fields at the output times before the end: at each time all of them."""
        return tuple(self.at(f, t) for t in self.times for f in fields)

    def respond_roughly(self, a: torch.Tensor) -> torch.Tensor:
        return self.respond(a) if self._responds else super().respond_roughly(a)

    def completed(self, a: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        """Return `respond` with given solutions; without a `derive`, a solve gives the others."""
        if self._responds and self.outputs and type(self).derive is PDE.derive:
            return torch.cat([u, self.respond(a)[:, 1:]], dim=1)
        return super().completed(a, u)

    def unknown_field(
        self, field_name: str, experiment: str = "", time: float | None = None
    ) -> str:
        end, moving = self.solution_field, self.evolving_field
        named = self._without_alias(field_name) == end.name != moving.name
        if named and time is not None and self.reaches(time):
            return (
                f"time of {end.name!r} must be {self.end_time:g}, the end of {self.name}, got "
                f"{time:g}; name the field {moving.name!r}"
            )
        return super().unknown_field(field_name, experiment, time)

    @property
    def _responds(self) -> bool:
        """Whether a subclass overrides `respond`."""
        return type(self).respond is not PDE.respond

    def reading(self, names: Iterable[str], times: Iterable[float] = ()) -> Self:
        names, times = tuple(names), tuple(times)
        physics = replace(self, times=(*self.times, *times)) if times else self
        return super(Evolving, physics).reading(names)
