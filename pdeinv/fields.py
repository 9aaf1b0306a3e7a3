"""The physical fields that live on a grid."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Annotated, ClassVar, Literal

from pdeinv.annotations import check_fields
from pdeinv.checks import Bounds
from pdeinv.errors import InputError

__all__ = [
    "IMAGINARY",
    "REAL",
    "SAME_TIME",
    "ChannelField",
    "Field",
    "FieldKind",
    "imaginary_of",
    "remedy_for",
]

FieldKind = Literal["scalar", "pseudo-scalar", "vector-x", "vector-y"]
SAME_TIME = 1e-9
"""Relative difference of times that are one."""
REAL, IMAGINARY = "_real", "_imag"
"""Ends of the names of the two parts of a complex field."""


@dataclass(frozen=True)
class Field:
    """Name, units and behaviour of a field.

    Arguments:
        name: physical name, and variable name in every file, such as `potential`.
        long_name: a phrase for axes and NetCDF attributes.
        units: units in the CF convention; `"1"` for a dimensionless quantity.
        interpolation_order: degree of the polynomial between the nodes: 3 for a smooth field, 0
            (the nearest node) for a piecewise constant one.
        kind: behaviour under reflections and rotations: `"scalar"`, `"pseudo-scalar"` (vorticity,
            whose sign a reflection changes), or `"vector-x"` and `"vector-y"`, the components of a
            vector in adjacent channels.
    """

    name: str
    long_name: str
    units: str = "1"
    interpolation_order: Annotated[int, Bounds(least=0)] = 3
    kind: FieldKind = "scalar"

    experiment: ClassVar[str] = ""
    """Name of the experiment that the field belongs to; empty where there is one alone, or all
    share the field."""
    time: ClassVar[float | None] = None
    """Time of the field in a physics that evolves; None where there is one time alone."""

    def __post_init__(self) -> None:
        check_fields(self, "{} of a field")
        if not self.name:
            raise InputError("name of a field must not be empty, got ''; name the field")

    @property
    def attributes(self) -> dict[str, str | int]:
        """Attributes of a file's variable that holds this field."""
        return {f.name: getattr(self, f.name) for f in fields(Field) if f.name != "name"}

    @property
    def place(self) -> tuple[str, str, float | None]:
        """The name, the experiment and the time, which tell the fields of a PDE apart."""
        return self.name, self.experiment, self.time

    @property
    def label(self) -> str:
        """The name, and the experiment and the time where there are several."""
        of = f" of experiment {self.experiment}" if self.experiment else ""
        return f"{self.name}{of}" + ("" if self.time is None else f" at time {self.time:.10g}")


@dataclass(frozen=True)
class ChannelField(Field):
    """A field of one of several experiments, or at one of several times.

    Arguments:
        experiment: name of the experiment.
        time: the time.
    """

    experiment: str = ""  # type: ignore[misc]
    time: float | None = None  # type: ignore[misc]

    @classmethod
    def of(cls, field: Field, experiment: str = "", time: float | None = None) -> ChannelField:
        """Return a field with the name of an experiment and a time; if not given, its own."""
        return cls(
            field.name,
            **field.attributes,  # type: ignore[arg-type]
            experiment=experiment or field.experiment,
            time=field.time if time is None else time,
        )


def imaginary_of(field: Field) -> Field:
    """Return the field of the imaginary part of a complex field, given that of its real part."""
    long_name = field.long_name.replace("real part", "imaginary part")
    if long_name == field.long_name:
        long_name = f"{long_name}, imaginary part"
    return replace(field, name=field.name.removesuffix(REAL) + IMAGINARY, long_name=long_name)


def remedy_for(time: float) -> str:
    """Return what to do about a time that a physics does not reach."""
    if time > 0:
        return "correct it, or let the physics run longer"
    if time < 0:
        return "correct it, or drop it, since times count from the start"
    return "drop it, since the state at the start is not computed"
