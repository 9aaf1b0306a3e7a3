"""What a result has of inferred numbers besides their posterior: their priors, and the noise."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.problem import Problem
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.unknown import END, Unknown

__all__ = ["ranges_of", "with_inferred_noise", "with_priors"]


def with_inferred_noise(observation: Observation, posterior: Posterior) -> Observation:
    """Return readings with the posterior means of unknown standard deviations of their noise."""
    found = posterior.parameters
    if found is None or not observation.unknown_noise:
        return observation
    return observation.with_noise(dict(zip(found.names, found.mean.tolist(), strict=True)))


def ranges_of(
    problem: Problem, observation: Observation, scale: float | None
) -> dict[str, Unknown]:
    """Return the ranges of all numbers that are inferred with the fields, by their names: those of
    the problem, of the noise and of biases.

    Arguments:
        problem, observation: with the unknown numbers.
        scale: the size of the coefficient that the readings imply, where it was used.
    """
    if scale is not None and isinstance(problem.prior, CoefficientPrior):
        problem = problem.in_units(scale)
    ranges = {one.name: one.unknown for one in problem.unknowns} | dict(observation.unknown_noise)
    for name, column in zip(observation.common_names, observation.shared.T, strict=False):
        end = END * float(column.abs().max())
        if end > 0:
            ranges[name] = Unknown(-end, end)
    return ranges


def with_priors(
    result: xr.Dataset, problem: Problem, observation: Observation, scale: float | None
) -> xr.Dataset:
    """Return a result with `parameter_prior_low` and `parameter_prior_high` (parameter), the ranges
    of its inferred numbers, and the attribute `parameter_laws`, their laws by name.

    A range is nan where it is in units of a scale that is not given.

    Arguments:
        result: with the dimension `parameter`, or without.
        problem, observation: with the unknown numbers.
        scale: as of `ranges_of`.
    """
    if "parameter" not in result.dims:
        return result
    ranges = ranges_of(problem, observation, scale)
    known = [ranges.get(str(name)) for name in result["parameter"].values]
    ends = [(np.nan, np.nan) if u is None or u.of else (u.low, u.high) for u in known]
    columns = dict(zip(("low", "high"), np.transpose(ends), strict=True))
    laws = {name: unknown.law for name, unknown in ranges.items()}
    return result.assign(
        {
            f"parameter_prior_{end}": (
                "parameter",
                column,
                {"long_name": f"{end} end of the range of the parameters beforehand"},
            )
            for end, column in columns.items()
        }
    ).assign_attrs(parameter_laws=json.dumps(laws))
