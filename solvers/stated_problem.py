"""The problem, the physics and the grid of a call, checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from pdeinv.checks import Bounds, described, integer, path_of
from pdeinv.coefficients import CoefficientPrior
from pdeinv.datasets import PDE, Experiments, Problem, pde_by_name
from pdeinv.datasets.limits import check_solves
from pdeinv.errors import InputError
from pdeinv.external import is_reference, source_of
from pdeinv.grid import LARGEST, Grid
from pdeinv.memory import check_states
from pdeinv.priors.base import Prior
from pdeinv.quantities.table import Wanted, check_fields, fields_needed
from pdeinv.sensors import Sensors
from pdeinv.sensors.instruments import Instruments, instruments_of

__all__ = ["checked_numbers", "physics_read", "resolve_problem", "sources_of"]

_COARSEST = 16
_SEEDS = 2**32


def _further_fields(pde: PDE, prior: Prior) -> tuple[str, ...]:
    """Return the names of derived fields that the result has though no sensor may read them."""
    if isinstance(prior, CoefficientPrior) and prior.logarithmic and pde.logarithm:
        return (pde.logarithm.name,)
    return ()


def resolve_problem(
    pde: str | PDE | Sequence[str | PDE] | None,
    problem: Problem | str | os.PathLike | None,
    prior: Prior | str | os.PathLike | None,
    instruments: Instruments | None,
) -> Problem:
    """Return the problem of physics or of a problem, with a prior and instruments in the place of
    its own where they are given; arguments as of `reconstruct`."""
    if (pde is None) == (problem is None):
        both = "both" if pde is not None else "neither"
        raise InputError(f"pde or problem must be given, got {both}; give one of them")
    if isinstance(problem, str | os.PathLike):
        problem = Problem.load(path_of("problem", problem))
    if problem is not None and not isinstance(problem, Problem):
        raise InputError(
            f"problem must be a Problem or the name of its file, got {described(problem)}; give "
            f"physics as pde"
        )
    posed = Problem.of(_resolve_pde(pde) if problem is None else problem, prior)  # type: ignore
    if instruments is None:
        return posed
    return replace(posed, instruments=instruments_of(instruments))


def _resolve_pde(pde: str | PDE | Sequence[str | PDE]) -> PDE:
    if isinstance(pde, list | tuple):
        return Experiments(tuple(_resolve_pde(one) for one in pde))
    pde = pde_by_name(pde) if isinstance(pde, str) else pde
    if not isinstance(pde, PDE):
        raise InputError(
            f"pde must be a name or a PDE, got {described(pde)}; give an instance of a class of "
            f"pdeinv.datasets"
        )
    return pde


def physics_read(
    table: Sensors,
    problem: Problem,
    grid: int | Grid | None,
    n_samples: int,
    wanted: Wanted = MappingProxyType({}),
) -> tuple[PDE, Grid]:
    """Return the physics with the derived fields of the result, and the grid of the result."""
    fields = table.table.field.unique()
    times = table.times(problem.physics)
    further = [*_further_fields(problem.physics, problem.prior), *fields_needed(wanted)]
    pde = problem.physics.reading([*fields, *further], times[~np.isnan(times)].tolist())
    check_fields(wanted, (f.name for f in pde.fields), pde.name)
    if grid is None:
        nodes = _grid_of(pde, problem.grid, "grid of the problem ([grid] in its file)")
    else:
        nodes = _grid_of(pde, grid, "grid")
    check_solves(pde, pde.check_grid(nodes))
    check_states(pde, nodes, n_samples, len(table.by_replicate()) or 1)
    return pde, nodes


def _grid_of(pde: PDE, grid: int | Grid, what: str) -> Grid:
    """Return the grid of the result."""
    if not isinstance(grid, Grid):
        grid = pde.grid(integer(what, grid, Bounds(_COARSEST, LARGEST)))
    if min(grid.shape) < _COARSEST:
        raise InputError(
            f"{what} must have at least {_COARSEST} nodes in each direction, got {grid}; use more"
        )
    return grid


def checked_numbers(n_samples: int, seed: int) -> tuple[int, int]:
    """Return the number of samples and the seed, both of which are in range."""
    return (
        integer("n_samples", n_samples, Bounds(1, 10**9)),
        integer("seed", seed, Bounds(0, _SEEDS - 1)),
    )


def sources_of(problem: Problem, prior: object, solver: object) -> dict[str, str]:
    """Return the `file.py:name` of each that comes from a file.

    Arguments:
        problem: the physics and the prior.
        prior, solver: as they were given.
    """
    given = {
        "pde_source": problem.physics.origin,
        "prior_source": str(prior) if is_reference(prior) else source_of(type(problem.prior)),
        "solver_source": str(solver) if is_reference(solver) else source_of(type(solver)),
    }
    return {name: source for name, source in given.items() if source}
