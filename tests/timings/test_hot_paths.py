"""How long the parts take in which all time is spent; docs/timings.md says how to run and read
them.

A PDE, a shipped prior or a solver that is exported is timed without another line here.
"""

import dataclasses
from functools import cache
from time import process_time

import pytest
import torch

from pdeinv import seeds
from pdeinv.benchmarks.tasks import TUNING_SEEDS, Task
from pdeinv.datasets import PDES, Problem, pde_by_name
from pdeinv.priors import load, shipped
from pdeinv.solvers import SOLVERS

GRID, BATCH, SENSORS = 64, 4, 125
SLOW = 2.0  # seconds, beyond which two rounds must do
# The least of whatever a solver repeats, where it has a setting of that name: what is left is one
# step and what precedes it.
FEWEST = {"steps": 2, "ode_steps": 1, "langevin": 1, "ensemble": 4, "members": 16, "copies": 1}
PRIORS = [name for name in shipped() if not name.endswith(("-operator", "-regressor"))]
# Seconds of the processor, which other work on the machine lengthens least.
pytestmark = pytest.mark.benchmark(timer=process_time)
PAIRS = [
    (s, p)
    for s in SOLVERS
    for p in PDES
    if SOLVERS[s]().accepts(pde_by_name(p), pde_by_name(p).default_prior)
]


def seeded(seed=0):
    return seeds.generator(seeds.TUNING, seed)


@cache
def observation(name):
    return Task(name, "inverse", GRID, SENSORS, seed=TUNING_SEEDS[0]).instance(0)[1]


@pytest.mark.parametrize("name", PDES)
@pytest.mark.benchmark(group="solve")
def test_solve(benchmark, name):
    pde = pde_by_name(name)
    a = Problem(pde).sample_coefficient(BATCH, pde.grid(GRID), seeded())
    pde.solve(a)  # tables of eigenfunctions are made once
    assert benchmark(pde.solve, a).shape == a.shape


@pytest.mark.parametrize("name", PRIORS)
@pytest.mark.benchmark(group="denoise")
def test_denoise(benchmark, name):
    prior = load(name)
    pde = next(p for p in PDES if name.startswith(p))
    x = prior.sample_noise(BATCH, pde_by_name(pde).grid(GRID), seeded())
    with torch.no_grad():
        prior.denoise(x, 0.5)
        assert benchmark(prior.denoise, x, 0.5).shape == x.shape


@pytest.mark.parametrize(("solver", "name"), PAIRS)
@pytest.mark.benchmark(group="step")
def test_step(benchmark, solver, name):
    kind = SOLVERS[solver]
    settings = {f.name: FEWEST[f.name] for f in dataclasses.fields(kind) if f.name in FEWEST}
    pde, readings, run = pde_by_name(name), observation(name), kind(**settings)

    def step():
        return run(pde, None, readings, n_samples=2, generator=seeded())

    start = process_time()
    step()  # loads the prior and what else is kept
    seconds = process_time() - start
    rounds = 2 if seconds > SLOW else min(20, max(3, int(1 / seconds)))
    found = benchmark.pedantic(step, rounds=rounds)
    assert bool(found.samples.isfinite().all())
