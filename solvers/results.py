"""The result of a reconstruction as a dataset: fields, readings, and what was taken as known."""

from __future__ import annotations

import json
from importlib.metadata import version

import numpy as np
import pandas as pd
import xarray as xr

from pdeinv.datasets import PDE, Problem
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.sensors import Sensors
from pdeinv.solvers.alarms import with_predictions
from pdeinv.solvers.assumptions import assumptions, prior_in_words
from pdeinv.solvers.base import Solver
from pdeinv.solvers.parameter_columns import with_inferred_noise, with_priors
from pdeinv.solvers.site import with_site

__all__ = ["reading_columns", "result_of"]

_COLUMNS = {
    "field": "field that the sensor reads",
    "x": "x coordinate of the sensor",
    "y": "y coordinate of the sensor",
    "value": "reading, in the units of its field",
    "noise_std": "standard deviation of the reading's noise, in the units of its field; its "
    "posterior mean where it was inferred",
    "weight": "weight of the reading: its noise has the variance noise_std² / weight",
    "bias_std": "prior standard deviation of the bias of the reading's instrument; nan without",
    "experiment": "experiment of the reading; empty for a field that all share",
    "time": "time of the reading; nan for a field that does not change",
    "kind": "what is read: a point, a mean over a disc or a line, or a difference",
    "radius": "radius of the disc over which the reading is the mean; nan for others",
    "x2": "x coordinate of the other end of a line or a difference; nan for others",
    "y2": "y coordinate of the other end of a line or a difference; nan for others",
    "censored": "left where the reading is below the value, right where it is above; else empty",
    "instrument": "instrument of the reading; empty where it is not stated",
    "replicate": "replicate of the reading",
}


def result_of(
    posterior: Posterior,
    solver: Solver,
    pde: PDE,
    prior: Prior,
    sensors: Sensors,
    observation: Observation,
    seed: int,
    sources: dict[str, str],
) -> xr.Dataset:
    """Return the result of a reconstruction: the fields, the readings, the site and what was taken
    as known.

    Arguments:
        posterior: of the solver.
        solver, pde, prior: what was used.
        sensors: the readings as a table, and `observation` as an operator.
        seed: of the reconstruction.
        sources: further attributes: the `file.py:name` of each part that comes from a file, and the
            problem.
    """
    label = str(posterior.record.get("prior", solver.prior_used))
    noise_model = posterior.record.get("noise_model", "")
    result = posterior.to_xarray(
        pde=pde.name,
        equation=pde.equation,
        pde_parameters=json.dumps(pde.json_parameters(describe=True)),
        grid_kind=pde.grid_kind,
        extent=json.dumps(pde.domain.extent),
        unit=pde.domain.unit,
        prior=label or prior_in_words(pde, prior),
        assumed=assumptions(pde, prior, label, observation, str(noise_model)),
        interpolation_order=json.dumps({f.name: f.interpolation_order for f in pde.fields}),
        seed=seed,
        **sources,
        pdeinv_version=version("pdeinv"),
    )
    scale = posterior.record.get("readings_scale")
    problem = Problem.of(pde, prior)
    result = with_priors(result, problem, observation, None if scale is None else float(scale))
    table = reading_columns(sensors, with_inferred_noise(observation, posterior), pde)
    if posterior.weight is not None:
        table = table.assign(weight=posterior.weight.numpy())
    result = result.assign(
        {
            f"sensor_{c}": ("sensor", table[c].to_numpy(), {"long_name": _COLUMNS[c]})
            for c in table.columns
        }
    )
    if "time" in result.coords:
        result["time"].attrs = {"long_name": "time", "units": pde.time_units}
    return with_site(with_predictions(result, posterior), pde)


def reading_columns(sensors: Sensors, observation: Observation, pde: PDE) -> pd.DataFrame:
    """Return the readings as a result has them: with the physical names of their fields, and their
    noise as it was used."""
    read = [pde.fields[channel] for channel in observation.channel.tolist()]
    columns = {"field": [f.name for f in read], "noise_std": observation.noise_std.numpy()}
    if "instrument" in sensors.table:
        std = 0.0 if observation.common is None else observation.common.norm(dim=1).numpy()
        columns["bias_std"] = np.where(std > 0, std, np.full(len(read), np.nan))
    if pde.experiments:
        columns["experiment"] = [f.experiment for f in read]
    if any(f.time is not None for f in pde.fields):
        columns["time"] = np.array([np.nan if f.time is None else f.time for f in read])
    return sensors.table.drop(columns=["experiment", "time"], errors="ignore").assign(**columns)
