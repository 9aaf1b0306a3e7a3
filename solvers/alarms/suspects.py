"""Readings of little weight in a robust result, by their rows."""

from __future__ import annotations

from pdeinv.datasets.base import PDE
from pdeinv.errors import warn_caller
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.sensors import Sensors
from pdeinv.solvers.alarms.of_numbers import outside_their_ranges
from pdeinv.solvers.misfit import MisfitWarning
from pdeinv.solvers.robust import SUSPECT

__all__ = ["judge_weights"]

_MANY = 0.25  # share of the readings beyond which these are not the cause


def judge_weights(
    posterior: Posterior, pde: PDE, prior: Prior, sensors: Sensors, observation: Observation
) -> None:
    """Record the rows of the `suspects`, whose weight is below `SUSPECT`, and warn where they are
    so many that the model rather than the readings is wrong, or where an inferred number is far
    outside its range.

    The noise of a suspect explains its misfit, so that the tests of other results say nothing here.

    Arguments:
        posterior: with the weights of the readings.
        pde, prior: of the result.
        sensors: the table of the readings, and `observation` as an operator.
    """
    assert posterior.weight is not None
    rows = (sensors.rows + sensors.first_row)[posterior.weight.numpy() < SUSPECT]
    count, m = len(rows), len(sensors)
    posterior.record["misfit_test"] = "none: Student-t noise explains gross errors"
    posterior.record["alarm"] = "none"
    posterior.record["suspects"] = f"rows {', '.join(map(str, rows))}" if count else "none"
    many = (
        f"suspects must be a few of the readings, got {count} of {m} with a weight below "
        f"{SUSPECT:g}; look at the result without robust, which names what does not fit"
    )
    outside = outside_their_ranges(posterior, pde, prior, observation)
    if message := "; ".join(filter(None, (many if count > _MANY * m else "", outside))):
        posterior.record["alarm"] = message
        warn_caller(message, MisfitWarning)
