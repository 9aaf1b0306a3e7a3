"""The kinds of records of studies of problems of one's own, such as the aquifer."""

from __future__ import annotations

from pdeinv.benchmarks.kinds import FieldScore, Kind, Nodes
from pdeinv.schema import Amount, Count, Name, Positive

__all__ = [
    "AQUIFERS",
    "BASINS",
    "BLACK_BOXES",
    "FLOW_SENSORS",
    "FURTHER_READINGS",
    "PROBLEM_KINDS",
    "PUMPING_TESTS",
    "TWO_INCLUSIONS",
    "TWO_PUMPING_TESTS",
    "UNCERTAIN_SIDES",
]


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
PROBLEM_KINDS = (
    *(AQUIFERS, BASINS, BLACK_BOXES, PUMPING_TESTS, TWO_PUMPING_TESTS),
    *(FLOW_SENSORS, FURTHER_READINGS, TWO_INCLUSIONS, UNCERTAIN_SIDES),
)
"""All kinds of these studies."""
