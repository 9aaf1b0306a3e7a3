"""The kinds of records that the studies of unknown numbers, alarms and calibration write."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import NotRequired

from pdeinv.benchmarks.kinds import Kind, Line, Nodes, Provenance, Share
from pdeinv.schema import Amount, Count, Name, Number, Positive

__all__ = ["ALARM_RATES", "ASSUMED", "ASSUMPTION_KINDS", "CALIBRATIONS", "MODEL_CHOICES"]

Flag = Annotated[int, Field(ge=0, le=1)]
Readings = Annotated[int, Field(ge=1, le=4096**2)]


class _Reconstructed(Line, Provenance):
    """A reconstruction of a truth of a case, with what it takes as known; its seconds are those
    of one processor."""

    case: Name
    setting: Name
    instance: Count
    seed: Count
    method: Name
    grid: Nodes
    sensors: Readings
    seconds: Positive


class Assumed(_Reconstructed):
    """One field of a reconstruction; null where it failed.

    `numbers` has the truth (null where it is of another kind), the mean and the ends of the 90 %
    interval of each number that was inferred.
    """

    field: Name
    measure: Literal["relative_l2", "error_rate"]
    error: Amount | None
    coverage90: Share | None
    rank_coverage90: Share | None
    alarm: str
    numbers: dict[str, Annotated[list[Number | None], Field(min_length=4, max_length=4)]]
    true_numbers: dict[str, Number]
    converged: Flag
    rows: Annotated[int, Field(ge=1, le=100)]


class AlarmRate(_Reconstructed):
    """Whether a table with one wrong reading, or none, gives an alarm."""

    size: Amount  # of the error of that reading, in predicted standard deviations
    alarm: str
    found: Flag  # whether the wrong reading is the worst
    p_value: NotRequired[Share]


class ModelChoice(_Reconstructed):
    """The evidence of a table under one of two priors."""

    log_evidence: Number
    right: Flag


class Calibrated(_Reconstructed):
    """A calibration of a problem against truths."""

    draws: Count
    p_value: Share
    coverage50: Share
    coverage90: Share
    verdict: str


ASSUMED = Kind(
    "a reconstruction with numbers that are assumed or inferred",
    Assumed,
    ("true_numbers",),
    ("case", "setting", "grid", "sensors", "instance", "field"),
)
ALARM_RATES = Kind(
    "a table with a wrong reading",
    AlarmRate,
    ("size",),
    ("case", "setting", "grid", "sensors", "size", "instance"),
)
MODEL_CHOICES = Kind(
    "the evidence of a prior",
    ModelChoice,
    ("log_evidence", "right"),
    ("case", "setting", "grid", "sensors", "instance"),
)
CALIBRATIONS = Kind(
    "a calibration",
    Calibrated,
    ("verdict",),
    ("case", "setting", "grid", "sensors", "instance", "draws"),
)
ASSUMPTION_KINDS = (ASSUMED, ALARM_RATES, MODEL_CHOICES, CALIBRATIONS)
"""All kinds of this module."""
