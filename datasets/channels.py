"""The fields of a PDE's state, and the channels that they have in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.grid import Field

if TYPE_CHECKING:
    from typing_extensions import Self

    from pdeinv.datasets.base import PDE

__all__ = ["Channels"]


@dataclass(frozen=True, eq=False)
class Channels(ABC):
    """Base of a PDE: which field is in which channel of a state.

    Attributes:
        name: of the PDE.
        outputs: names of the derived fields that are channels.
    """

    name: ClassVar[str]
    outputs: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def coefficient_field(self) -> Field:
        """The coefficient's field."""

    @property
    @abstractmethod
    def solution_field(self) -> Field:
        """The solution's field."""

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

    @property
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

    def reading(self, names: Iterable[str]) -> Self:
        """Return the PDE whose state has a channel for each named field that it can derive.

        A component of a vector brings the other one. Other names are left alone.
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
        return tuple(kept)

    def _check_channels(self) -> None:
        """Refuse names that do not tell the fields apart, and unknown outputs; complete vectors.

        Raises:
            InputError: so it is.
        """
        derived = [f.name for f in self.derived]
        for name in self.outputs:
            if name not in derived:
                raise InputError(
                    f"outputs of {self.name} must be of {', '.join(derived) or 'none'}, got "
                    f"{described(name)}; leave it out"
                )
        if self.experiments:  # whose physics have been checked
            return
        names = [self.coefficient_field.name, self.solution_field.name, *derived]
        aliased = names[0] == "solution" or names[1] == "coefficient"
        if len(set(names)) < len(names) or aliased or {"coefficient", "solution"} & set(derived):
            raise InputError(
                f"fields of {self.name} must have different names, and neither the other's alias, "
                f"got {', '.join(names)}; rename one of them"
            )
        object.__setattr__(self, "outputs", self._kept(()))

    def find_channel(self, field_name: str, experiment: str = "") -> int | None:
        """Return the channel of a field: 0 for the coefficient, 1 for the solution, more for
        derived ones; None for any other name.

        Arguments:
            field_name: physical name, or the alias `coefficient` or `solution`.
            experiment: name of the experiment that has the field; not used where there is one
                physics alone.
        """
        names = [f.name for f in self.fields]
        if field_name in ("coefficient", "solution"):
            return ("coefficient", "solution").index(field_name)
        return names.index(field_name) if field_name in names else None

    def find_channels(self, field_name: str) -> tuple[int, ...]:
        """Return all channels of a field, one for each experiment that has it."""
        found = self.find_channel(field_name)
        return () if found is None else (found,)

    def channel(self, field_name: str, experiment: str = "") -> int:
        """Return the channel of a field, as `find_channel`.

        Raises:
            InputError: the PDE has no such field.
        """
        found = self.find_channel(field_name, experiment)
        if found is None:
            raise InputError(self.unknown_field(field_name, experiment))
        return found

    def unknown_field(self, field_name: str, experiment: str = "") -> str:
        """Return the message about a field for which `find_channel` returns None."""
        more = "".join(f", {f.name!r}" for f in self.derived)
        return (
            f"field must be {self.coefficient_field.name!r} (the coefficient) or "
            f"{self.solution_field.name!r} (the solution){more} for {self.name}, got "
            f"{described(field_name)}; rename it"
        )
