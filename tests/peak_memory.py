"""The memory that solvers take, measured in a process of each: `python peak_memory.py NAME ...`."""

import ctypes
import gc
import json
import os
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import torch

from pdeinv import Scenarios, Spikes, layouts
from pdeinv.datasets import Problem, pde_by_name
from pdeinv.observation import Observation
from pdeinv.solvers import SOLVERS


@dataclass(frozen=True)
class Case:
    """A problem of which arrays dominate the memory."""

    pde: str = "poisson"
    grid: int = 256
    sensors: int = 100
    samples: int = 16
    settings: dict = field(default_factory=dict)
    prior: object = None


_FEW = {"steps": 2}
_LANGEVIN = {"langevin": 3, "ode_steps": 1}  # a single step takes less than those after it
CASES = {
    "gaussian": Case(grid=64, sensors=1500),
    "gauss-newton": Case("navier-stokes", 32, 600, settings={"iterations": 4, "chords": 1}),
    "ensemble-smoother": Case(grid=64, sensors=800),
    "kriging": Case(grid=64),
    "mixture": Case(grid=64, sensors=1200, prior=Scenarios((0.3,), (0, 60))),
    "object-chains": Case(grid=64, sensors=100, settings={"steps": 250}, prior=Spikes()),
    "optimal-interpolation": Case(grid=32, sensors=1000),
    "level-set": Case("darcy", 32, 100, 40, {"stages": "brief"}),
    "moment": Case(grid=32, sensors=1500, settings=_FEW),
    "fno": Case(grid=128, samples=100),
    "daps": Case(settings=_FEW | _LANGEVIN),
    "ddis": Case(settings=_FEW | _LANGEVIN),
} | {name: Case(settings=_FEW) for name in ("dps", "diffusionpde", "fundps")}
"""Those of solvers for which the default is not the right one."""


def measure(name: str) -> tuple[float, float]:
    """Return the bytes that a solver takes at most beyond those of the idle process, and its own
    estimate."""
    case = CASES.get(name, Case())
    pde, solver = pde_by_name(case.pde), SOLVERS[name](**case.settings)
    prior = case.prior
    _run(solver, pde, prior, _observe(pde, prior, 16, 20), 2)  # loads libraries
    observation = _observe(pde, prior, case.grid, case.sensors)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the first run has left would hide a part of the second
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    idle = _status("VmRSS")
    _run(solver, pde, prior, observation, case.samples)
    peak = _status("VmHWM")
    return peak - idle, solver.memory(pde, Problem.of(pde, prior).prior, observation, case.samples)


def _run(solver, pde, prior, observation, samples):
    solver(pde, prior, observation, n_samples=samples, generator=torch.Generator().manual_seed(0))


def _observe(pde, prior, n, m):
    grid, generator = pde.grid(n), torch.Generator().manual_seed(1)
    points = torch.as_tensor(layouts.random(m, 0))
    channel, zeros = torch.arange(m) % 2, torch.zeros(m, dtype=torch.float64)
    order = tuple(f.interpolation_order for f in pde.fields)
    blank = Observation(grid, points, channel, zeros, zeros, order)
    values = blank(Problem.of(pde, prior).sample(1, grid, generator))[0]
    return Observation(grid, points, channel, values, zeros + 0.01 * values.std(), order)


def _status(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(key))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    for solver_name in sys.argv[1:]:
        child = os.fork()
        if not child:
            print(json.dumps([solver_name, *measure(solver_name)]), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
