"""The kinds of records that the studies of solvers, limits and numerics write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import NotRequired

from pdeinv.benchmarks.assumption_kinds import ASSUMPTION_KINDS
from pdeinv.benchmarks.crash_kinds import CRASHES
from pdeinv.benchmarks.family_kinds import FAMILY_KINDS
from pdeinv.benchmarks.kinds import (
    Kind,
    Line,
    Nodes,
    Provenance,
    Share,
    TaskLine,
)
from pdeinv.benchmarks.memory_kinds import PEAKS
from pdeinv.benchmarks.plan_kinds import PLANS
from pdeinv.benchmarks.problem_kinds import PROBLEM_KINDS
from pdeinv.benchmarks.quantity_kinds import QUANTITIES
from pdeinv.benchmarks.soak_kinds import SOAKS
from pdeinv.benchmarks.speed_kinds import SPEEDS
from pdeinv.benchmarks.testing_kinds import COVERED, GENERATED, MUTATIONS
from pdeinv.benchmarks.worker_kinds import WORKERS
from pdeinv.schema import Amount, Count, Name, Number, Positive

__all__ = [
    "ANY_EXPERIMENTS",
    "EQUIVARIANCES",
    "GAUSSIAN_LIMITS",
    "NUMERICS",
    "REFERENCES",
    "STUDY_KINDS",
    "TIMINGS",
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
    *PROBLEM_KINDS,
    *ASSUMPTION_KINDS,
    *FAMILY_KINDS,
    PLANS,
    QUANTITIES,
    CRASHES,
    WORKERS,
    SOAKS,
    SPEEDS,
    GENERATED,
    COVERED,
    MUTATIONS,
    PEAKS,
)
"""All kinds of studies."""
