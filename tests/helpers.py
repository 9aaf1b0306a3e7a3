"""What several test modules share: random numbers, readings, small priors, the command line."""

import contextlib
import dataclasses
import json
import pickle
import random
import warnings
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import xarray as xr
from threadpoolctl import threadpool_info
from typer.testing import CliRunner

from pdeinv import Grid, InputError, Observation, Problem, Scenarios, Spikes, seeds
from pdeinv.benchmarks.tasks import TUNING_SEEDS, Task
from pdeinv.cli import app
from pdeinv.datasets import PDE, PDES, Darcy, examples, pde_by_name
from pdeinv.grid import Domain
from pdeinv.interpolation import interpolation_stencil
from pdeinv.priors import DiffusionPrior, GaussianPrior, Noise, TrainingData
from pdeinv.solvers import SOLVERS, continuation, ensemble_start
from pdeinv.solvers.diffusion.base import DiffusionSolver
from pdeinv.solvers.stages import SCHEDULES

ROOT = Path(__file__).parent.parent
EXAMPLES = set(examples())
"""PDEs that come with examples, sensors and trained models."""
RECTANGLE = Domain((0.0, 5.0, 0.0, 3.0), "km")
TINY = {"widths": (16, 32), "modes": 4}  # a network that evaluates in milliseconds

# Settings of a quick run: of each solver that has them, and of one alone
_QUICK = {"steps": 15, "ode_steps": 3, "langevin": 15, "members": 32, "copies": 2, "draws": 32}
_OWN = {
    "diffusionpde": {"weight": 10.0},
    "daps": {"steps": 25, "weights": (1000.0, 1000.0)},
    "ddis": {"steps": 10, "langevin": 10},
    "level-set": {"ensemble": 4},
    "gauss-newton": {"ensemble": 8},
    "object-chains": {"steps": 200, "levels": 6, "runs": 2},
}

# For results that need only be of the right kind
_BRIEF = {
    "daps": {"steps": 6, "ode_steps": 2, "langevin": 4},
    "ddis": {"steps": 10, "ode_steps": 2, "langevin": 3},
    "moment": {"steps": 5},
    "object-chains": {"steps": 40, "levels": 3},
}


class Exact(Darcy):
    """Its surrogate is its solve, so that derivatives can be compared to many digits."""

    def surrogate(self, a):
        return self.solve(a)


def seeded(seed=0):
    return seeds.generator(seeds.TUNING, seed)


@cache
def _kind_of_few_modes(kind, default, modes):
    few = default.with_numbers(modes=modes)
    return type(kind.__name__, (kind,), {"default_prior": few, "__doc__": kind.__doc__})


def with_modes(pde, modes):
    """Return the PDE with few modes in its `default_prior`, so that all of them can be listed."""
    return _kind_of_few_modes(type(pde), pde.default_prior, modes)(**pde.parameters)


def tuning_task(pde, kind, *args, seed=0, **settings):
    """Return a `Task` on which no method is compared: `seed` counts the seeds that it has."""
    return Task(pde, kind, *args, seed=TUNING_SEEDS[seed], **settings)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


def distance(x, y):
    """Return the relative L2 distance of x from y."""
    return float((x - y).detach().norm() / y.detach().norm())


def rms(x):
    return float(x.square().mean().sqrt())


def read_lines(path):
    """Return the JSON objects of a file, one from each line."""
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def on_rectangle(pde):
    """Return the PDE on 5 x 3 km."""
    return dataclasses.replace(pde, domain=RECTANGLE)


def training_data(pde, n=16, samples=300, *, channels=2, seed=0, symmetric=True, source="here"):
    """Return random states of a problem as data for a prior.

    Arguments:
        pde: a problem, a PDE or its name.
        n: nodes on the shorter side, or the numbers (ny, nx).
        channels: 1 for the coefficient alone, 2 for both fields.
        symmetric: False withholds the PDE, and so its symmetries.
    """
    problem = Problem.of(pde_by_name(pde) if isinstance(pde, str) else pde)
    pde = problem.physics
    grid = pde.grid(*n) if isinstance(n, tuple) else pde.grid(n)
    states = problem.sample(samples, grid, seeded(seed))[:, :channels].float()
    known = {"pde": pde if symmetric else None, "prior": problem.prior}
    return TrainingData(states, pde.fields[:channels], grid, source=source, **known)


@cache
def gaussian_prior(
    pde, n=16, samples=300, *, channels=2, seed=0, symmetric=True, noise="exponential"
):
    """Return a Gaussian prior, fitted to `training_data` of the same arguments."""
    data = training_data(pde, n, samples, channels=channels, seed=seed, symmetric=symmetric)
    return GaussianPrior.fit(data, noise=Noise(noise))


def tiny_diffusion(data):
    """Return an untrained diffusion prior with a tiny network, which adds nothing as yet."""
    return DiffusionPrior.untrained(GaussianPrior.fit(data), **TINY)


def observe(
    pde: PDE | Problem, grid: Grid, points, channel, *, noise=0.0, state=None, seed=0
) -> tuple[torch.Tensor, Observation]:
    """Return a state (1, 2, n, n) and its readings.

    Arguments:
        points: (m, 2), positions in the unit square.
        channel: of each point, or one for all.
        noise: standard deviation of the readings relative to their field's.
        state: (1, 2, n, n) to read; a draw of the problem's prior if None.
        seed: of the state and of the noise.
    """
    generator = seeded(seed)
    state = Problem.of(pde).sample(1, grid, generator) if state is None else state
    pde = Problem.of(pde).physics
    points = torch.as_tensor(points, dtype=torch.float64)
    channel = torch.as_tensor(channel).expand(len(points)).clone()
    std = noise * state[0].double().flatten(1).std(dim=1)[channel]
    order = tuple(f.interpolation_order for f in pde.fields)
    blank = Observation(grid, points, channel, torch.zeros_like(std), std, order)
    values = blank(state.double())[0] + std * torch.randn(
        len(points), dtype=torch.float64, generator=generator
    )
    return state, Observation(grid, points, channel, values, std, order)


@dataclasses.dataclass(frozen=True)
class Shifted(Observation):
    """Readings of points (m, 2) plus a shift (m, 2): the operator reads elsewhere than `points`."""

    shift: torch.Tensor = dataclasses.field(kw_only=True)
    scale: float = 1.0

    @classmethod
    def of(cls, observation, shift):
        """Return readings of the same values at the points of an observation, stated elsewhere."""
        given = {
            f.name: getattr(observation, f.name) for f in dataclasses.fields(Observation) if f.init
        }
        return cls(**given | {"points": observation.points - shift}, shift=shift)

    def stencil(self, chosen, order):
        points = self.points[chosen] + self.scale * self.shift[chosen]
        return interpolation_stencil(points, self.grid, order)


def surroundings():
    """Return the global state of the process that a caller of the package may rely on."""
    threads = {lib["filepath"]: lib["num_threads"] for lib in threadpool_info()}
    return {
        "streams": pickle.dumps(
            (
                torch.random.get_rng_state().tolist(),
                np.random.get_state(),  # noqa: NPY002 (the legacy stream is the one that is shared)
                random.getstate(),
            )
        ),
        "torch": (
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        ),
        "threads": {path: threads[path] for path in sorted(threads) if "blas" in path},
        "numpy": np.geterr(),
        # Libraries install filters of their own warnings when they are first imported
        "warnings": [
            entry
            for entry in warnings.filters
            if entry[0] != "once" and entry[2].__module__ == "builtins"
        ],
        "xarray": dict(xr.get_options()),
        "figures": (matplotlib.get_backend(), dict(matplotlib.rcParams)),
    }


def contents(folder):
    """Return the bytes of all files below a folder, by name."""
    return {
        str(path.relative_to(folder)): path.is_file() and path.read_bytes()
        for path in folder.rglob("*")
    }


def run_command(*arguments):
    """Run the command line in this process; errors are raised as they are."""
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


# The registries


def accepts(solver, pde, prior=None):
    """Return whether a solver accepts a PDE with a prior of its coefficient, that which suits it if
    None."""
    problem = Problem.of(pde, suited_prior(solver.name, pde) if prior is None else prior)
    return solver.accepts(problem.physics, problem.prior)


@cache
def suited_prior(name, pde):
    """Return a prior of a linear PDE for a solver that no default prior suits; None for all others.

    Such a solver takes many solves, or several reconstructions, which are quick there.
    """
    usual = name not in SOLVERS or any(_accepts(name, pde_by_name(p), None) for p in PDES)
    if usual or not pde.linear:
        return None
    shorter = pde.domain.shorter
    for prior in (Scenarios((0.4 * shorter,), (0, 90), std=0.5), Spikes()):
        with contextlib.suppress(InputError):
            if _accepts(name, pde, prior):
                return prior
    return None


def _accepts(name, pde, prior):
    problem = Problem.of(pde, prior)
    return SOLVERS[name]().accepts(problem.physics, problem.prior)


def suited(solver):
    """Return a PDE that a solver accepts, and a prior: None where it accepts the default one."""
    pdes = map(pde_by_name, ("poisson", "darcy", "navier-stokes"))
    pde = next(pde for pde in pdes if accepts(solver, pde))
    return pde, suited_prior(solver.name, pde)


PAIRS = [(s, p) for s in SOLVERS for p in PDES if accepts(SOLVERS[s](), pde_by_name(p))]


def _in_turn():
    """Return a third of the pairs, in which are all solvers and all PDEs."""
    solvers, pdes = list(SOLVERS), list(PDES)
    found = [(s, p) for s, p in PAIRS if (solvers.index(s) + pdes.index(p)) % 3 == 0]
    for place in (0, 1):
        for pair in PAIRS:
            if pair[place] not in {other[place] for other in found}:
                found.append(pair)
    return found


IN_TURN = _in_turn()


def by_turns(cases):
    """Return the cases of pairs, parametrised; two thirds are for `pytest --all-pairs` alone.

    For checks that take long. Each of these cases begins with a solver and a PDE.
    """
    return [
        pytest.param(*case, marks=() if tuple(case[:2]) in IN_TURN else pytest.mark.further)
        for case in cases
    ]


"""Names of all solvers and of the PDEs that they accept."""


def quick_solver(name):
    """Return a solver of the registry with few steps, draws and members."""
    kind = SOLVERS[name]
    known = {f.name for f in dataclasses.fields(kind)}
    few = {key: value for key, value in _QUICK.items() if key in known}
    return kind(**few | _OWN.get(name, {}))


def brief_solver(name):
    """Return a solver whose settings are those of `quick_solver` but for fewer steps of what takes
    long, where no number is compared with the truth."""
    return dataclasses.replace(quick_solver(name), **_BRIEF.get(name, {}))


def quick_prior(solver, pde, n=16):
    """Return a small prior for a solver by diffusion, or that which suits one to which no default
    prior does; None for all others.

    A solver that has no model of a PDE without examples is skipped.
    """
    solver, pde = quick_solver(solver), pde if isinstance(pde, PDE) else pde_by_name(pde)
    if (own := suited_prior(solver.name, pde)) is not None:
        return own
    if not isinstance(solver, DiffusionSolver):
        if pde.name not in EXAMPLES and (reason := refused(solver, pde, None)):
            pytest.skip(reason)
        return None
    # Without the translations of a torus the joint prior is one block, which is denoised at once
    candidates = ({"channels": 1}, {"channels": 2, "symmetric": False})
    priors = (gaussian_prior(pde, n, **settings) for settings in candidates)
    return next(prior for prior in priors if not refused(solver, pde, prior))


@contextmanager
def brief_searches():
    """Take two stages of the level set's annealing, and two of Gauss–Newton's way back to readings
    that it has not met, from one small ensemble: a result of the same kind in a third of the
    time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, stages in SCHEDULES.items():
            patch.setitem(SCHEDULES, name, stages[:2])
        patch.setattr(continuation, "_STAGES", 2)
        patch.setattr(continuation, "_ENSEMBLES", 1)
        patch.setattr(ensemble_start, "_MEMBERS", 20)  # 16 must be stable
        patch.setattr(ensemble_start, "_ROUNDS", 2)
        yield


def refused(solver, pde, prior):
    """Return why a solver refuses a PDE or a prior, "" if it does not."""
    try:
        solver.check(pde, Problem.of(pde, prior).prior)
    except InputError as error:
        return str(error)
    return ""
