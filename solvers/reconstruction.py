"""The door: from a table of sensors and the name of a PDE to both fields, as an xarray Dataset."""

from __future__ import annotations

import dataclasses
import json
import operator
import os
import warnings
from importlib.metadata import version

import numpy as np
import pandas as pd
import torch
import xarray as xr

import pdeinv.solvers as solvers
from pdeinv.datasets import PDE, pde_by_name
from pdeinv.errors import InputError
from pdeinv.priors import DiffusionPrior, GaussianPrior, NeuralOperator, SensorRegressor
from pdeinv.priors import load as load_prior
from pdeinv.priors.base import Prior
from pdeinv.sensors import Sensors
from pdeinv.solvers.base import Solver, check_memory
from pdeinv.solvers.diffusion.equireg import EquiReg, EquiReweight
from pdeinv.symmetry import Group, Symmetry

__all__ = ["VARIANTS", "MisfitWarning", "reconstruct", "solver_for", "with_options"]

_COARSEST = 16
_COLUMNS = {
    "field": "field that the sensor reads",
    "x": "x coordinate of the sensor",
    "y": "y coordinate of the sensor",
    "value": "reading, in the units of its field",
    "noise_std": "standard deviation of the reading's noise, in the units of its field",
}


class MisfitWarning(UserWarning):
    """The sensors disagree with the PDE, its parameters, or their stated noise."""


def reconstruct(
    sensors: Sensors | str | os.PathLike | pd.DataFrame | xr.Dataset,
    pde: str | PDE,
    *,
    grid: int = 64,
    solver: str | Solver = "auto",
    prior: Prior | str | os.PathLike | None = None,
    equireg: bool = False,
    steps: int | None = None,
    n_samples: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> xr.Dataset:
    """Reconstruct the coefficient and the solution of a PDE from point sensors, with uncertainty.

    Arguments:
        sensors: readings with the columns field, x, y, value and, optionally, noise_std: a CSV
            file, a pandas table, an xarray Dataset or `Sensors`.
        pde: `"poisson"`, `"helmholtz"`, `"darcy"`, `"navier-stokes"`, or an instance with
            parameters of your own.
        grid: nodes per side of the result, at least 16.
        solver: a name in `pdeinv.solvers.SOLVERS`, an instance with settings of your own, or
            `"auto"`: the exact posterior where the PDE is linear, Gauss–Newton where its
            coefficient is Gaussian, the level-set solver where the coefficient has two values; for
            a prior of your own optimal interpolation, or `moment` if it has a denoiser (`fundps` if
            that lacks a Gaussian part), `fno` for a regressor.
        prior: what is known beforehand: an `Ensemble` of examples, or for the solvers by diffusion
            a prior of `pdeinv.priors` and for `fno` a regressor, its file or the name of a shipped
            one. None for the PDE's own random coefficient, or the shipped prior of the PDE.
        equireg: add the guidance of `EquiReg()` to a solver by diffusion.
        steps: of a solver by diffusion; as many as published if not given.
        n_samples: posterior samples in the result.
        seed: the same seed gives the same result.
        progress: show a bar for work of more than two seconds.

    Returns:
        Dataset with `{field}_mean`, `{field}_std` (y, x) and `{field}_samples` (sample, y, x) of
        both fields, the sensors as `sensor_*` (sensor), and attributes that say how it was made.
        `reduced_chi_squared` is yᵀ (H C Hᵀ + R)⁻¹ y / m with y
        less its prior mean: near 1 where m sensors, their noise and the prior agree. For the
        level-set solver, `moment` on Darcy, `fno` and the guided diffusion solvers it is the mean
        square misfit over its variance: near 1 for noisy readings, below for exact ones. A
        coefficient of two values comes with `{field}_probability` (y, x), that of its high value.

    Raises:
        InputError: the input cannot be used, with the row or the value and the remedy.

    Example:
        >>> import pandas as pd, pdeinv
        >>> table = pd.DataFrame({"field": "potential", "x": [0.3, 0.6], "y": [0.4, 0.7], "value": [0.002, -0.001]})
        >>> sorted(pdeinv.reconstruct(table, "poisson", grid=16, n_samples=2).data_vars)[:3]
        ['potential_mean', 'potential_samples', 'potential_std']
    """
    pde = pde_by_name(pde) if isinstance(pde, str) else pde
    if not isinstance(pde, PDE):
        raise InputError(
            f"pde = {pde!r} is not a PDE; give a name or an instance such as "
            f"pdeinv.datasets.Poisson()"
        )
    if isinstance(prior, str | os.PathLike):
        prior = load_prior(prior)
    solver = with_options(solver_for(solver, pde, prior), equireg, steps)
    solver.check(pde, prior)
    grid, n_samples, seed = (
        _integer(*v) for v in (("grid", grid), ("n_samples", n_samples), ("seed", seed))
    )
    if grid < _COARSEST:
        raise InputError(
            f"grid = {grid} is too coarse to carry a {pde.name} field; use an integer of at least "
            f"{_COARSEST}"
        )
    if n_samples < 1:
        raise InputError(f"n_samples = {n_samples} must be an integer of at least 1")
    if not 0 <= seed < 2**32:
        raise InputError(f"seed = {seed} is out of range; use an integer from 0 to 4294967295")
    sensors = Sensors.read(sensors)
    size = n_samples * (2 * grid**2 + pde.latent_prior.modes**2) + 20 * grid**2
    check_memory(
        size,
        f"{n_samples} samples on a grid of {grid} nodes",
        "ask for fewer samples or a coarser grid",
    )
    observation = sensors.observation(pde, pde.grid(grid))
    # Not the seed itself: whoever drew the truth from it would find it again among the prior draws.
    generator = torch.Generator().manual_seed((seed * 2_654_435_761 + 1_013_904_223) % 2**32)
    posterior = solver(
        pde, prior, observation, n_samples=n_samples, generator=generator, progress=progress
    )
    _warn_of_misfit(posterior.record["reduced_chi_squared"], len(sensors), pde)
    result = posterior.to_xarray(
        pde=pde.name,
        equation=pde.equation,
        pde_parameters=json.dumps(pde.parameters),
        grid_kind=pde.grid_kind,
        prior=posterior.record.get("prior") or _described(prior),
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


def _described(prior: Prior | None) -> str:
    return "the PDE's own random coefficient" if prior is None else type(prior).__name__


VARIANTS = {
    True: EquiReg(),
    "identity": EquiReg(group=Group((Symmetry(),))),
    "equi": EquiReg(loss="equi"),
    "reweight": EquiReweight(),
}
"""Of EquiReg: itself, a control that knows no symmetry, one that does not denoise, and one without
a gradient."""


def with_options(solver: Solver, equireg: bool | str, steps: int | None) -> Solver:
    """The solver with one of `VARIANTS`, or with another number of steps; refused by those that
    have neither."""
    options: dict = {}
    if equireg:
        options["guidance"] = (VARIANTS[equireg],)
    if steps is not None:
        if _integer("steps", steps) < 2:
            raise InputError(f"steps = {steps} must be at least 2")
        options["steps"] = steps
    if not options:
        return solver
    if not options.keys() <= _settings(solver):
        asked = " and ".join("equireg" if key == "guidance" else key for key in options)
        known = ", ".join(
            sorted(n for n, s in solvers.SOLVERS.items() if options.keys() <= _settings(s))
        )
        raise InputError(
            f"{asked} means nothing to the {solver.name} solver; choose one of {known}"
        )
    if equireg:
        options["guidance"] = (*solver.guidance, *options["guidance"])
    return dataclasses.replace(solver, **options)


def _settings(solver: Solver | type[Solver]) -> set[str]:
    return {f.name for f in dataclasses.fields(solver)}


def _integer(name: str, value: int) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} = {value!r} is not an integer; give a whole number") from None


def solver_for(solver: str | Solver, pde: PDE, prior: Prior | None = None) -> Solver:
    """The solver of that name; "auto" takes the first of the exact ones that is made for the PDE,
    else the linear one."""
    if isinstance(solver, Solver):
        return solver
    if isinstance(prior, NeuralOperator):
        raise InputError(
            "a neural operator is no prior; give one of `pdeinv train` without --model operator"
        )
    if solver == "auto" and isinstance(prior, SensorRegressor):
        return solvers.FNO()
    if solver == "auto" and isinstance(prior, DiffusionPrior | GaussianPrior):
        # Without a Gaussian part the moment solver would know of no correlation between two fields.
        plain = getattr(prior, "preconditioning", "gaussian") == "edm"
        return solvers.FunDPS() if plain and len(prior.fields) == 2 else solvers.Moment()
    if solver == "auto":
        choices = (
            solvers.GaussianSolver(),
            solvers.GaussNewton(),
            solvers.LevelSet(),
            solvers.OptimalInterpolation(),
        )
        return next(s for s in choices if s.accepts(pde) and (s.takes_prior or prior is None))
    if solver not in solvers.SOLVERS:
        raise InputError(
            f"solver {solver!r} is unknown; use one of auto, {', '.join(sorted(solvers.SOLVERS))}"
        )
    return solvers.SOLVERS[solver]()


def _warn_of_misfit(chi2: float, m: int, pde: PDE) -> None:
    # Under the model the figure is chi-squared / m: mean 1, standard deviation sqrt(2/m).
    if chi2 > max(2.0, 1 + 6 * (2 / m) ** 0.5):
        warnings.warn(
            f"the sensors do not fit {pde.name}: reduced chi-squared is {chi2:.3g}, where about 1 "
            f"is expected; check units, "
            "the PDE's parameters and noise_std (readings rounded to a few digits are not exact)",
            MisfitWarning,
            stacklevel=3,
        )
