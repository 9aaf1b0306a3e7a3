"""What a benchmark runs: cells, each a method with its options on the first instances of a task."""

from __future__ import annotations

import hashlib
import json
from dataclasses import Field, asdict, dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import torch

from pdeinv import seeds
from pdeinv.benchmarks.records import TASK, Record, settings_of, values_of
from pdeinv.benchmarks.tasks import MOST_INSTANCES, Task
from pdeinv.datasets import Problem
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors import Ensemble, Prior, load, shipped
from pdeinv.solvers import SOLVERS, OptimalInterpolation, Solver
from pdeinv.solvers.ensemble_members import draw_ensemble
from pdeinv.solvers.selection import with_options

__all__ = [
    "INSTANCES",
    "SAMPLES",
    "Cell",
    "accepted_options",
    "posterior_of",
    "prior_label",
    "solve",
    "solver_generator",
    "steps_of",
]

INSTANCES = 32
SAMPLES = 19  # so that the central 18 of the truth's 20 possible ranks are a 90 % interval
_ENSEMBLE = 500_000_000  # number of the generator of optimal interpolation's ensemble


@dataclass(frozen=True)
class Cell:
    """A method with its options on the first instances of a task.

    Arguments:
        task: what is reconstructed.
        method: a name in `pdeinv.solvers.SOLVERS`.
        instances: number of instances, at least 1.
        steps: number of steps of a diffusion solver; the published one if None.
        equireg: whether a diffusion solver uses EquiReg, or the name of one of its `VARIANTS`.
        prior: file of a prior or regressor, or a shipped one's name; the PDE's own if None.
        settings: further arguments of the method's class.
        samples: number of posterior samples, at least 2.
    """

    task: Task
    method: str
    instances: int = INSTANCES
    steps: int | None = None
    equireg: bool | str = False
    prior: str | None = None
    settings: dict[str, Any] | None = None
    samples: int = SAMPLES

    @classmethod
    def of_record(cls, row: Record) -> Cell:
        """Return the cell of one instance that made a record.

        Raises:
            InputError: the prior's file has changed since, or is missing.
        """
        given, equireg, steps, samples = values_of(
            row, ("given_prior", "equireg", "steps", "samples")
        )
        prior = given and given.split("#")[0]
        if prior and (now := prior_label(prior)) != given:
            raise InputError(
                f"the prior {prior} must be that of the record, {given}, got {now}, so it has "
                f"changed since; restore it"
            )
        task, settings = Task(*values_of(row, TASK)), settings_of(row) or None
        return cls(task, row["method"], 1, steps or None, equireg, prior, settings, samples)

    def solver(self) -> Solver:
        """Return the method's solver with the cell's options.

        Raises:
            InputError: a name, an option or a number cannot be used, or the method does not accept
                the PDE.
        """
        for name, value, least in (("instances", self.instances, 1), ("samples", self.samples, 2)):
            if value < least:
                raise InputError(f"{name} must be at least {least}, got {value}; give more")
        if self.instances > MOST_INSTANCES:
            raise InputError(
                f"instances must be at most {MOST_INSTANCES} for one seed, got {self.instances}; "
                f"give fewer"
            )
        made = _class_of(self.method)(**self._checked_settings())
        solver = with_options(made, self.equireg, self.steps)
        if self.prior and "prior" not in accepted_options(self.method):
            raise InputError(
                f"prior must be None for method {self.method!r}, which uses no prior from a file, "
                f"got {self.prior}; leave out the prior or the method"
            )
        if not solver.accepts(self.task.physics, self.prior_for(solver)):
            raise InputError(
                f"method {self.method!r} is not made for {self.task.pde}: {solver.needs}; leave "
                f"one of them out"
            )
        return solver

    def prepare(self) -> tuple[Solver, Prior]:
        """Return the solver and its prior, with what many instances share already made."""
        solver = self.solver()
        prior = self.prior_for(solver)
        if isinstance(solver, OptimalInterpolation) and not self.prior:
            return solver, _ensemble(self.task.problem, self.task.grid, solver.members)
        solver.check(self.task.physics, prior)  # which loads the shipped prior
        return solver, prior

    def check(self) -> None:
        """Refuse what would otherwise fail after hours of other cells."""
        solver = self.solver()
        solver.check(self.task.physics, self.prior_for(solver))
        self.task.instance(0)

    def key(self) -> Record:
        """Return what its records share and those of other cells do not."""
        task = {("task" if k == "kind" else k): v for k, v in asdict(self.task).items()}
        return {
            "method": self.method,
            "equireg": self.equireg,
            "steps": steps_of(self.solver()),
            "samples": self.samples,
            "given_prior": self.prior and prior_label(self.prior),
            "settings": json.dumps(self.settings, sort_keys=True) if self.settings else None,
            **task,
        }

    def prior_for(self, solver: Solver) -> Prior:
        """Return the prior that a solver is given: that of the task, or of a file.

        Where the task is of a family that the solver does not accept, it has the PDE's default
        prior instead.
        """
        if self.prior:
            return _loaded(self.prior)
        physics, prior = self.task.physics, self.task.problem.prior
        if self.task.family and not solver.accepts(physics, prior):
            return physics.default_prior
        return prior

    def _checked_settings(self) -> dict[str, Any]:
        """Return the settings, refused unless they are of the names and kinds of the defaults."""
        settings, known = self.settings or {}, _settings_of(_class_of(self.method))
        known = {k: v for k, v in known.items() if k not in ("steps", "guidance")}
        for name, value in settings.items():
            if name not in known:
                raise InputError(
                    f"a setting of method {self.method!r} must be one of "
                    f"{', '.join(sorted(known)) or 'none'}, got {name!r}; choose another"
                )
            if not _same_kind(value, usual := known[name].default):
                raise InputError(
                    f"setting {name} of method {self.method!r} must be of the kind of its default "
                    f"{usual!r}, got {value!r}; give such a value"
                )
        return settings


def accepted_options(method: str) -> set[str]:
    """Return which of a cell's options `steps`, `equireg` and `prior` the method supports."""
    made = _class_of(method)
    settings = _settings_of(made)
    supported = {
        "steps": "steps" in settings,
        "equireg": "guidance" in settings,
        "prior": bool(made.wants_prior),
    }
    return {name for name, yes in supported.items() if yes}


def steps_of(solver: Solver) -> int:
    """Return the solver's number of steps, 0 if it has none."""
    return solver.settings().get("steps", 0)


def solver_generator(i: int) -> torch.Generator:
    """Return the randomness of a solver on instance i, independent of the instance's own."""
    return seeds.generator(seeds.SOLVER, i)


def solve(
    task: Task,
    solver: Solver,
    prior: Prior,
    observation: Observation,
    i: int,
    samples: int,
    device: str = "cpu",
) -> Posterior:
    """Return a solver's posterior on instance i, with the randomness of all its records; it is
    computed on a device, and returned on the processor."""
    there, generator = observation.to(device), solver_generator(i)
    found = solver(task.physics, prior, there, n_samples=samples, generator=generator)
    return found.to("cpu")


def posterior_of(row: Record) -> tuple[torch.Tensor, Observation, Posterior]:
    """Compute again the truth (2, n, n), its observation and the posterior behind a record.

    Raises:
        InputError: the prior's file has changed since the record was made.
    """
    cell, i = Cell.of_record(row), row["instance"]
    truth, observation = cell.task.instance(i)
    return truth, observation, solve(cell.task, *cell.prepare(), observation, i, cell.samples)


@lru_cache(maxsize=4)
def prior_label(prior: str) -> str:
    """Return a shipped prior's name, or a file's path with a hash of its content.

    Raises:
        InputError: the file cannot be read.
    """
    if prior in shipped():
        return prior
    try:
        content = Path(prior).read_bytes()
    except OSError as error:
        raise InputError(
            f"the prior {prior} cannot be read ({error.strerror}); give a file, or one of "
            f"{', '.join(shipped())}"
        ) from None
    return f"{prior}#{hashlib.sha256(content).hexdigest()[:8]}"


@lru_cache(maxsize=4)
def _loaded(prior: str) -> Prior:
    # A regressor has a prior's place in its solver, and `Solver.check` refuses what has not
    return cast(Prior, load(prior))


@lru_cache(maxsize=1)
def _ensemble(problem: Problem, n: int, members: int) -> Ensemble:
    generator = seeds.generator(seeds.STATISTICS, _ENSEMBLE)
    states = draw_ensemble(problem, members, problem.physics.grid(n), generator, False)
    return Ensemble(states, problem.coefficient_prior)


def _class_of(method: str) -> type[Solver]:
    if method not in SOLVERS:
        raise InputError(
            f"method must be one of {', '.join(sorted(SOLVERS))}, got {method!r}; choose one of "
            f"them"
        )
    return SOLVERS[method]


def _settings_of(made: type[Solver]) -> dict[str, Field[Any]]:
    return {f.name: f for f in fields(made)} if is_dataclass(made) else {}


def _same_kind(value: object, usual: object) -> bool:
    """Return whether a setting is of its default's kind, as far as the default states one."""
    if isinstance(usual, bool) or isinstance(value, bool):
        return isinstance(value, bool) and (
            isinstance(usual, bool) or not isinstance(usual, (int, float, tuple))
        )
    if isinstance(usual, int):
        return isinstance(value, int)
    if isinstance(usual, float):
        return isinstance(value, (int, float))
    if isinstance(usual, tuple):
        return isinstance(value, (list, tuple)) and len(value) == len(usual)
    return True
