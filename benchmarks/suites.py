"""Fixed sets of tasks and methods, so that two people's benchmarks are the same: `pdeinv benchmark
--suite NAME`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pdeinv.benchmarks.reports.tables import LIMITS, ORDER
from pdeinv.benchmarks.runner import Cell
from pdeinv.benchmarks.tasks import Task
from pdeinv.datasets import PDES
from pdeinv.errors import InputError
from pdeinv.solvers import SOLVERS

__all__ = ["RECORDS", "SUITES", "Suite", "suite_cells"]

RECORDS = "records.jsonl"
"""Summaries in a suite's folder; the instances stand beside them."""
_CLASSICAL = ("kriging", "optimal-interpolation", "fno")
_GUIDED = ("dps", "diffusionpde", "fundps", "daps", "ddis")
# Of each noise level, at 50 levels instead of the published number
_FEW_LEVELS = {"ode_steps": 3, "langevin": 20}
_SETTINGS = {"daps": _FEW_LEVELS | {"weights": (1000.0, 1000.0)}, "ddis": _FEW_LEVELS}


@dataclass(frozen=True)
class Suite:
    """Tasks, and what runs on them.

    Arguments:
        grid, sensors, instances: of each task.
        methods: names of solvers; each runs on the PDEs that it is made for.
        guided: diffusion solvers of the literature.
        steps: of these.
        equireg: run these with EquiReg, too.
        samples, guided_samples: behind a posterior, of the methods and of the guided ones, which
            cost more.
        settings: of a method's class, by its name.
    """

    grid: int
    sensors: int
    instances: int
    methods: tuple[str, ...]
    guided: tuple[str, ...] = ()
    steps: int = 50
    equireg: bool = True
    samples: int = 19
    guided_samples: int = 4
    settings: dict = field(default_factory=dict)


SUITES = {
    "quick": Suite(
        32,
        32,
        2,
        (*LIMITS, *_CLASSICAL, "moment"),
        ("diffusionpde", "fundps"),
        steps=10,
        equireg=False,
        settings={"optimal-interpolation": {"members": 200}},
    ),
    "standard": Suite(64, 125, 32, (*LIMITS, *_CLASSICAL, "moment"), _GUIDED, settings=_SETTINGS),
    "paper": Suite(128, 500, 32, (*LIMITS, *_CLASSICAL, "moment"), ("diffusionpde", "fundps")),
}


def suite_cells(
    name: str,
    *,
    pdes: Iterable[str] = (),
    methods: Iterable[str] = (),
    instances: int | None = None,
) -> list[Cell]:
    """The cells of a suite, the cheap methods first.

    Arguments:
        name: of the suite.
        pdes, methods: those to run; all of the suite's if none are given. A method that the suite
            lacks is added with its published settings.
        instances: of each task, if not the suite's number.
    """
    if name not in SUITES:
        raise InputError(f"suite {name!r} is unknown; use one of {', '.join(SUITES)}")
    suite, pdes, methods = SUITES[name], tuple(pdes) or ORDER, tuple(methods)
    for what, known in ((pdes, PDES), (methods, SOLVERS)):
        for one in what:
            if one not in known:
                raise InputError(f"{one!r} is unknown; use one of {', '.join(known)}")
    cells = []
    for method in methods or (*suite.methods, *suite.guided):
        guided = method in suite.guided
        for equireg in (False, True) if guided and suite.equireg else (False,):
            for pde in pdes:
                if not (SOLVERS[method]().accepts(PDES[pde]()) if methods else _suits(method, pde)):
                    continue
                cells += [
                    Cell(
                        Task(pde, kind, suite.grid, suite.sensors),
                        method,
                        suite.instances if instances is None else instances,
                        steps=suite.steps if guided else None,
                        equireg=equireg,
                        settings=_settings(suite, method, pde),
                        samples=suite.guided_samples if guided else suite.samples,
                    )
                    for kind in ("forward", "inverse")
                ]
    for method in methods:
        if all(cell.method != method for cell in cells):
            raise InputError(
                f"method {method!r} is not made for {' or '.join(pdes)}: {SOLVERS[method].needs}; "
                f"leave it out"
            )
    return cells


def _suits(method: str, pde: str) -> bool:
    """Whether a suite has the method for the PDE: of the solvers that know its distribution, the
    first is its limit."""
    rivals = LIMITS if method in LIMITS else (method,)
    return next((m for m in rivals if SOLVERS[m]().accepts(PDES[pde]())), None) == method


def _settings(suite: Suite, method: str, pde: str) -> dict | None:
    settings = dict(suite.settings.get(method, {}))
    if method == "ddis" and pde == "navier-stokes" and settings:
        settings["physics"] = "operator"  # its solve is a thousand times the operator's
    return settings or None
