"""Sensors that are left out of a reconstruction, and predicted by it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy
import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.checks import described
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.parameters import QUANTILE
from pdeinv.posterior import Posterior
from pdeinv.sensors.columns import is_number
from pdeinv.solvers.leave_one_out import floors
from pdeinv.solvers.parameter_columns import with_inferred_noise
from pdeinv.solvers.replicates import seed_of

__all__ = ["Split", "parse_share", "split_readings", "with_predicted"]

_PLACE = ("x", "y", "x2", "y2", "radius")
_COLUMNS = {
    "predicted": "left-out reading predicted from those that were kept",
    "predicted_std": "standard deviation of the prediction, with the reading's own noise",
    "p_value": "two-sided probability of a left-out reading as far from its prediction",
}


class Split(NamedTuple):
    """Which readings are kept and which are left out: positions in the table, rising."""

    kept: np.ndarray
    left: np.ndarray


def parse_share(given: object) -> float | None:
    """Return a share of sensors, given as 0.2 or "20%"; None for None.

    Raises:
        InputError: it is none between 0 and 1.
    """
    if given is None:
        return None
    share = math.nan
    if isinstance(given, str):
        text = given.strip()
        number = text.removesuffix("%").strip()
        if is_number(number):
            share = float(number) / (100 if text.endswith("%") else 1)
    elif isinstance(given, float):
        share = given
    if not 0 < share < 1:
        raise InputError(
            f"holdout must be a share of the sensors above 0 and below 1, got {described(given)}; "
            f"give 0.2 or '20%'"
        )
    return share


def split_readings(table: pd.DataFrame, observation: Observation, share: float, seed: int) -> Split:
    """Return a random split of readings.

    The readings of one field at one place are of one sensor, and stay together, at all times and
    in all experiments. The share is that of the sensors of each field, up to rounding. At least
    one sensor of a field is kept, and so is one with a censored reading.

    Arguments:
        table: the readings.
        observation: the same, as an operator.
        share: of the sensors that are left out.
        seed: of the split.

    Raises:
        InputError: no sensor can be left out.
    """
    sensors = _sensors(table)
    censored = {*sensors[observation.below_or_above.numpy()].tolist()}
    fields = table["field"].to_numpy()
    of_field = {
        name: [*dict.fromkeys(sensors[fields == name].tolist())] for name in dict.fromkeys(fields)
    }
    counts = _counts([len(one) for one in of_field.values()], share)
    generator = seeds.generator(seeds.SOLVER, seed_of(seed, "holdout"))
    chosen: set[int] = set()
    for its, count in zip(of_field.values(), counts, strict=True):
        order = torch.randperm(len(its), generator=generator).tolist()
        free = [its[i] for i in order if its[i] not in censored]
        chosen |= {*free[:count]}
    out = np.array([one in chosen for one in sensors.tolist()])
    if not out.any():
        raise InputError(
            f"holdout must leave out a sensor, got {share:.3g} of {len({*sensors.tolist()})}, of "
            f"which one is kept for each field; give a larger share, or more sensors"
        )
    return Split(np.flatnonzero(~out), np.flatnonzero(out))


def _sensors(table: pd.DataFrame) -> np.ndarray:
    """Return the number of the sensor of each reading, (m,)."""
    keys = ["field", *(name for name in _PLACE if name in table)]
    return table.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()


def _counts(sizes: list[int], share: float) -> list[int]:
    """Return how many are left out of groups, a share of all: by the largest remainders."""
    exact = [min(share * size, size - 1) for size in sizes]
    counts = [math.floor(one) for one in exact]
    missing = max(1, round(share * sum(sizes))) - sum(counts)
    order = sorted(range(len(sizes)), key=lambda i: counts[i] - exact[i])
    for i in order[: max(missing, 0)]:
        counts[i] = min(counts[i] + 1, sizes[i] - 1)
    return counts


def with_predicted(
    result: xr.Dataset, table: pd.DataFrame, left: Observation, posterior: Posterior
) -> xr.Dataset:
    """Return a result with the predictions of the readings that were left out.

    The variables are `holdout_*` (holdout): the columns of the readings, `holdout_predicted`,
    `holdout_predicted_std` and `holdout_p_value`. A prediction is that of the operator on the
    posterior mean; its deviation is that of the fields, of the biases and of the noise. The
    attributes are `holdout_count`, `holdout_within`, the readings within their central 90 %
    intervals, and `holdout_coverage_low` and `holdout_coverage_high`, the interval of 95 % for
    their share by the binomial law.

    Arguments:
        result: of the readings that were kept.
        table: the readings that were left out, with the columns of a result's sensors.
        left: the same, as an operator.
        posterior: of the readings that were kept.

    Reference:
        Clopper & Pearson, *The use of confidence or fiducial limits illustrated in the case of the
        binomial*, Biometrika 26, 1934.
    """
    mean, variance = _predicted(left, posterior)
    noise = with_inferred_noise(left, posterior).noise_std
    std = (variance + noise.square() + floors(left).square()).sqrt()
    tiny = 1e-12 * float(left.values.abs().max())
    z = (left.values - mean).abs() / std.clamp(min=max(tiny, 1e-300))
    columns = {
        "predicted": mean,
        "predicted_std": std,
        "p_value": torch.special.erfc(z / math.sqrt(2)),
    }
    within = int((z <= QUANTILE).sum())
    ends = scipy.stats.binomtest(within, len(left)).proportion_ci(0.95, "exact")
    sensors = {str(name): v.attrs for name, v in result.data_vars.items()}
    readings = {
        f"holdout_{name}": ("holdout", column.to_numpy(), sensors[f"sensor_{name}"])
        for name, column in table.items()
    }
    predictions = {
        f"holdout_{name}": ("holdout", column.numpy(), {"long_name": _COLUMNS[name]})
        for name, column in columns.items()
    }
    return result.assign(readings | predictions).assign_attrs(
        holdout_count=len(left),
        holdout_within=within,
        holdout_coverage_low=float(ends.low),
        holdout_coverage_high=float(ends.high),
    )


def _predicted(left: Observation, posterior: Posterior) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the means and variances (m,) of noise-free readings.

    The deviation of a reading at a point is that of the field there; that of another reading is
    over the samples.
    """
    mean = left(posterior.mean[None].double())[0]
    # Cubic weights of a standard deviation could add up to a negative one
    smooth = replace(left, order=tuple(min(order, 1) for order in left.order))
    variance = smooth(posterior.std[None].double())[0].square()
    others = ~left.at_points
    if bool(others.any()) and len(posterior.samples) > 1:
        read = left.subset(others)(posterior.samples.double())
        variance[others] = read.var(dim=0)
    return _with_biases(left, posterior, mean, variance)


def _with_biases(
    left: Observation, posterior: Posterior, mean: torch.Tensor, variance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Add the biases of the readings: of the posterior where it has them, else of the prior."""
    found, known = posterior.parameters, {}
    if found is not None:
        known = {
            n: (float(m), float(s))
            for n, m, s in zip(found.names, found.mean, found.std, strict=True)
        }
    for name, column in zip(left.common_names, left.shared.T, strict=False):
        its = column != 0
        bias, std = known.get(name, (0.0, None))
        mean = mean + bias * its
        variance = variance + (column.square() if std is None else std**2 * its)
    return mean, variance
