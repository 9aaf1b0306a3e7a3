"""From a layout of sensors and a problem to a plan."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from pdeinv.datasets import PDE, Problem
from pdeinv.grid import Grid
from pdeinv.priors.base import Prior
from pdeinv.sensors.instruments import Instruments
from pdeinv.sensors.noise_levels import NoiseLevels
from pdeinv.solvers.base import Solver
from pdeinv.solvers.plans.each_plan import EachPlan
from pdeinv.solvers.plans.gain_plan import GainPlan
from pdeinv.solvers.plans.layout import Source, read_layout
from pdeinv.solvers.plans.plan import Plan
from pdeinv.solvers.reconstruction import (
    Run,
    checked_numbers,
    physics_read,
    resolve_problem,
    sources_of,
)
from pdeinv.solvers.selection import solver_for

__all__ = ["prepare"]


def prepare(
    layout: Source,
    pde: str | PDE | Sequence[str | PDE] | None = None,
    *,
    problem: Problem | str | os.PathLike | None = None,
    noise: NoiseLevels | None = None,
    instruments: Instruments | None = None,
    grid: int | Grid | None = None,
    solver: str | Solver = "auto",
    prior: Prior | str | os.PathLike | None = None,
    n_samples: int = 16,
    seed: int = 0,
    progress: bool = False,
) -> Plan:
    """Return a plan, which makes of new readings of the same sensors what `reconstruct` makes.

    Where the mean is an affine function of the readings (the solver `gaussian`), the plan stores
    its gain, and a call is one product with it. With other solvers a call solves the table;
    `gauss-newton` starts at the mode of the last one.

    Arguments:
        layout: a sensor table as of `reconstruct`. Readings in it are not used: the column `value`
            may be empty or missing.
        noise: as of `reconstruct`, but in the units of the fields: a share of the spread of
            readings is not known before these.
        n_samples: posterior samples, at least 1; a call returns them on demand.
        pde, problem, instruments, grid, solver, prior, seed, progress: as of `reconstruct`.

    Raises:
        InputError: the input cannot be used, with the row or the value and the remedy.
        NumericalError: the computation failed on valid input.
    """
    posed = resolve_problem(pde, problem, prior, instruments)
    chosen = solver_for(solver, posed.physics, posed.prior)
    n_samples, seed = checked_numbers(n_samples, seed)
    sensors = read_layout(layout).sensors
    sources = sources_of(posed, prior, solver)
    chosen.check(posed.physics, posed.prior)
    physics, nodes = physics_read(sensors, posed, grid, n_samples)
    options = noise, posed, n_samples, progress, sources
    run = Run(chosen, physics, posed.prior, nodes, *options)
    observation = run.observe(sensors)
    posed = replace(posed, grid=run.grid)
    gain = chosen.stored_gain(run.pde, run.prior, observation, progress)
    if gain is not None:
        return GainPlan.of(sensors, posed, gain, run, observation, seed)
    settings = {"noise": noise, "n_samples": n_samples, "seed": seed}
    return EachPlan(sensors, posed, run, observation, settings)
