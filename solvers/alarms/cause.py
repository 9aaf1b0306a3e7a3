"""One cause of an alarm, and the evidence that it gains."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.solvers.alarms.model import Tried
from pdeinv.unknown import END

__all__ = ["Cause", "of_number"]


@dataclass(frozen=True)
class Cause:
    """What would mend an alarm.

    Arguments:
        kind: "units", "noise", "readings", "prior" or "physics".
        name: of the field or of the number.
        value: the factor or the number that mends it; of readings, how many are wrong.
        gain: logarithm of the evidence that it gains, less what its freedom costs.
        text: the cause in words, with its remedy.
        log_evidence: with this change, of readings that are linearised without it.
        changed: returns the problem and the readings with this change, and what the logarithm of
            the density of the stated readings has more than that of these; None where they need
            not be linearised again.
        predictions: of wrong readings by their positions in the table: what the others predict and
            its standard deviation, with the reading's noise.
        settled: whether the readings with this change are, as of `LinearisedReadings`.
    """

    kind: str
    name: str
    value: float
    gain: float
    text: str
    log_evidence: float = math.nan
    changed: Callable[[], tuple[Problem, Observation, float]] | None = None
    predictions: Mapping[int, tuple[float, float]] = field(default_factory=dict)
    settled: bool = True


def of_number(found: Tried, base: float, m: int, width: float) -> float:
    """Return the gain of one number that is fitted to m readings: that of its evidence less
    log(m) / 2, as of Schwarz, and less what its distance from the stated one costs.

    Arguments:
        found: the best factor.
        base: the evidence with the stated number.
        m: readings.
        width: factor either way that likely holds the number; inf costs nothing.

    Reference:
        Schwarz, *Estimating the dimension of a model*, Annals of Statistics 6, 1978.
    """
    far = 0.0 if math.isinf(width) else END * math.log(max(found.value, 1e-300)) / math.log(width)
    return found.log_evidence - base - math.log(max(m, 1)) / 2 - far**2 / 2
