"""The numbers of a distribution of coefficients, known and unknown, and others in their place."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pdeinv.errors import InputError
from pdeinv.unknown import Unknown

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["PriorNumbers"]


@dataclass(frozen=True)
class PriorNumbers:
    """Base of `CoefficientPrior`, its numbers.

    Attributes:
        amplitude: the number that is a factor of the latent field, apart from its constant.
        constant: the number that is a constant of the latent field, and the one that is the
            standard deviation of that constant.
    """

    name: ClassVar[str]
    amplitude: ClassVar[str] = ""
    constant: ClassVar[tuple[str, str]] = ("", "")

    @property
    def numbers(self) -> dict[str, Any]:
        """The numbers and texts that state the distribution by name, those of a field of it too."""
        found: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, PriorNumbers):
                found |= value.numbers
            elif not callable(value):
                found[f.name] = value
        return found

    def with_numbers(self, **changed: Any) -> Self:
        """Return the prior with other values of some `numbers`.

        Raises:
            InputError: there is no such number, or its value is not allowed.
        """
        if unknown := changed.keys() - self.numbers.keys():
            raise InputError(self._unknown(min(unknown), self.numbers))
        replaced: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if isinstance(value, PriorNumbers):
                own = {k: v for k, v in changed.items() if k in value.numbers}
                replaced |= {f.name: value.with_numbers(**own)} if own else {}
            elif f.name in changed:
                replaced[f.name] = changed[f.name]
        return dataclasses.replace(self, **replaced) if replaced else self

    @property
    def unknowns(self) -> dict[str, Unknown]:
        """The numbers that are unknown, by their names."""
        return {name: value for name, value in self.numbers.items() if isinstance(value, Unknown)}

    def in_units(self, scales: Mapping[str, float]) -> Self:
        """Return the prior with unknown numbers in their own units; `scales` as of
        `Unknown.scaled`."""
        return self.with_numbers(**{k: v.scaled(scales) for k, v in self.unknowns.items()})

    def drawn(self, generator: torch.Generator | None = None) -> Self:
        """Return the prior with draws of its unknown numbers."""
        return self.with_numbers(**self._drawn_numbers(generator))

    def _drawn_numbers(self, generator: torch.Generator | None) -> dict[str, float]:
        white = torch.randn(len(self.unknowns), dtype=torch.float64, generator=generator).tolist()
        drawn = zip(self.unknowns.items(), white, strict=True)
        return {name: unknown.at(z) for (name, unknown), z in drawn}

    @property
    def constant_std(self) -> float:
        """Standard deviation of the constant of the latent field, that of an unknown number
        included; the same for all values of the other numbers."""
        return 0.0

    def absorbed(self, about: float | None = None) -> Self:
        """Return the prior with an unknown constant as a part of the latent field.

        The law of the constant is a normal one. One that is too wide for the field is centred on
        what is known of it after the readings.

        Arguments:
            about: the constant that is likely after the readings.
        """
        return self

    @classmethod
    def _unknown(cls, key: str, names: Iterable[str], what: str = "the prior") -> str:
        near = difflib.get_close_matches(key, names, n=1)
        return (
            f"a number of {what} ({cls.name}) must be one of {', '.join(names)}, got {key!r}; "
            + (f"did you mean {near[0]!r}?" if near else "remove it")
        )
