"""The unknown numbers of a problem: where they stand, their names, and values in their place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.sides import SIDES
from pdeinv.errors import InputError
from pdeinv.unknown import Unknown

if TYPE_CHECKING:
    from pdeinv.datasets.base import PDE
    from pdeinv.datasets.problem import Problem

__all__ = ["Path", "UnknownNumber", "draw_numbers", "find_unknowns", "replaced", "with_values"]

Path: TypeAlias = "tuple[str | int, ...]"
_TRIES = 100  # draws of unknown numbers, of which a prior may refuse some


@dataclass(frozen=True)
class UnknownNumber:
    """An unknown number of a problem.

    Arguments:
        name: such as "length", "viscosity", "value of left", "rate of well 2" or "k of low", of
            the experiment `low`. Experiments in which a number stands at the same place with the
            same range share it.
        unknown: its range and law.
        role: "field" for a number of the latent field, "values" for one of the map from it to the
            coefficient, "physics" for one of the PDE.
        units: its units; "1" where none are known.
        paths: where it stands in the problem.
    """

    name: str
    unknown: Unknown
    role: Literal["field", "values", "physics"]
    units: str
    paths: tuple[Path, ...]

    @property
    def in_words(self) -> str:
        """The range and the law, such as "100 to 1000 m, log-normal"."""
        unknown = self.unknown
        scale = {"readings": " times what the readings imply", "domain": " shorter sides", "": ""}
        units = scale[unknown.of] or ("" if self.units == "1" else f" {self.units}")
        return f"{unknown.low:g} to {unknown.high:g}{units}, {unknown.law}"


def find_unknowns(problem: Problem) -> tuple[UnknownNumber, ...]:
    """Return the unknown numbers of a problem; those of the prior come first."""
    found = []
    if isinstance(prior := problem.prior, CoefficientPrior):
        for path, unknown in _numbers(prior, ("prior",)):
            name = str(path[-1])
            values = name in getattr(_at(problem, path[:-1]), "of_values", ())
            found.append(
                UnknownNumber(
                    name, unknown, "values" if values else "field", _units(problem, name), (path,)
                )
            )
    return (*found, *_of_physics(problem.physics))


def with_values(problem: Problem, values: Mapping[str, float]) -> Problem:
    """Return a problem with values of some of its unknown numbers, by their names."""
    for number in problem.unknowns:
        if number.name in values:
            for path in number.paths:
                problem = replaced(problem, path, float(values[number.name]))
    return problem


def draw_numbers(
    problem: Problem, generator: torch.Generator | None = None
) -> tuple[Problem, dict[str, float]]:
    """Return a problem with draws of its unknown numbers, and these by their names.

    Numbers of which the prior refuses a field, such as a length far below the nodes, are drawn
    again. A range in units of what readings imply is taken in the coefficient's units, since
    nothing was read yet.

    Raises:
        InputError: every draw is refused.
    """
    if not problem.unknowns:
        return problem, {}
    if isinstance(problem.prior, CoefficientPrior):
        problem = problem.in_units(1.0)
    refusal: InputError | None = None
    for _ in range(_TRIES):
        white = torch.randn(len(problem.unknowns), dtype=torch.float64, generator=generator)
        drawn = zip(problem.unknowns, white.tolist(), strict=True)
        numbers = {number.name: number.unknown.at(z) for number, z in drawn}
        try:
            return problem.at(numbers), numbers
        except InputError as error:
            refusal = error
    assert refusal is not None
    raise refusal


def _of_physics(physics: PDE) -> Iterator[UnknownNumber]:
    if not physics.experiments:
        for path, unknown in _numbers(physics, ("physics",)):
            name, units = _name(path[1:]), _units_of_physics(physics, path)
            yield UnknownNumber(name, unknown, "physics", units, (path,))
        return
    places: dict[tuple[Path, Unknown], list[int]] = {}
    parts = list(physics.experiments.items())
    for i, (_, part) in enumerate(parts):
        for path, unknown in _numbers(part, ()):
            places.setdefault((path, unknown), []).append(i)
    for (path, unknown), of in places.items():
        name = _name(path)
        if len(of) < len(parts):
            name = f"{name} of {' and '.join(parts[i][0] for i in of)}"
        paths = tuple(("physics", "physics", i, *path) for i in of)
        units = _units_of_physics(parts[of[0]][1], path)
        yield UnknownNumber(name, unknown, "physics", units, paths)


def _numbers(value: Any, path: Path) -> Iterator[tuple[Path, Unknown]]:
    """Yield the unknown numbers in a dataclass or a tuple, and where they are."""
    if isinstance(value, Unknown):
        yield path, value
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.init or field.name in ("value", "flux"):
                yield from _numbers(getattr(value, field.name), (*path, field.name))
    elif isinstance(value, tuple):
        for i, entry in enumerate(value):
            yield from _numbers(entry, (*path, i))


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key] if isinstance(key, int) else getattr(value, key)
    return value


def replaced(value: Any, path: Path, part: Any) -> Any:
    """Return a nested value with another part at one place, such as a number in that of an unknown
    one."""
    if not path:
        return part
    key, *further = path
    if isinstance(key, int):
        changed = replaced(value[key], tuple(further), part)
        return (*value[:key], changed, *value[key + 1 :])
    changed = replaced(getattr(value, key), tuple(further), part)
    return dataclasses.replace(value, **{key: changed})


def _name(path: Path) -> str:
    """Return the name of a number of the physics for people."""
    names = [key for key in path if isinstance(key, str)]
    side = next((key for key in names if key in SIDES), None)
    if side:
        return f"{names[names.index(side) + 1]} of {side}"
    index = next((key for key in path if isinstance(key, int)), None)
    if index is not None:
        return f"{names[-1]} of {names[0].removesuffix('s')} {index + 1}"
    return names[0]


def _units(problem: Problem, name: str) -> str:
    """Return the units of a number of the prior."""
    if name == "length":
        return problem.physics.domain.unit
    own = ("mean", "std", "median", "low", "high")
    return problem.physics.coefficient_field.units if name in own else "1"


def _units_of_physics(physics: PDE, path: Path) -> str:
    if "rate" in path:
        return physics.well_units
    return physics.solution_field.units if "value" in path and set(path) & set(SIDES) else "1"
