"""`pdeinv benchmark`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdeinv.cli.options import PDE_HELP, Device, Scheduler
from pdeinv.errors import InputError

if TYPE_CHECKING:
    from pdeinv.benchmarks.cells import Cell

__all__ = ["benchmark", "parsed_settings"]

Out = Annotated[
    Path | None,
    typer.Option(help="Folder of a suite's records; or JSON-lines file of summaries."),
]
SuiteName = Annotated[
    str | None,
    typer.Option(help="quick (minutes), standard or paper: fixed tasks and methods."),
]
Pdes = Annotated[
    list[str] | None,
    typer.Option(help=f"{PDE_HELP} May be repeated."),
]
Methods = Annotated[
    list[str] | None,
    typer.Option("--method", "--methods", help="A solver's name; may be repeated."),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(
        help="forward, inverse or both; may be repeated. The first two if not given.",
    ),
]
Nodes = Annotated[int, typer.Option(help="Nodes per side.")]
SensorCounts = Annotated[
    list[int] | None,
    typer.Option(
        help="Random nodes observed on each observed field; may be repeated. 125 if not given."
    ),
]
NoiseLevels = Annotated[
    list[float] | None,
    typer.Option(
        help="Noise, relative to the observed field's standard deviation; may be repeated. 0 if "
        "not given."
    ),
]
Family = Annotated[
    str,
    typer.Option(
        help="channels, inclusions, scenarios, spikes or vortices: a coefficient that is not "
        "Gaussian, of which the solvers have the distribution."
    ),
]
Variant = Annotated[
    str,
    typer.Option(
        help="standard; or out of distribution, while the solvers keep the standard PDE: "
        "smoother, rougher, contrast or viscosity, for a PDE that has the parameter."
    ),
]
StepCounts = Annotated[
    list[int] | None,
    typer.Option(
        help="Steps of the diffusion solvers; may be repeated. The published number if not given."
    ),
]
EquiRegUse = Annotated[
    str,
    typer.Option(
        help="For the diffusion solvers: off, on, both, identity (no symmetry, a control), equi "
        "(the other loss) or reweight (no gradient)."
    ),
]
PriorFile = Annotated[
    str | None,
    typer.Option(
        help="For fno and the diffusion solvers: file of a trained model, or a shipped one's name."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another argument of the methods' classes; may be repeated.",
    ),
]
Samples = Annotated[int, typer.Option(help="Posterior samples of each instance.")]
Instances = Annotated[
    int | None,
    typer.Option(help="Random instances of each task; 32 or the suite's if not given."),
]
InstanceSeed = Annotated[
    int,
    typer.Option(
        help="Seed of the instances: 0 to 2146 to compare methods, 2700 to 2998 to choose settings."
    ),
]
Processes = Annotated[int, typer.Option(help="Number of worker processes, one thread each.")]
Budgets = Annotated[
    list[float] | None,
    typer.Option(
        help="Seconds for an instance, from which each method's number of steps follows; may be "
        "repeated."
    ),
]
Verify = Annotated[
    bool,
    typer.Option(
        "--verify",
        help="Compute the first instances of the standard suite again and compare them with the "
        "recorded baseline; exit code 1 if one differs. --pde, --method and --instances choose "
        "among them.",
    ),
]
RecordBaseline = Annotated[
    bool, typer.Option("--record-baseline", help="Write the baseline that --verify compares with.")
]

_WITH_SUITE = (
    *("out", "suite", "pde", "method", "instances"),
    *("processes", "scheduler", "device", "budget"),
)
_WITH_BASELINE = {
    "verify": ("verify", "pde", "method", "instances", "processes"),
    "record_baseline": ("record_baseline", "processes"),
}


def benchmark(
    context: typer.Context,
    out: Out = None,
    suite: SuiteName = None,
    pde: Pdes = None,
    method: Methods = None,
    task: Tasks = None,
    grid: Nodes = 64,
    sensors: SensorCounts = None,
    noise: NoiseLevels = None,
    variant: Variant = "standard",
    family: Family = "",
    steps: StepCounts = None,
    equireg: EquiRegUse = "off",
    prior: PriorFile = None,
    setting: Settings = None,
    samples: Samples = 19,
    instances: Instances = None,
    seed: InstanceSeed = 0,
    processes: Processes = 1,
    scheduler: Scheduler = None,
    device: Device = "cpu",
    budget: Budgets = None,
    verify: Verify = False,
    record_baseline: RecordBaseline = False,
) -> None:
    """Score solvers on random instances against the truth; a repeated run resumes.

    With --suite the tasks and the methods' settings are fixed; --pde, --method and --instances
    choose among them. The ranked table comes last, and `pdeinv report` writes the whole page.
    """
    from pdeinv.benchmarks.budget import fit_to_budget
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.reports.tables import ranked_table, table
    from pdeinv.benchmarks.runner import run_cells
    from pdeinv.benchmarks.suites import RECORDS, suite_cells
    from pdeinv.files import check_writable, ensure_folder
    from pdeinv.locking import sole_writer

    if processes < 1:
        raise InputError(f"--processes must be at least 1, got {processes}; leave it out for one")
    if verify or record_baseline:
        return _baseline(context, verify, pde, method, instances, processes)
    if out is None:
        raise InputError("--out is missing; name a suite's folder, or a JSON-lines file")
    if suite:
        fault = "is fixed by a suite; leave it out, or name --pde and --method instead of --suite"
        _refuse_all_but(_WITH_SUITE, context, fault)
        cells = suite_cells(suite, pdes=pde or (), methods=method or (), instances=instances)
        out = check_writable(ensure_folder(out) / RECORDS)
    else:
        cells = _product(context.params)
        check_writable(out)
    staff: dict[str, Any] = {"processes": processes, "scheduler": scheduler, "device": device}
    with sole_writer(out):
        cells = fit_to_budget(cells, budget or (), out)
        records = run_cells(cells, out, command=typed_command(), progress=True, **staff)
    typer.echo(ranked_table(records) if suite else table(records))


def _product(given: dict[str, Any]) -> list[Cell]:
    """Return the cells of a command without --suite, from its options by name."""
    from pdeinv.benchmarks.suites import EQUIREG_CHOICES, product_cells

    if not given["pde"] or not given["method"]:
        raise InputError("without --suite a run needs --pde and --method; try --suite quick")
    if given["budget"] and given["steps"]:
        raise InputError("--budget decides the steps; leave out --steps")
    if given["equireg"] not in EQUIREG_CHOICES:
        raise InputError(
            f"--equireg must be one of {', '.join(EQUIREG_CHOICES)}, got {given['equireg']!r}; "
            f"choose one of them"
        )
    options = {"tasks": "task", "sensors": "sensors", "noise": "noise", "steps": "steps"}
    several = {name: given[option] for name, option in options.items() if given[option]}
    if given["instances"] is not None:
        several["instances"] = given["instances"]
    return product_cells(
        given["pde"],
        given["method"],
        grid=given["grid"],
        variant=given["variant"],
        family=given["family"],
        seed=given["seed"],
        equireg=EQUIREG_CHOICES[given["equireg"]],
        prior=given["prior"],
        settings=parsed_settings(given["setting"] or []),
        samples=given["samples"],
        **several,
    )


def _baseline(
    context: typer.Context,
    compare: bool,
    pdes: list[str] | None,
    methods: list[str] | None,
    instances: int | None,
    processes: int,
) -> None:
    """Compare with the baseline, or write it."""
    from pdeinv.benchmarks.verify import record_baseline, verify

    name = "verify" if compare else "record_baseline"
    fault = f"has no effect with --{name.replace('_', '-')}; leave it out"
    _refuse_all_but(_WITH_BASELINE[name], context, fault)
    if not compare:
        return record_baseline(processes=processes, progress=True)
    if verify(
        pdes=pdes or (),
        methods=methods or (),
        instances=instances,
        processes=processes,
        progress=True,
        echo=typer.echo,
    ):
        raise typer.Exit(1)


def _refuse_all_but(allowed: tuple[str, ...], context: typer.Context, fault: str) -> None:
    """Refuse any other option on the command line."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE" and name not in allowed:
            raise InputError(f"{parameter.opts[0]} {fault}")


def parsed_settings(given: list[str]) -> dict[str, Any]:
    """Return values by name, of NAME=VALUE.

    A value is a Python literal, or true, false or none in any case, else text.

    Raises:
        InputError: one is not of this form.
    """
    import ast

    words = {"true": True, "false": False, "none": None}
    settings: dict[str, Any] = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(f"--set must be NAME=VALUE, got {item!r}; give such as --set weight=2")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = words.get(value.lower(), value)
    return settings
