"""The kinds of records that the studies of solvers, limits and numerics write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired

from pdeinv.benchmarks.assumption_kinds import ASSUMPTION_KINDS
from pdeinv.benchmarks.family_kinds import FAMILY_KINDS
from pdeinv.benchmarks.kinds import (
    FieldScore,
    Kind,
    Line,
    Nodes,
    Provenance,
    Share,
    TaskLine,
)
from pdeinv.benchmarks.plan_kinds import PLANS
from pdeinv.benchmarks.quantity_kinds import QUANTITIES
from pdeinv.schema import Amount, Count, Name, Number, Positive

__all__ = [
    "ANY_EXPERIMENTS",
    "AQUIFERS",
    "BASINS",
    "BLACK_BOXES",
    "EQUIVARIANCES",
    "FLOW_SENSORS",
    "FURTHER_READINGS",
    "GAUSSIAN_LIMITS",
    "NUMERICS",
    "PUMPING_TESTS",
    "REFERENCES",
    "STUDY_KINDS",
    "TIMINGS",
    "TWO_INCLUSIONS",
    "TWO_PUMPING_TESTS",
    "UNCERTAIN_SIDES",
]


class GaussianLimit(TaskLine, Provenance):
    """A diffusion solver where the posterior is known."""

    steps: Annotated[int, Field(ge=1, le=10**9)]
    instance: Count
    error: Amount
    limit: Amount
    distance: Amount
    network_evaluations: Count
    seconds: Amount


class AnyExperiment(Line, Provenance):
    """A solver with a learned prior of the coefficient, or the limit, on an experiment."""

    experiment: Name
    method: Name
    solver: Name
    prior: Name
    grid: Nodes
    sensors: Annotated[int, Field(ge=1, le=4096**2)]
    noise: Amount
    seed: Count
    instance: Count
    samples: Annotated[int, Field(ge=2, le=10**6)]
    coefficient_error: Amount
    solution_error: Amount
    error_rate: NotRequired[Share]
    network_evaluations: Count
    solver_calls: Count
    seconds: Amount


class Timing(TaskLine):
    """Seconds and memory of a method on one instance."""

    prior: Name | None
    steps: Count
    published_steps: Count
    seconds: Positive
    network_evaluations: Count
    peak_megabytes: Annotated[int, Field(ge=1, le=10**9)]
    machine: Name


class Reference(TaskLine, Provenance):
    """A solver against long Markov chains, in per cent of the truth's norm."""

    noise: Positive
    variant: NotRequired[Name]
    instance: Count
    chains: Annotated[int, Field(ge=1, le=10**6)]
    steps: Count
    r_hat: Annotated[list[float], Field(min_length=2, max_length=2)]  # nan where chains stand still
    starts_apart: float
    error_solver: Amount
    error_chains: Amount
    distance: Amount
    monte_carlo_chains: Amount
    monte_carlo_solver: Amount
    spread_solver: Amount
    spread_chains: Amount


class Aquifer(FieldScore):
    """A method on one truth of the aquifer."""

    log_std: Positive


class PumpingTest(FieldScore):
    """A method on one truth of the pumping test."""

    times: Count


class Basin(FieldScore):
    """A method on one truth of the basin."""

    active: Count  # nodes


class TwoPumpingTests(FieldScore):
    """A method on one truth of two pumping tests, with the readings of an arm of the study."""

    arm: Name
    heads: Count  # readings of the head


class FurtherReadings(FieldScore):
    """One truth of a case, with the further readings of an arm."""

    case: Name
    arm: Name


class UncertainSides(FieldScore):
    """One truth of the aquifer with an uncertain side and recharge, in an arm of the study."""

    arm: Name


class FlowSensors(FieldScore):
    """One truth of the benchmark's flow, from readings of velocities or of vorticities."""

    reads: Name
    readings: Count  # in all
    grid: Nodes


class BlackBox(FieldScore):
    """A method on one truth of the aquifer, with a number of solves."""

    budget: Count  # 0 for as many as the method takes


class TwoInclusions(FieldScore):
    """A method on one medium of two inclusions."""

    contrast_error: Amount  # over the norm of m - 1


class Numerics(Line, Provenance):
    """A solver's error, a statistic of generated fields, or the seconds of their generation."""

    measure: Name
    grid: Nodes
    instances: Count
    seed: Count
    value: Number
    reference: NotRequired[Name]
    published: NotRequired[Number]
    relative_difference: NotRequired[Number]
    rows: NotRequired[Annotated[int, Field(ge=1, le=100)]]


class Equivariance(Line, Provenance):
    """How far a function is from equivariance, on the fields of a PDE and off them."""

    function: Name
    grid: Nodes
    fields: Annotated[int, Field(ge=1, le=10**9)]
    on: Amount
    off: Annotated[dict[str, Amount], Field(min_length=1)]
    ratio: dict[str, Amount]
    area: dict[str, Share]


def _check_kinds(record: Mapping[str, Any]) -> None:
    """Refuse measures that are of different kinds of fields."""
    for name in ("ratio", "area"):
        if record[name].keys() != record["off"].keys():
            raise ValueError(
                f"{name} must have the names of off, {', '.join(record['off'])}, got "
                f"{', '.join(record[name]) or 'none'}"
            )


REFERENCES = Kind(
    "a comparison with chains",
    Reference,
    ("chains",),
    ("pde", "task", "grid", "sensors", "noise", "seed", "instance", "chains", "steps", "variant"),
)
GAUSSIAN_LIMITS = Kind(
    "a run under a Gaussian prior",
    GaussianLimit,
    ("limit",),
    ("pde", "grid", "task", "method", "steps", "instance"),
)
ANY_EXPERIMENTS = Kind(
    "a run on an experiment",
    AnyExperiment,
    ("experiment",),
    ("experiment", "grid", "sensors", "method", "instance"),
)
TIMINGS = Kind(
    "a timing",
    Timing,
    ("published_steps",),
    ("pde", "task", "method", "prior", "grid", "sensors"),
)
AQUIFERS = Kind(
    "a reconstruction of the aquifer",
    Aquifer,
    ("log_std",),
    ("log_std", "instance", "method", "field"),
)
BLACK_BOXES = Kind(
    "a reconstruction with a budget",
    BlackBox,
    ("budget",),
    ("method", "budget", "instance", "field"),
)
PUMPING_TESTS = Kind(
    "a reconstruction of a pumping test",
    PumpingTest,
    ("times",),
    ("method", "instance", "field"),
)
BASINS = Kind(
    "a reconstruction of the basin",
    Basin,
    ("active",),
    ("method", "instance", "field"),
)
TWO_PUMPING_TESTS = Kind(
    "a reconstruction of two pumping tests",
    TwoPumpingTests,
    ("heads",),
    ("arm", "method", "instance", "field"),
)
FURTHER_READINGS = Kind(
    "a reconstruction with further readings",
    FurtherReadings,
    ("case", "arm"),
    ("case", "arm", "method", "instance", "field"),
)
UNCERTAIN_SIDES = Kind(
    "a reconstruction with an uncertain side",
    UncertainSides,
    ("arm",),
    ("arm", "method", "instance", "field"),
)
FLOW_SENSORS = Kind(
    "a reconstruction of a flow",
    FlowSensors,
    ("reads",),
    ("grid", "readings", "reads", "method", "instance", "field"),
)
TWO_INCLUSIONS = Kind(
    "a reconstruction of two inclusions",
    TwoInclusions,
    ("contrast_error",),
    ("method", "instance", "field"),
)
NUMERICS = Kind(
    "a measure of the numerics",
    Numerics,
    ("measure", "value"),
    ("measure", "pde", "grid", "instances", "seed", "reference"),
)
EQUIVARIANCES = Kind(
    "an equivariance",
    Equivariance,
    ("function",),
    ("pde", "function", "grid", "fields", "seed"),
    _check_kinds,
)
STUDY_KINDS = (
    *(REFERENCES, GAUSSIAN_LIMITS, ANY_EXPERIMENTS, TIMINGS, NUMERICS, EQUIVARIANCES),
    *(AQUIFERS, BASINS, BLACK_BOXES, PUMPING_TESTS, TWO_PUMPING_TESTS),
    *(FLOW_SENSORS, FURTHER_READINGS, TWO_INCLUSIONS, UNCERTAIN_SIDES),
    *ASSUMPTION_KINDS,
    *FAMILY_KINDS,
    PLANS,
    QUANTITIES,
)
"""All kinds of studies."""
