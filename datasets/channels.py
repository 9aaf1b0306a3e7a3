"""The fields of a PDE's state, and the channels that they have in it."""

from __future__ import annotations

import math
from abc import ABC
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.fields import SAME_TIME, Field, remedy_for

if TYPE_CHECKING:
    from typing_extensions import Self

    from pdeinv.datasets.base import PDE

__all__ = ["CHOICES", "Channels"]

CHOICES = ("outputs", "times")
"""Parameters that choose the channels, and leave the physics as it is."""


@dataclass(frozen=True, eq=False)
class Channels(ABC):
    """Base of a PDE: which field is in which channel of a state.

    Attributes:
        name: of the PDE.
        outputs: names of the derived fields that are channels.
        has_start: whether fields at time 0 can be channels too; they are functions of the
            coefficient alone.
    """

    name: ClassVar[str]
    has_start: ClassVar[bool] = False
    outputs: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def coefficient_field(self) -> Field:
        """The coefficient's field."""
        return Field("coefficient", "coefficient a")

    @property
    def solution_field(self) -> Field:
        """The solution's field."""
        return Field("solution", "solution u")

    @property
    def end_time(self) -> float | None:
        """The time of the solution in a physics that evolves; None for a stationary one."""
        return None

    @property
    def wavenumber(self) -> float | None:
        """The wavenumber of a physics of waves of one frequency; None for any other."""
        return None

    @property
    def time_units(self) -> str:
        """Units of the times; "1" where they are not known."""
        return "1"

    @property
    def well_units(self) -> str:
        """Units of the rates of wells; "1" where they are not known."""
        return "1"

    @property
    def flux_units(self) -> str:
        """Units of a flux through a side; "1" where they are not known."""
        return "1"

    @property
    def source_units(self) -> str:
        """Units of a source; "1" where they are not known."""
        return "1"

    @property
    def derived(self) -> tuple[Field, ...]:
        """All fields that the PDE can derive; the components x and y of a vector are adjacent."""
        return ()

    @property
    def logarithm(self) -> Field | None:
        """The derived field that is the natural logarithm of the coefficient, if there is one."""
        return None

    def of_coefficient(self, field: Field) -> bool:
        """Return whether a field of the state is a function of the coefficient alone."""
        return field == self.coefficient_field

    def nodewise(self, field: Field) -> bool:
        """Return whether a field is a function of the coefficient node by node: a component of a
        vector is none."""
        return self.of_coefficient(field) and not field.kind.startswith("vector")

    def linear_in_channels(self, field: Field) -> bool:
        """Return whether a derived field is a linear function of the coefficient and the solution,
        which `PDE.derive_linear` returns without a solve."""
        return False

    @property
    def linear_channels(self) -> tuple[int, ...]:
        """The channels of the derived fields that are `linear_in_channels`."""
        first = 1 + len(self.solution_channels)
        chosen = enumerate(self.fields[first:], first)
        return tuple(c for c, f in chosen if self.linear_in_channels(f))

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the state's channels."""
        chosen = (f for f in self.derived if f.name in self.outputs)
        return (self.coefficient_field, self.solution_field, *chosen)

    @property
    def solution_channels(self) -> tuple[int, ...]:
        """The channels of the solutions in a state: one, or one for each experiment."""
        return (1,)

    @property
    def experiments(self) -> Mapping[str, PDE]:
        """The physics by the name of its experiment; empty for a PDE that is no `Experiments`."""
        return {}

    def reading(self, names: Iterable[str], times: Iterable[float] = ()) -> Self:
        """Return the PDE whose state has a channel for each named field that it can derive.

        A component of a vector brings the other one. Other names are left alone.

        Arguments:
            names: of fields.
            times: before the end at which they are read; not used by a stationary physics.
        """
        kept = self._kept(names)
        return self if kept == self.outputs else replace(self, outputs=kept)

    def _kept(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the outputs with those that are named, whole vectors in the order of `derived`."""
        wanted = {*self.outputs, *names}
        kept = []
        for before, now, after in zip(
            (None, *self.derived), self.derived, (*self.derived[1:], None), strict=False
        ):
            partner = {"vector-x": after, "vector-y": before}.get(now.kind)
            if wanted & {now.name, partner.name if partner else now.name}:
                kept.append(now.name)
        return tuple(dict.fromkeys(kept))  # a field at several times counts once

    def _settle_channels(self) -> None:
        """Refuse names that do not tell the fields apart, and unknown outputs; complete vectors.

        Raises:
            InputError: so it is.
        """
        derived = list(dict.fromkeys(f.name for f in self.derived))
        for name in self.outputs:
            if name not in derived:
                raise InputError(
                    f"outputs of {self.name} must be of {', '.join(derived) or 'none'}, got "
                    f"{described(name)}; leave it out"
                )
        if self.experiments:  # whose physics have been checked
            return
        fields = (self.coefficient_field, self.solution_field, *self.derived)
        names = [f.name for f in fields]
        aliased = names[0] == "solution" or names[1] == "coefficient"
        derived_alias = {"coefficient", "solution"} & {f.name for f in fields[2:] if f.time is None}
        if len({f.place for f in fields}) < len(fields) or aliased or derived_alias:
            raise InputError(
                f"fields of {self.name} must have different names, and neither the other's alias, "
                f"got {', '.join(names)}; rename one of them"
            )
        object.__setattr__(self, "outputs", self._kept(()))

    def reaches(self, time: float) -> bool:
        """Return whether the state at a time is computed: after the start of a physics that
        evolves, or at it (see `has_start`), up to its end."""
        after = time > 0 or (self.has_start and time == 0)
        return self.end_time is not None and after and time <= self.end_time * (1 + SAME_TIME)

    def unreached(self, time: float) -> str:
        """Return the message about a time that a physics that evolves does not reach."""
        return (
            f"time must be {self._reached}, the end of {self.name}, got {time:g}; "
            f"{remedy_for(time)}"
        )

    def late_coefficient(self, field_name: str, time: float) -> str:
        """Return the message about a reading of the coefficient after the start, where it is the
        state there; "" for any other, and for no time (nan)."""
        name = self.coefficient_field.name
        if not self.has_start or self._without_alias(field_name) != name or not abs(time) > 0:
            return ""
        return (
            f"time of {name!r} must be 0 or empty, got {time:g}; name the field that is read then"
        )

    @property
    def _reached(self) -> str:
        """The times that the physics reaches, in words."""
        return f"{'at least' if self.has_start else 'after'} 0 and at most {self.end_time:g}"

    def find_channel(
        self, field_name: str, experiment: str = "", time: float | None = None
    ) -> int | None:
        """Return the channel of a field: 0 for the coefficient, 1 for the solution, more for
        derived ones; None for any other name or time.

        Arguments:
            field_name: physical name, or the alias `coefficient` or `solution`.
            experiment: name of the experiment that has the field; not used where there is one
                physics alone.
            time: of the field; None is the end of a physics that evolves. It is not used for the
                coefficient and its functions, nor by a stationary physics.
        """
        field_name = self._without_alias(field_name)
        for channel, f in enumerate(self.fields):
            if f.name == field_name and (self.constant(f) or self._is_at(f, time)):
                return channel
        return None

    def constant(self, field: Field) -> bool:
        """Return whether a field is that of the coefficient, or a function of it at no time."""
        return field.time is None and self.of_coefficient(field)

    def _without_alias(self, field_name: str) -> str:
        own = {"coefficient": self.coefficient_field, "solution": self.solution_field}
        return own[field_name].name if field_name in own else field_name

    def _is_at(self, field: Field, time: float | None) -> bool:
        if self.end_time is None:
            return True
        own, wanted = (self.end_time if t is None else t for t in (field.time, time))
        return math.isclose(own, wanted, rel_tol=SAME_TIME)

    def find_channels(self, field_name: str) -> tuple[int, ...]:
        """Return all channels of a field, one for each experiment that has it and each time."""
        field_name = self._without_alias(field_name)
        return tuple(c for c, f in enumerate(self.fields) if f.name == field_name)

    def channel(self, field_name: str, experiment: str = "", time: float | None = None) -> int:
        """Return the channel of a field, as `find_channel`.

        Raises:
            InputError: the PDE has no such field.
        """
        found = self.find_channel(field_name, experiment, time)
        if found is None:
            raise InputError(self.unknown_field(field_name, experiment, time))
        return found

    def unknown_field(
        self, field_name: str, experiment: str = "", time: float | None = None
    ) -> str:
        """Return the message about a field for which `find_channel` returns None."""
        if time is not None and self.end_time is not None and self.find_channels(field_name):
            if not self.reaches(time):
                return self.unreached(time)
            return (
                f"time of {described(field_name)} must be one of the output times of {self.name}, "
                f"got {time:g}; add it to `times`, as `reading` does"
            )
        more = "".join(f", {name!r}" for name in dict.fromkeys(f.name for f in self.derived))
        return (
            f"field must be {self.coefficient_field.name!r} (the coefficient) or "
            f"{self.solution_field.name!r} (the solution){more} for {self.name}, got "
            f"{described(field_name)}; rename it"
        )
