"""The kinds of records: what each line of a JSON-lines file of the benchmark holds.

A file has lines of one kind. Further names in a line are allowed and kept, so that a file of a
later version can be read. Older records lack the names that are `NotRequired`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from pdeinv.schema import Amount, Count, Name, Positive, parse_json, problem_of

__all__ = [
    "BASELINES",
    "CELL",
    "INSTANCES",
    "SUMMARIES",
    "TASK",
    "FieldScore",
    "Kind",
    "Line",
    "Nodes",
    "Provenance",
    "Share",
    "TaskLine",
]

TASK = ("pde", "task", "grid", "sensors", "noise", "seed", "variant", "family")
"""The names in a record that identify a task."""
CELL = (*TASK, "method", "equireg", "steps", "settings", "given_prior", "samples")
"""The names that identify a cell: a method with its options, on a task."""

Share = Annotated[float, Field(ge=0, le=1.000_01, allow_inf_nan=False)]
Nodes = Annotated[int, Field(ge=4, le=4096)]
Direction = Literal["forward", "inverse", "both"]


@lru_cache(maxsize=1000)
def _check_settings(text: str) -> str:
    try:
        settings = parse_json(text)
    except ValueError as error:
        raise ValueError(f"must be a JSON object in a text, got {text[:60]!r} ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(f"must be a JSON object in a text, got {text[:60]!r}")
    return text


Settings = Annotated[str, AfterValidator(_check_settings)]


def _check_equireg(value: object) -> object:
    if not isinstance(value, bool | str) or value == "":
        raise ValueError(f"must be true, false or the name of a variant, got {value!r}")
    return value


Equireg = Annotated[Any, AfterValidator(_check_equireg)]


class Line(TypedDict):
    """What every line has that states a PDE."""

    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]
    pde: Name


class Provenance(TypedDict):
    """What made a record, as far as an older one states it."""

    commit: NotRequired[Name]
    machine: NotRequired[Name]
    versions: NotRequired[Name]
    command: NotRequired[str]


class FieldScore(Line, Provenance):
    """A method on one field of a truth; errors and spreads are in the field's units."""

    instance: Count
    seed: Count
    method: Name
    field: Name
    error: Amount
    relative_error: Amount
    spread: Amount
    coverage90: Share
    converged: Annotated[int, Field(ge=0, le=1)]
    reduced_chi_squared: Amount
    solver_calls: Count
    seconds: Positive
    rows: Annotated[int, Field(ge=1, le=100)]


class TaskLine(Line):
    """What every line has that states a task and a method."""

    task: Direction
    grid: Nodes
    sensors: Annotated[int, Field(ge=1, le=4096**2)]
    seed: Count
    method: Name


class _CellLine(TaskLine):
    noise: Amount
    variant: NotRequired[Name]
    family: NotRequired[str]
    equireg: NotRequired[Equireg]
    steps: NotRequired[Count]
    settings: NotRequired[Settings | None]
    given_prior: NotRequired[Name | None]
    samples: NotRequired[Annotated[int, Field(ge=2, le=10**6)]]


class _Scored(_CellLine, Provenance):
    prior: Name
    field: Name
    metric: Literal["relative_l2", "error_rate"]
    error: Amount | None
    network_evaluations: Amount | None
    predicted_error: NotRequired[Amount | None]
    sample_error: NotRequired[Amount | None]
    crps: NotRequired[Amount | None]
    crps_pairs: NotRequired[bool]
    coverage60: NotRequired[Share | None]
    coverage90: NotRequired[Share | None]
    reduced_chi_squared: NotRequired[Amount | None]
    solver_calls: NotRequired[Amount | None]
    ranks: NotRequired[list[Share | None]]
    error_spectrum: NotRequired[list[Amount | None]]
    seconds_per_instance: NotRequired[Amount]
    peak_megabytes: NotRequired[Amount]
    brier: NotRequired[Share | None]
    reliability: NotRequired[list[Annotated[list[Amount], Field(min_length=3, max_length=3)]]]


class Instance(_Scored):
    """The score of one field and metric on one instance."""

    instance: Count
    rows: NotRequired[Annotated[int, Field(ge=1, le=100)]]
    spread: NotRequired[Amount | None]
    instance_hash: NotRequired[Name]


class Summary(_Scored):
    """The means over the instances of a cell, for one field and metric."""

    instances: Annotated[int, Field(ge=1, le=10**9)]
    error_se: Amount | None
    over_limit: NotRequired[Amount]
    over_limit_se: NotRequired[Amount | None]
    timed_on: NotRequired[str]


class Baseline(_CellLine):
    """A reconstruction of the baseline; where the method diverged its numbers are nan."""

    instance: Count
    network_evaluations: Count | None
    errors: dict[str, float]
    fields: Annotated[dict[str, list[float]], Field(min_length=1)]
    commit: Name
    machine: Name
    versions: Name


_KNOWN_IF_SOLVED = ("network_evaluations", "predicted_error", "sample_error", "reduced_chi_squared")


def _check_scores(record: Mapping[str, Any]) -> None:
    """Refuse a score whose parts do not fit one another."""
    samples, grid = record.get("samples", 19), record["grid"]
    sizes = {"ranks": samples + 1, "error_spectrum": int(math.log2(grid - 1)) + 2}
    for name, size in sizes.items():
        if name in record and len(record[name]) != size:
            why = f"{samples} samples" if name == "ranks" else f"{grid} nodes per side"
            raise ValueError(
                f"{name} must have {size} numbers for {why}, got {len(record[name])} of them"
            )
    if record["error"] is not None:
        lost = [name for name in _KNOWN_IF_SOLVED if record.get(name, 0) is None]
        lost += ["ranks"] if None in record.get("ranks", ()) else []
        if lost:
            raise ValueError(f"{lost[0]} must be known where error is, got null")
    if "over_limit" in record and "over_limit_se" not in record:
        raise ValueError("over_limit_se must be there where over_limit is, and is missing")


def _check_fields(record: Mapping[str, Any]) -> None:
    """Refuse fields of different sizes."""
    sizes = {name: len(values) for name, values in record["fields"].items()}
    if len(set(sizes.values())) > 1 or 0 in sizes.values():
        raise ValueError(f"fields must all have the same number of values, got {sizes}")


@dataclass(frozen=True)
class Kind:
    """A kind of record.

    Arguments:
        name: of one such record, in words.
        schema: a type that pydantic validates, of one line.
        marks: names that a line of this kind has, and no line of another.
        identity: names whose values identify a line among those of its kind.
        check: refuses with ValueError parts of a line that disagree.
        tagged: the schema is a union by tags.
    """

    name: str
    schema: Any
    marks: tuple[str, ...]
    identity: tuple[str, ...]
    check: Callable[[Mapping[str, Any]], None] | None = None
    tagged: bool = False

    @cached_property
    def _validate(self) -> Callable[[object], object]:
        return TypeAdapter(self.schema).validator.validate_python

    def fits(self, record: object) -> bool:
        """Return whether a parsed line has the marks of this kind."""
        return isinstance(record, dict) and all(mark in record for mark in self.marks)

    def problem(self, record: object) -> str | None:
        """Return in words what is wrong with a parsed line, None if nothing is."""
        try:
            self._validate(record)
            if self.check and isinstance(record, dict):
                self.check(record)
        except ValidationError as error:
            return problem_of(error, tagged=self.tagged)
        except ValueError as error:
            return str(error)
        return None


INSTANCES = Kind(
    "an instance",
    Instance,
    ("metric", "instance"),
    (*CELL, "instance", "field", "metric"),
    _check_scores,
)
SUMMARIES = Kind(
    "a summary", Summary, ("metric", "instances"), (*CELL, "field", "metric"), _check_scores
)
BASELINES = Kind("a baseline", Baseline, ("errors", "instance"), (*CELL, "instance"), _check_fields)
