"""Which cells a benchmark has: fixed suites, so that two people's are the same, or a product."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pdeinv.benchmarks import published
from pdeinv.benchmarks.cells import INSTANCES, SAMPLES, Cell, accepted_options
from pdeinv.benchmarks.summary import FAMILY_LIMITS, LIMITS
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import PDES
from pdeinv.errors import InputError
from pdeinv.solvers import SOLVERS
from pdeinv.solvers.learned import LearnedSolver
from pdeinv.solvers.selection import VARIANTS

__all__ = ["EQUIREG_CHOICES", "RECORDS", "SUITES", "Suite", "product_cells", "suite_cells"]

RECORDS = "records.jsonl"
"""File of the summaries in a suite's folder; that of the instances is next to it."""
EQUIREG_CHOICES: dict[str, tuple[bool | str, ...]] = {
    "off": (False,),
    "on": (True,),
    "both": (False, True),
    **{name: (name,) for name in VARIANTS if isinstance(name, str)},
}
"""The uses of EquiReg that a run compares, by the name on the command line."""
_CLASSICAL = ("kriging", "optimal-interpolation", "fno")
_GUIDED = ("dps", "diffusionpde", "fundps", "daps", "ddis")
_PAPER = ("diffusionpde", "fundps")
# Of each noise level, at 50 levels instead of the published number
_FEW_LEVELS = {"ode_steps": 3, "langevin": 20}
_SETTINGS: dict[str, dict[str, Any]] = {
    "daps": _FEW_LEVELS | {"weights": (1000.0, 1000.0)},
    "ddis": _FEW_LEVELS,
}


@dataclass(frozen=True)
class Suite:
    """Tasks, and what runs on them.

    Arguments:
        grid, sensors, instances: of each task, as in `Task` and `Cell`.
        methods: names of solvers; each runs on the PDEs that it accepts.
        guided: names of published diffusion solvers.
        steps: number of steps of the guided ones.
        regularised: names of the methods that run with EquiReg, too.
        samples: number of posterior samples of the methods.
        guided_samples: the same of the guided ones, which cost more.
        guided_instances: number of instances of theirs; `instances` if None.
        settings: further arguments of a method's class, by the method's name.
        tasks: those of the suite; forward and inverse ones of each PDE if there are none.
    """

    grid: int
    sensors: int
    instances: int
    methods: tuple[str, ...]
    guided: tuple[str, ...] = ()
    steps: int = 50
    regularised: tuple[str, ...] = ()
    samples: int = SAMPLES
    guided_samples: int = 4
    guided_instances: int | None = None
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: tuple[Task, ...] = ()

    def tasks_of(self, pde: str) -> list[Task]:
        """Return the tasks of a PDE."""
        if self.tasks:
            return [task for task in self.tasks if task.pde == pde]
        return [Task(pde, kind, self.grid, self.sensors) for kind in ("forward", "inverse")]


def _beyond(family: str, pde: str, *conditions: tuple[int, float]) -> tuple[Task, ...]:
    """Return inverse tasks of a family, each with a number of sensors and a noise."""
    return tuple(Task(pde, "inverse", 64, m, noise, family=family) for m, noise in conditions)


_MEDIA = ((125, 0.01), (125, 0.05), (40, 0.02), (40, 0.05), (20, 0.05))
_FIELDS = ((125, 0.01), (40, 0.05))
_BEYOND = (
    *_beyond("channels", "darcy", *_MEDIA),
    *_beyond("inclusions", "darcy", *_MEDIA),
    *_beyond("scenarios", "poisson", *_FIELDS),
    *_beyond("scenarios", "helmholtz", *_FIELDS),
    *_beyond("spikes", "poisson", *_FIELDS),
    *_beyond("spikes", "helmholtz", *_FIELDS),
    *_beyond("vortices", "navier-stokes", *_FIELDS),
)

SUITES = {
    "quick": Suite(
        32,
        32,
        2,
        (*LIMITS, *_CLASSICAL, "moment"),
        ("diffusionpde", "fundps"),
        steps=10,
        settings={"optimal-interpolation": {"members": 200}},
    ),
    "standard": Suite(
        64,
        125,
        32,
        (*LIMITS, *_CLASSICAL, "moment"),
        _GUIDED,
        regularised=_GUIDED,
        settings=_SETTINGS,
    ),
    "paper": Suite(128, 500, 32, (*LIMITS, *_CLASSICAL, "moment"), _PAPER, regularised=_PAPER),
    "beyond": Suite(
        64,
        125,
        16,
        (
            *FAMILY_LIMITS,
            "level-set",
            "gaussian",
            "gauss-newton",
            "optimal-interpolation",
            "moment",
        ),
        _GUIDED[1:],
        regularised=("moment", *_GUIDED[1:]),
        guided_instances=8,
        settings=_SETTINGS
        | {
            "optimal-interpolation": {"members": 5000},
            "object-chains": {"runs": 2},
        },
        tasks=_BEYOND,
    ),
}


def suite_cells(
    name: str,
    *,
    pdes: Iterable[str] = (),
    methods: Iterable[str] = (),
    instances: int | None = None,
) -> list[Cell]:
    """Return the cells of a suite, those of the cheap methods first.

    Arguments:
        name: of the suite.
        pdes: names of the PDEs to run; the published ones if none are given.
        methods: names of the methods to run; the suite's if none are given. A method that the suite
            lacks has its published settings.
        instances: number of instances of each task; the suite's if None.

    Raises:
        InputError: a name is unknown, or a method accepts none of the PDEs.
    """
    if name not in SUITES:
        raise InputError(
            f"suite must be one of {', '.join(SUITES)}, got {name!r}; choose one of them"
        )
    suite, pdes, methods = SUITES[name], tuple(pdes) or published.PDES, tuple(methods)
    for what, names, known in (("pde", pdes, PDES), ("method", methods, SOLVERS)):
        for one in names:
            if one not in known:
                raise InputError(
                    f"{what} must be one of {', '.join(known)}, got {one!r}; choose one of them"
                )
    cells = []
    for method in methods or (*suite.methods, *suite.guided):
        suits = _accepts if methods else _belongs
        on = [task for pde in pdes for task in suite.tasks_of(pde) if suits(method, task)]
        if methods and not on:
            raise InputError(
                f"method {method!r} is not made for {' or '.join(pdes)}: {SOLVERS[method].needs}; "
                f"leave it out"
            )
        for equireg in (False, True) if method in suite.regularised else (False,):
            cells += [_suite_cell(suite, method, task, equireg, instances) for task in on]
    return cells


def _suite_cell(
    suite: Suite, method: str, task: Task, equireg: bool, instances: int | None
) -> Cell:
    guided = method in suite.guided
    usual = (guided and suite.guided_instances) or suite.instances
    settings = dict(suite.settings.get(method, {}))
    if settings:
        settings |= published.SETTINGS.get((method, task.pde), {})
    return Cell(
        task,
        method,
        usual if instances is None else instances,
        steps=suite.steps if guided else None,
        equireg=equireg,
        settings=settings or None,
        samples=suite.guided_samples if guided else suite.samples,
    )


def _accepts(method: str, task: Task) -> bool:
    """Return whether a method accepts a task; where a family is none for it, with the default prior
    of the PDE."""
    physics, solver = task.physics, SOLVERS[method]()
    priors = [task.problem.prior, *([physics.default_prior] if task.family else [])]
    return any(solver.accepts(physics, prior) for prior in priors)


def _belongs(method: str, task: Task) -> bool:
    """Return whether a suite has the method for the task: of the limits only the first one, and a
    learned method where a model of the family is shipped."""
    if task.family and isinstance(solver := SOLVERS[method](), LearnedSolver):
        return solver.is_shipped(task.physics, task.problem.prior)
    kinds = (LIMITS, FAMILY_LIMITS)
    rivals = next((kind for kind in kinds if method in kind), (method,))
    return next((m for m in rivals if _accepts(m, task)), None) == method


def product_cells(
    pdes: Iterable[str],
    methods: Iterable[str],
    *,
    tasks: Iterable[str] = ("forward", "inverse"),
    grid: int = 64,
    sensors: Iterable[int] = (125,),
    noise: Iterable[float] = (0.0,),
    variant: str = "standard",
    family: str = "",
    seed: int = 0,
    steps: Iterable[int] = (),
    equireg: Iterable[bool | str] = (False,),
    prior: str | None = None,
    settings: dict[str, Any] | None = None,
    samples: int = SAMPLES,
    instances: int = INSTANCES,
) -> list[Cell]:
    """Return a cell for every combination of PDEs, tasks, noise, sensors, methods and options.

    A method that does not accept an option runs once, without it.

    Arguments:
        pdes, tasks, grid, sensors, noise, variant, family, seed: values of the tasks, as in `Task`.
        methods, steps, equireg, prior, settings, samples, instances: values of the cells, as in
            `Cell`; no steps for the published ones.

    Raises:
        InputError: a method is unknown, or an option is supported by none of the methods.

    Example:
        >>> cells = product_cells(["poisson"], ["kriging", "fundps"], steps=[10, 20])
        >>> [(cell.task.kind, cell.method, cell.steps) for cell in cells][:3]
        [('forward', 'kriging', None), ('forward', 'fundps', 10), ('forward', 'fundps', 20)]
    """
    methods = tuple(methods)
    options = [
        {"steps": n, "equireg": on, "prior": prior}
        for n, on in itertools.product(tuple(steps) or (None,), equireg)
    ]
    accepted = {method: accepted_options(method) for method in methods}
    for name, absent in _ABSENT.items():
        wanted = any(option[name] is not absent for option in options)
        if wanted and not any(name in known for known in accepted.values()):
            raise InputError(
                f"{name} must be left out, for none of the methods {', '.join(methods)} supports "
                f"it; or add a method that does"
            )
    return [
        Cell(
            Task(pde, kind, grid, m, level, seed, variant, family),
            method,
            instances,
            settings=settings,
            samples=samples,
            **option,
        )
        for pde, kind, level, m, method in itertools.product(pdes, tasks, noise, sensors, methods)
        for option in _reduced(options, accepted[method])
    ]


_ABSENT: dict[str, Any] = {"steps": None, "equireg": False, "prior": None}


def _reduced(options: Sequence[dict[str, Any]], accepted: set[str]) -> list[dict[str, Any]]:
    """Return the options without those that are not accepted, each once."""
    absent = {name: value for name, value in _ABSENT.items() if name not in accepted}
    found = [option | absent for option in options]
    return [option for i, option in enumerate(found) if option not in found[:i]]
