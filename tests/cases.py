"""Solvers, PDEs and sensor layouts for the tests of `reconstruct`, each run once."""

import warnings
from functools import cache

import numpy as np
import pytest
import xarray as xr
from helpers import PAIRS, brief_searches, brief_solver, by_turns, quick_prior, seeded

from pdeinv import Grid, MisfitWarning, Sensors, layouts, reconstruct
from pdeinv.datasets import Problem, pde_by_name

N = 16
every_pair = pytest.mark.parametrize(("solver", "name"), PAIRS)
pairs_in_turn = pytest.mark.parametrize(("solver", "name"), by_turns(PAIRS))

# Points on the coefficient, points on the solution, and the noise relative to each field's standard
# deviation.
RING = layouts.boundary(8)
CLUSTER = 0.4 + 1e-3 * layouts.random(5, 3)
LAYOUTS = {
    "both, noisy": (layouts.random(9, 1), layouts.random(12, 2), 0.05),
    "coefficient only": (layouts.random(12, 1), None, 0.0),
    "solution only": (None, layouts.random(12, 2), 0.0),
    "nodes": (layouts.random_nodes(9, Grid(N), 1), layouts.random_nodes(9, Grid(N), 2), 0.0),
    "one sensor": (None, np.array([[0.53, 0.3]]), 0.0),
    "repeated and clustered": (
        np.repeat(layouts.random(3, 4), 3, axis=0),
        np.concatenate([CLUSTER, CLUSTER]),
        0.0,
    ),
    "zeros on the boundary": (None, np.concatenate([RING, layouts.random(6, 5)]), 0.0),
    "boundary and coefficient": (layouts.random(6, 5), RING, 0.0),
    "boundary alone": (None, RING[:1], 0.0),
}


@cache
def truth(name):
    """A random state as a Dataset of named fields."""
    pde = pde_by_name(name)
    state = Problem(pde).sample(1, pde.grid(N), seeded(11))[0]
    y, x = (nodes.numpy() for nodes in pde.grid(N).coordinates())
    return xr.Dataset(
        {f.name: (("y", "x"), v.numpy()) for f, v in zip(pde.fields, state, strict=True)},
        {"x": x, "y": y},
    )


@cache
def readings(name, layout):
    fields, (*points, noise) = pde_by_name(name).fields, LAYOUTS[layout]
    parts = []
    for f, p in zip(fields, points, strict=True):
        if p is not None:
            field, order = truth(name)[f.name], f.interpolation_order
            parts.append(
                Sensors.observe(field, p, noise_std=noise * float(field.std()), order=order)
            )
    return parts[0] + parts[1] if len(parts) == 2 else parts[0]


def run(solver, name, layout="both, noisy"):
    """Return the reconstruction from a layout's readings by a brief solver; not to be changed."""
    return _run(solver, name, layout)


@cache
def _run(solver, name, layout):
    with warnings.catch_warnings(), brief_searches():
        # 32 members, or no physics at all, fit no exact readings
        warnings.simplefilter("ignore", MisfitWarning)
        return reconstruct(
            readings(name, layout),
            name,
            grid=N,
            n_samples=3,
            solver=brief_solver(solver),
            prior=quick_prior(solver, name, N),
        )
