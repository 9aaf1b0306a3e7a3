"""Gross errors in a few readings, with a robust noise and without.

`pdeinv study robust-readings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from pdeinv.benchmarks.studies.assumed_cases import Case, Reads, Setting, Size, draw_case
from pdeinv.coefficients import LogNormal
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.sensors import Sensors

__all__ = ["CASES", "SHARE", "with_outliers"]

SHARE = 0.05
"""Of the readings that are wrong."""
_ERRORS = (10.0, 100.0)  # in standard deviations of the noise, of either sign


def with_outliers(sensors: Sensors, instance: int) -> Sensors:
    """Return sensors of which a share has errors of 10 to 100 standard deviations, 1 at least."""
    rng, m = np.random.default_rng([instance, len(sensors)]), len(sensors)
    wrong = rng.choice(m, max(1, round(SHARE * m)), replace=False)
    low, high = np.log(_ERRORS)
    size = np.exp(rng.uniform(low, high, len(wrong))) * rng.choice([-1.0, 1.0], len(wrong))
    values = sensors.table.value.to_numpy(copy=True)
    values[wrong] += size * sensors.table.noise_std.to_numpy()[wrong]
    return Sensors(sensors.table.assign(value=values))


def _case(given: Problem, size: Size, instance: int) -> Case:
    spoil = partial(with_outliers, instance=instance)
    settings = {
        "without outliers": Setting(given),
        "outliers": Setting(given, spoil=spoil),
        "outliers, robust": Setting(given, options={"robust": True}, spoil=spoil),
        "without outliers, robust": Setting(given, options={"robust": True}),
    }
    reads = [Reads(given.physics.solution_field.name, size.sensors)]
    return draw_case(given, reads, size, instance, settings)


CASES: Mapping[str, Callable[[Size, int], Case]] = {
    "poisson": partial(_case, Problem.named("poisson")),
    "helmholtz": partial(_case, Problem.named("helmholtz")),
    "darcy, log-normal": partial(_case, Problem(pde_by_name("darcy"), LogNormal(1.0, 1.0, 0.2))),
    "navier-stokes": partial(_case, Problem.named("navier-stokes")),
    "darcy, two phases": partial(_case, Problem.named("darcy")),
}
"""A truth of each physics: a function of the size and of the number of the truth."""
