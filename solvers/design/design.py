"""`pdeinv.design`: the next readings, and the worth of those that there are.

A reading reduces the variances by (C h)² / (hᵀ C h + noise²), C the posterior covariance. C is
applied, never formed. It is exact where the physics is linear and the prior Gaussian; for
`gauss-newton` it is that of the linearisation at the mode, and otherwise that of posterior draws.

The dataset of a design has `reading_x` and `reading_y` (reading) of the new readings, the most
useful first, and `std_after`, the root mean square posterior standard deviation of the field after
each. It has `gain` (candidate), the share of the variance that each single reading would remove,
with `candidate_x` and `candidate_y`; and `worth` (sensor), the relative rise of the variance
without each present sensor, with `sensor_x` and `sensor_y`. Its attributes are `std_before`, the
`solver`, the `field` that is read and that `of` which the variance is.

Reference:
    Krause, Singh & Guestrin, *Near-optimal sensor placements in Gaussian processes*, J. Mach.
    Learn. Res. 9, 2008, for the greedy choice; Fedorov, *Theory of Optimal Experiments*, 1972, for
    the exchange.
"""

from __future__ import annotations

import os
from typing import IO, Any

import numpy as np
import torch
import xarray as xr

from pdeinv import seeds
from pdeinv.checks import Bounds, integer
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets.base import PDE
from pdeinv.datasets.problem import Problem
from pdeinv.grid import Grid
from pdeinv.memory import check_memory
from pdeinv.observation import Observation
from pdeinv.quantities import Mean
from pdeinv.region import Region
from pdeinv.sensors import NoiseLevels, Sensors
from pdeinv.sensors.sources import SensorTable
from pdeinv.solvers.base import Solver
from pdeinv.solvers.design.greedy import Beliefs, Candidates, choose
from pdeinv.solvers.design.laws import EnsembleLaw, LatentLaw, Law
from pdeinv.solvers.design.posed import PosedDesign, field_made_certain, target_weights
from pdeinv.solvers.design.targets import Target
from pdeinv.solvers.design.worth import importance_worth, removal_worth
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.linear_algebra import cholesky_with_nugget, levels_of, nugget_variance
from pdeinv.solvers.selection import solver_for
from pdeinv.solvers.stated_problem import resolve_problem

__all__ = ["design"]

_NUGGET = 1e-12  # of present readings, relative to those of their field


def design(
    sensors: Sensors | str | os.PathLike | IO | SensorTable,
    pde: str | PDE | None = None,
    *,
    problem: Problem | str | os.PathLike | None = None,
    add: int = 5,
    field: str | None = None,
    noise_std: float | None = None,
    candidates: SensorTable | None = None,
    of: str | Mean | None = None,
    where: Region | object | None = None,
    noise: NoiseLevels | None = None,
    solver: str | Solver = "auto",
    grid: int | Grid | None = None,
    draws: int = 200,
    seed: int = 0,
    progress: bool = False,
) -> xr.Dataset:
    """Return the places where further readings make a field most certain, and the worth of the
    present sensors: see the module.

    Arguments:
        sensors, pde, problem, noise, solver, grid, seed: as of `reconstruct`.
        add: number of readings to add.
        field: that they read; the solution if None.
        noise_std: of their noise, in the field's units; the median of the present ones if None.
        candidates: a table of places, with x and y, and kind, radius, x2 and y2 for other kinds of
            readings; up to 1500 nodes of the grid if None.
        of: field to be made certain, or a `pdeinv.quantities.Mean`; the coefficient if None.
        where: the part of the domain in which it counts, as `Region.of` takes it.
        draws: posterior draws, for solvers other than `gaussian` and `gauss-newton`.
        progress: show bars.

    Raises:
        InputError: the input cannot be used, with the value and the remedy.

    Example:
        >>> import pdeinv
        >>> table = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.002]}
        >>> plan = pdeinv.design(table, "poisson", noise=1e-4, add=2, grid=16)
        >>> plan["reading_x"].shape, bool(plan["std_after"][-1] < plan.attrs["std_before"])
        ((2,), True)
    """
    add, draws = integer("add", add, Bounds(1, 1000)), integer("draws", draws, Bounds(20, 100_000))
    stated, wanted = resolve_problem(pde, problem, None, None), field_made_certain(of, where)
    posed = PosedDesign.of(Sensors.read(sensors), stated, field, wanted, grid, noise)
    choices = posed.candidates(candidates, noise_std)
    weights = target_weights(posed.present.grid, of, where)
    goal = Target(posed.present, posed.target, weights)
    chosen = solver_for(solver, posed.physics, posed.prior)
    chosen.check(posed.physics, posed.prior)
    law, known, worth = _law(chosen, posed, goal, draws, seed, progress)
    beliefs = Beliefs.of(law, known, Candidates(choices), goal, progress)
    picked, totals = choose(beliefs, min(add, len(choices)), progress)
    found = _dataset(beliefs, posed, picked, totals, worth)
    what = {"of": f"mean of {of.field}"} if isinstance(of, Mean) else {}
    return found.assign_attrs(solver=chosen.name, **what)


def _law(
    solver: Solver, given: PosedDesign, goal: Target, draws: int, seed: int, progress: bool
) -> tuple[Law, torch.Tensor, torch.Tensor]:
    """Return the law of states, what is known of it, and the worth of the present readings."""
    physics, prior, present = given.physics, given.prior, given.present
    check_memory(
        solver.memory(physics, prior, present, 1),
        f"a design with {len(present)} sensors on {present.grid} nodes",
        solver.memory_remedy,
    )
    if isinstance(prior, CoefficientPrior) and not _further(physics, prior, present):
        centred = prior.centred(levels_of(present, channel=0))
        posed = Problem(physics, centred)
        xi = None
        if isinstance(solver, GaussNewton) and not posed.linear:
            xi = solver.most_probable(physics, prior, present, progress)
        if xi is not None or posed.linear:
            law = LatentLaw(posed, present, xi)
            rows = law.rows(present)
            gram = rows @ rows.T
            nugget = nugget_variance(gram.diagonal(), present, _NUGGET)
            lower = cholesky_with_nugget(gram + present.noise_covariance(), nugget)
            known = torch.linalg.solve_triangular(lower, rows, upper=False)
            return law, known, removal_worth(law, known, lower, rows, goal)
    generator = seeds.generator(seeds.SOLVER, seed)
    found = solver(physics, prior, present, n_samples=draws, generator=generator, progress=progress)
    samples = EnsembleLaw(found.samples, present.grid)
    known = torch.zeros(0, len(found.samples), dtype=torch.float64)
    return samples, known, importance_worth(found.samples, present, goal)


def _further(physics: PDE, prior: CoefficientPrior, present: Observation) -> bool:
    """Whether there are numbers besides the coefficient, or limits, which make the law another."""
    posed = Problem(physics, prior)
    return bool(
        posed.unknowns or physics.uncertain or present.unknown_noise or present.below_or_above.any()
    )


def _dataset(
    beliefs: Beliefs,
    given: PosedDesign,
    picked: list[int],
    totals: list[float],
    worth: torch.Tensor,
) -> xr.Dataset:
    """Return the design as the module states it."""
    unit, of = given.physics.domain.unit, given.physics.fields[given.target]
    places, sensors = beliefs.candidates.observation.points.numpy(), given.table.table
    rms = f"root mean square posterior standard deviation of the {of.long_name} after it"
    gain = "share of the variance that one reading removes"
    rise = "relative rise of the variance without the sensor"
    data = {
        **_places("reading", places[picked], unit),
        "std_after": (
            "reading",
            np.sqrt(np.clip(totals, 0.0, None)),
            {"long_name": rms, "units": of.units},
        ),
        **_places("candidate", places, unit),
        "gain": (
            "candidate",
            (beliefs.gains / beliefs.total).numpy(),
            {"long_name": gain, "units": "1"},
        ),
        **_places("sensor", sensors[["x", "y"]].to_numpy(), unit),
        "worth": ("sensor", worth.numpy(), {"long_name": rise, "units": "1"}),
    }
    attrs = {
        "field": given.physics.fields[given.channel].name,
        "of": of.name,
        "std_before": max(beliefs.total, 0.0) ** 0.5,
    }
    return xr.Dataset(data, attrs=attrs)


def _places(dimension: str, points: np.ndarray, unit: str) -> dict[str, Any]:
    """Return the columns x and y of points (m, 2)."""
    return {
        f"{dimension}_{axis}": (dimension, points[:, k], {"long_name": axis, "units": unit})
        for k, axis in enumerate("xy")
    }
