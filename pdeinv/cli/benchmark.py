"""`pdeinv benchmark`, `pdeinv report` and `pdeinv equivariance`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import PdeName, Seed
from pdeinv.errors import InputError

__all__ = ["benchmark", "equivariance", "report"]


def benchmark(
    context: typer.Context,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of a suite's records; or JSON-lines file of summaries."),
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="quick (minutes), standard or paper: tasks and methods that are fixed."),
    ] = None,
    pde: Annotated[
        list[str], typer.Option(help="poisson, helmholtz, darcy or navier-stokes; may be repeated.")
    ] = (),
    method: Annotated[
        list[str], typer.Option("--method", "--methods", help="A solver's name; may be repeated.")
    ] = (),
    task: Annotated[list[str], typer.Option(help="forward, inverse or both; may be repeated.")] = (
        "forward",
        "inverse",
    ),
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 64,
    sensors: Annotated[
        list[int],
        typer.Option(help="Random nodes observed on each observed field; may be repeated."),
    ] = (125,),
    noise: Annotated[
        list[float],
        typer.Option(
            help="Noise, relative to the observed field's standard deviation; may be repeated."
        ),
    ] = (0.0,),
    variant: Annotated[
        str,
        typer.Option(
            help="standard; or out of distribution, of which the solvers are not told: smoother, "
            "rougher, contrast (Darcy), "
            "viscosity (Navier-Stokes)."
        ),
    ] = "standard",
    steps: Annotated[
        list[int] | None,
        typer.Option(
            help="Steps of the solvers by diffusion, as published if not given; may be repeated."
        ),
    ] = None,
    equireg: Annotated[
        str,
        typer.Option(
            help="For the solvers by diffusion: off, on, both, identity (no symmetry, a control), "
            "equi (the other loss) or "
            "reweight (no gradient)."
        ),
    ] = "off",
    prior: Annotated[
        str | None,
        typer.Option(
            help="File, or name of a shipped prior, for fno and the solvers by diffusion."
        ),
    ] = None,
    setting: Annotated[
        list[str],
        typer.Option(
            "--set", help="NAME=VALUE, another argument of the methods' classes; may be repeated."
        ),
    ] = (),
    samples: Annotated[int, typer.Option(help="Posterior samples of each instance.")] = 19,
    instances: Annotated[
        int | None,
        typer.Option(help="Random instances of each task, 32 or the suite's if not given."),
    ] = None,
    seed: Seed = 0,
    processes: Annotated[int, typer.Option(help="That share the work, with one thread each.")] = 1,
    budget: Annotated[
        list[float] | None,
        typer.Option(
            help="Seconds an instance, which decide the steps of each method that has steps; may "
            "be repeated."
        ),
    ] = None,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify",
            help="Compare the standard suite's first instances with the recorded baseline.",
        ),
    ] = False,
    record_baseline: Annotated[
        bool, typer.Option("--record-baseline", help="Write that baseline.")
    ] = False,
) -> None:
    """Score solvers on random instances against the truth; a repeated run resumes and adds nothing
    that is there.

    With --suite the tasks and the methods' settings are fixed; --pde, --method and --instances
    choose among them. The ranked table comes last, and `pdeinv report` writes the whole page.
    """
    import itertools
    import shlex

    from pdeinv.benchmarks.budget import fit_to_budget
    from pdeinv.benchmarks.reports.tables import ranked_table, table
    from pdeinv.benchmarks.runner import Cell, run_cells, takes
    from pdeinv.benchmarks.suites import RECORDS, suite_cells
    from pdeinv.benchmarks.tasks import Task
    from pdeinv.files import check_writable, ensure_folder

    if verify or record_baseline:
        return _verify(verify, pde, method, instances, processes)
    if out is None:
        raise InputError(
            "--out is missing; name a folder for a suite's records, or a JSON-lines file"
        )
    if samples < 2:
        raise InputError(f"--samples {samples} must be at least 2")
    if processes < 1:
        raise InputError(f"--processes {processes} must be at least 1")
    if budget and steps:
        raise InputError("--budget decides the steps; leave out --steps")
    command = shlex.join(["pdeinv", *sys.argv[1:]])

    if suite:
        _fixed(context)
        cells = suite_cells(suite, pdes=pde, methods=method, instances=instances)
        out = check_writable(ensure_folder(out) / RECORDS)
        cells = fit_to_budget(cells, budget or (), out, processes)
        records = run_cells(cells, out, command=command, progress=True, processes=processes)
        typer.echo(ranked_table(records))
        return
    if not pde or not method:
        raise InputError("without --suite a run needs --pde and --method; try --suite quick")
    check_writable(out)
    variants = {"off": [False], "on": [True], "both": [False, True]}
    variants |= {name: [name] for name in ("identity", "equi", "reweight")}
    if equireg not in variants:
        raise InputError(f"--equireg {equireg!r} is unknown; use one of {', '.join(variants)}")
    options = [
        {
            "steps": n,
            "equireg": on,
            "prior": prior,
            "settings": _settings(setting),
            "samples": samples,
        }
        for n, on in itertools.product(steps or [None], variants[equireg])
    ]
    instances = 32 if instances is None else instances
    for name in ("steps", "equireg", "prior"):
        if any(option[name] for option in options) and not any(
            name in takes(solver) for solver in method
        ):
            raise InputError(
                f"--{name} means nothing to {' or '.join(method)}; leave it out, or add a "
                f"--method that takes it"
            )
    cells = [
        Cell(Task(name, kind, grid, m, level, seed, variant), solver, instances, **option)
        for name, kind, level, m, solver in itertools.product(pde, task, noise, sensors, method)
        for option in _meant(options, takes(solver))
    ]
    cells = fit_to_budget(cells, budget or (), out, processes)
    records = run_cells(cells, out, command=command, progress=True, processes=processes)
    typer.echo(table(records))


def _verify(compare: bool, pdes, methods, instances: int | None, processes: int) -> None:
    from pdeinv.benchmarks.verify import record_baseline, verify

    if not compare:
        return record_baseline(processes=processes, progress=True)
    if verify(
        pdes=pdes,
        methods=methods,
        instances=instances,
        processes=processes,
        progress=True,
        echo=typer.echo,
    ):
        raise typer.Exit(1)


def _meant(options: list[dict], taken: set[str]) -> list[dict]:
    """The options without what the method does not take, each once."""
    nothing = {"steps": None, "equireg": False, "prior": None}
    found = [option | {k: v for k, v in nothing.items() if k not in taken} for option in options]
    return [option for i, option in enumerate(found) if option not in found[:i]]


def _fixed(context: typer.Context) -> None:
    """Refuse what a suite decides itself."""
    free = ("out", "suite", "pde", "method", "instances", "processes", "budget")
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name).name == "COMMANDLINE"
        if given and parameter.name not in free:
            raise InputError(
                f"a suite fixes {parameter.opts[0]}; leave it out, or leave out --suite and name "
                f"--pde and --method"
            )


def _settings(given: list[str]) -> dict:
    """NAME=VALUE pairs; a value is a Python literal or its lower case, true, false or none; or else
    text."""
    import ast

    words = {"true": True, "false": False, "none": None}
    settings = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(f"--set {item!r} is not NAME=VALUE, such as --set weight=2")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = words.get(value.lower(), value)
    return settings


def report(
    place: Annotated[
        Path,
        typer.Argument(
            help="What `pdeinv benchmark --out` was given: the folder of a suite, or a file "
            "NAME.jsonl."
        ),
    ],
    pictures: Annotated[
        bool,
        typer.Option(
            help="Reconstruct the best, the median and the worst instance again, to show them."
        ),
    ] = True,
) -> None:
    """Write report.md and report.html (one file, figures inside) from the records of a
    benchmark."""
    from pdeinv.benchmarks.reports.html_report import write_page

    for path in write_page(place, pictures=pictures, progress=True):
        typer.echo(path)


def equivariance(
    pde: PdeName,
    prior: Annotated[
        str | None, typer.Option(help="File of a trained prior; the shipped one if not given.")
    ] = None,
    inverse_operator: Annotated[
        str | None,
        typer.Option(help="File of `pdeinv train --model inverse-operator`, one more candidate."),
    ] = None,
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 64,
    fields: Annotated[int, typer.Option(help="Fields of each kind.")] = 32,
    out: Annotated[Path | None, typer.Option(help="JSON-lines file to write.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")] = None,
) -> None:
    """Measure which function tells fields of the PDE from others by its equivariance, as EquiReg
    needs it."""
    import json

    from pdeinv.files import atomic_write, check_figure, check_writable

    if out:
        check_writable(out)
    if plot:
        check_figure(plot)
    if fields < 2:
        raise InputError(f"--fields {fields} must be at least 2")
    from pdeinv.benchmarks.studies import equivariance as module
    from pdeinv.benchmarks.provenance import provenance
    from pdeinv.datasets import pde_by_name
    from pdeinv.priors import NeuralOperator, load

    physics = pde_by_name(pde)
    known = load(prior or pde)
    if [f.name for f in getattr(known, "fields", ())] != [
        f.name for f in physics.fields
    ] or not hasattr(known, "denoise"):
        raise InputError(
            f"{prior or pde} is no prior of {' and '.join(f.name for f in physics.fields)}; give "
            f"one that is"
        )
    inverse = load(inverse_operator) if inverse_operator else None
    names = [f.name for f in physics.fields[::-1]]
    if inverse and (
        not isinstance(inverse, NeuralOperator) or [f.name for f in inverse.fields] != names
    ):
        raise InputError(
            f"{inverse_operator} is no operator from {names[0]} to {names[1]}; train one with "
            f"`pdeinv train DATA "
            "--model inverse-operator`"
        )
    functions = module.candidates(physics, known, inverse=inverse)
    records = module.measure(physics, known, functions, grid=grid, n=fields, progress=True)
    typer.echo(module.table(records))
    if out:
        made = provenance(" ".join(["pdeinv", *sys.argv[1:]]))
        with atomic_write(out) as temporary:
            temporary.write_text("".join(json.dumps(r | made) + "\n" for r in records))
    if plot:
        module.plot(records, plot)
