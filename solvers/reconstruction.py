"""The door: from a table of sensors and the name of a PDE to both fields, as an xarray Dataset."""

from __future__ import annotations

import json
import os
import warnings
from importlib.metadata import version
from typing import cast

import numpy as np
import pandas as pd
import xarray as xr

from pdeinv import seeds
from pdeinv.checks import Bounds, described, integer, path_of
from pdeinv.datasets import PDE, pde_by_name
from pdeinv.datasets.limits import check_solves
from pdeinv.errors import InputError
from pdeinv.external import source_of
from pdeinv.grid import LARGEST
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors import load
from pdeinv.priors.base import Prior
from pdeinv.sensors import Sensors
from pdeinv.solvers.base import Solver, check_memory
from pdeinv.solvers.selection import solver_for, with_options

__all__ = ["MisfitWarning", "reconstruct"]

_COARSEST = 16
_SEEDS = 2**32
_COLUMNS = {
    "field": "field that the sensor reads",
    "x": "x coordinate of the sensor",
    "y": "y coordinate of the sensor",
    "value": "reading, in the units of its field",
    "noise_std": "standard deviation of the reading's noise, in the units of its field",
}


class MisfitWarning(UserWarning):
    """The result does not fit the sensors within their noise.

    The message names the likely cause: the sensors, the PDE or the noise for most solvers, too few
    steps for a guided sampler.
    """


def reconstruct(
    sensors: Sensors | str | os.PathLike | pd.DataFrame | xr.Dataset,
    pde: str | PDE,
    *,
    grid: int = 64,
    solver: str | Solver = "auto",
    prior: Prior | str | os.PathLike | None = None,
    equireg: bool = False,
    steps: int | None = None,
    preset: str | None = None,
    n_samples: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> xr.Dataset:
    """Reconstruct the coefficient and the solution of a PDE from point sensors, with uncertainty.

    Arguments:
        sensors: a table with the columns field, x, y, value and, optionally, noise_std; or its CSV
            file.
        pde: `"poisson"`, `"helmholtz"`, `"darcy"`, `"navier-stokes"`, "file.py:Class", an instance.
        grid: nodes per side of the result, at least 16.
        solver: a name in `pdeinv.solvers.SOLVERS`, an instance, `"file.py:Class"`, or `"auto"`: the
            first that accepts the PDE and the prior (see `pdeinv.solvers.selection`).
        prior: an `Ensemble`, a prior of `pdeinv.priors`, its file, or the name of a shipped one;
            None for the PDE's own random coefficient, or the shipped prior of the PDE.
        equireg: add the guidance of `EquiReg()` to a solver by diffusion.
        steps, preset: of a solver by diffusion: as many as published, and "default", if not given.
        n_samples: posterior samples in the result.
        seed: the same seed gives the same result; there are 500,000,000 different ones.
        progress: show a bar for work of more than two seconds.

    Returns:
        Dataset with `{field}_mean`, `{field}_std` (y, x) and `{field}_samples` (sample, y, x) of
        both fields, `{field}_probability` (y, x) of the high of two values, the sensors as
        `sensor_*` (sensor), and attributes that record the run. `reduced_chi_squared` is near 1
        where the sensors, their noise and the prior agree.

    Raises:
        InputError: the input cannot be used, with the row or the value and the remedy.
        NumericalError: the computation failed on valid input.

    Example:
        >>> import pandas as pd, pdeinv
        >>> table = pd.DataFrame({"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]})
        >>> sorted(pdeinv.reconstruct(table, "poisson", grid=16, n_samples=2).data_vars)[:2]
        ['potential_mean', 'potential_samples']
    """
    pde = _resolve_pde(pde)
    used = _resolve_prior(prior)
    chosen = with_options(solver_for(solver, pde, used), equireg, steps, preset)
    chosen.check(pde, used)
    grid, n_samples, seed = _checked_numbers(grid, n_samples, seed)
    check_solves(pde, pde.grid(grid))
    table = Sensors.read(sensors)
    _check_result_memory(pde, grid, n_samples)
    observation = table.observation(pde, pde.grid(grid))
    rng = seeds.generator(seeds.SOLVER, seed)
    found = chosen(pde, used, observation, n_samples=n_samples, generator=rng, progress=progress)
    _warn_of_misfit(chosen, found, len(table), pde)
    return _dataset(found, chosen, pde, used, table, observation, seed)


def _resolve_pde(pde: str | PDE) -> PDE:
    pde = pde_by_name(pde) if isinstance(pde, str) else pde
    if not isinstance(pde, PDE):
        raise InputError(
            f"pde must be a name or a PDE, got {described(pde)}; give an instance of a class of "
            f"pdeinv.datasets"
        )
    return pde


def _resolve_prior(prior: Prior | str | os.PathLike | None) -> Prior | None:
    if not isinstance(prior, str | os.PathLike):
        return prior
    path_of("prior", prior)
    # A file may hold a regressor, too: `Solver.accepts_prior` decides
    return cast("Prior", load(prior))


def _checked_numbers(grid: int, n_samples: int, seed: int) -> tuple[int, int, int]:
    return (
        integer("grid", grid, Bounds(_COARSEST, LARGEST)),
        integer("n_samples", n_samples, Bounds(1, 10**9)),
        integer("seed", seed, Bounds(0, _SEEDS - 1)),
    )


def _check_result_memory(pde: PDE, grid: int, n_samples: int) -> None:
    check_memory(
        n_samples * (2 * grid**2 + pde.latent_prior.modes**2) + 20 * grid**2,
        f"{n_samples} samples on a grid of {grid} nodes",
        "use fewer samples or a coarser grid",
    )


def _dataset(
    posterior: Posterior,
    solver: Solver,
    pde: PDE,
    prior: Prior | None,
    sensors: Sensors,
    observation: Observation,
    seed: int,
) -> xr.Dataset:
    described = "the PDE's own random coefficient" if prior is None else type(prior).__name__
    result = posterior.to_xarray(
        pde=pde.name,
        **_sources(pde, solver),
        equation=pde.equation,
        pde_parameters=json.dumps(pde.parameters),
        grid_kind=pde.grid_kind,
        prior=posterior.record.get("prior") or described,
        interpolation_order=json.dumps({f.name: f.interpolation_order for f in pde.fields}),
        seed=seed,
        pdeinv_version=version("pdeinv"),
    )
    names = np.array([f.name for f in pde.fields], dtype=object)
    table = sensors.table.assign(field=names[observation.channel.numpy()])
    return result.assign(
        {
            f"sensor_{c}": ("sensor", table[c].to_numpy(), {"long_name": _COLUMNS[c]})
            for c in table.columns
        }
    )


def _sources(pde: PDE, solver: Solver) -> dict[str, str]:
    """Return the `file.py:Class` of each that comes from a file."""
    given = {"pde_source": source_of(type(pde)), "solver_source": source_of(type(solver))}
    return {name: source for name, source in given.items() if source}


def _warn_of_misfit(solver: Solver, posterior: Posterior, m: int, pde: PDE) -> None:
    chi2 = float(posterior.record["reduced_chi_squared"])
    # Under the model the figure is chi-squared / m: mean 1, standard deviation sqrt(2/m).
    if chi2 <= max(2.0, 1 + 6 * (2 / m) ** 0.5):
        return
    if solver.judges_sensors:
        own = f", or the {solver.name} solver has not met them" if solver.misfit_remedy else ""
        message = (
            f"the sensors do not fit {pde.name}{own}: reduced chi-squared is {chi2:.3g}, where "
            f"about 1 is expected; check units, the PDE's parameters and noise_std (readings "
            f"rounded to a few digits are not exact)"
        )
        if solver.misfit_remedy:
            message += f"; if these are right, {solver.misfit_remedy}"
    else:
        message = (
            f"the {solver.name} solver has not met the readings: the reduced chi-squared of its "
            f"mean is {chi2:.3g}, where about 1 is expected; use more steps, or the solver 'auto' "
            f"to judge the sensors themselves"
        )
    warnings.warn(message, MisfitWarning, stacklevel=3)
