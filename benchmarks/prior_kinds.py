"""The kinds of records that measure trained priors, neural operators and regressors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from typing_extensions import NotRequired, TypedDict

from pdeinv.benchmarks.kinds import Kind
from pdeinv.schema import Amount, Count, Name, Number, Positive, problem_of

__all__ = ["PRIORS", "PRIOR_ABLATIONS", "Stated"]

Preconditioned = Literal["gaussian", "edm"]
Errors = Annotated[list[Positive], Field(min_length=1, max_length=1000)]
ErrorsByField = Annotated[dict[str, Errors], Field(min_length=1)]


class _Line(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]
    prior: Name
    pde: Name


class _Training(TypedDict):
    __pydantic_config__ = ConfigDict(strict=True, extra="allow")  # type: ignore[misc]
    grid: Annotated[int, Field(ge=4, le=4096)]
    symmetry: bool
    samples: Count
    data: str
    fields_seen: Count
    batch: Count
    seconds: Amount


class Stated(_Training):
    """What the file of a trained model states about its training."""

    history: Annotated[list[dict[str, Any]], Field(min_length=1)]


class _Trained(_Line):
    fields: Annotated[list[Name], Field(min_length=1, max_length=2)]
    training: _Training
    machine: Name
    milliseconds_per_field: Amount


class _Consistency(TypedDict):
    denoised: list[Amount]
    sampled: list[Amount]
    states: list[Amount]


class _Spectrum(TypedDict):
    last_wavenumber: Count
    worst_ratio: Amount
    at: Count
    within_15_percent: Amount


class _Compared(TypedDict):
    data: Number
    samples: Number
    standard_errors: Number


class _Statistics(TypedDict):
    samples: Annotated[int, Field(ge=2, le=10**9)]
    steps: Annotated[int, Field(ge=1, le=10**9)]
    fields: dict[str, dict[str, _Compared]]


class _Nearest(TypedDict):
    training_fields: Annotated[int, Field(ge=1, le=10**9)]
    symmetries: Annotated[int, Field(ge=1, le=1000)]
    translations: bool
    to_samples: Annotated[list[Amount], Field(min_length=2)]
    to_fresh: Annotated[list[Amount], Field(min_length=2)]


class Diffusion(_Trained):
    """A diffusion prior; `spectrum_N` and `residual_N` have the nodes of a grid in their names."""

    curve: list[Annotated[list[Number], Field(min_length=2, max_length=2)]]
    preconditioning: Preconditioned
    levels: Errors
    errors: ErrorsByField
    gaussian_errors: NotRequired[ErrorsByField]
    exact_errors: NotRequired[ErrorsByField]
    consistency: _Consistency
    statistics: NotRequired[_Statistics]
    nearest: NotRequired[_Nearest]


class Operator(_Trained):
    """A neural operator, with its error by the number of nodes."""

    curve: list[Annotated[list[Number], Field(min_length=2, max_length=2)]]
    relative_l2: dict[str, Amount]


class _SensorErrors(TypedDict):
    sensors: Count
    forward: Amount
    inverse: Amount


class Regressor(_Trained):
    """A regressor, with its errors by the number of nodes."""

    curve: list[Annotated[list[Number], Field(min_length=3, max_length=3)]]
    sensor_errors: dict[str, _SensorErrors]


class Ablation(_Line):
    """The errors of one of several priors that were trained on one dataset."""

    fields: Count
    preconditioning: Preconditioned
    symmetry: bool
    seconds: Amount
    fields_seen: Count
    data: str
    samples: Count
    levels: Errors
    errors: ErrorsByField


def _measured(record: object) -> str:
    names = record if isinstance(record, dict) else {}
    found = (name for name in ("relative_l2", "sensor_errors") if name in names)
    return next(found, "levels")


Trained = Annotated[
    Annotated[Diffusion, Tag("levels")]
    | Annotated[Operator, Tag("relative_l2")]
    | Annotated[Regressor, Tag("sensor_errors")],
    Discriminator(_measured),
]
_BY_GRID: dict[str, TypeAdapter[Any]] = {
    "spectrum": TypeAdapter(dict[str, _Spectrum]),
    "residual": TypeAdapter(Amount),
}


def _check_levels(record: Mapping[str, Any]) -> None:
    """Refuse errors that are not one for each level, of each field."""
    count = len(record["levels"])
    for name in ("errors", "gaussian_errors", "exact_errors"):
        for field, errors in record.get(name, {}).items():
            if len(errors) != count:
                raise ValueError(
                    f"{name}.{field} must have {count} numbers, one for each level, got "
                    f"{len(errors)} of them"
                )


def _check_trained(record: Mapping[str, Any]) -> None:
    """Refuse measures of a diffusion prior that are not of its fields and grids."""
    if _measured(record) != "levels":
        return
    _check_levels(record)
    fields, grid = record["fields"], record["training"]["grid"]
    by_field = [n for n in ("errors", "gaussian_errors", "exact_errors") if n in record]
    for name in by_field:
        if record[name].keys() != set(fields):
            raise ValueError(
                f"{name} must be of the fields {', '.join(fields)}, got {', '.join(record[name])}"
            )
    for name, values in record["consistency"].items():
        if len(values) != len(fields):
            raise ValueError(
                f"consistency.{name} must have {len(fields)} numbers, got {len(values)} of them"
            )
    for what, adapter in _BY_GRID.items():
        names = [f"{what}_{n}" for n in (grid, 2 * grid)]
        for name in names if what == "spectrum" or names[0] in record else ():
            if name not in record:
                raise ValueError(f"{name} is missing, and the training was on {grid} nodes")
            try:
                adapter.validate_python(record[name], strict=True)
            except ValidationError as error:
                raise ValueError(f"{name}: {problem_of(error, 'it')}") from None


PRIORS = Kind("a trained model", Trained, ("training",), ("prior",), _check_trained, tagged=True)
PRIOR_ABLATIONS = Kind(
    "a prior of an ablation", Ablation, ("levels", "fields_seen"), ("prior",), _check_levels
)
