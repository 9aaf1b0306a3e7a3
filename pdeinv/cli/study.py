"""`pdeinv study NAME`: measurements apart from the suites, and what is made of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from pdeinv.cli.options import PDE_HELP, Seed
from pdeinv.errors import InputError

__all__ = ["checked_instances", "study"]


def checked_instances(instances: int) -> int:
    """Return a number of instances; refuse none, and more than any run can finish."""
    from pdeinv.checks import Bounds, integer

    return integer("--instances", instances, Bounds(1, 10**6))


study = typer.Typer(
    help="Measure solvers, limits and priors apart from the suites; make tables and figures of "
    "recorded results.",
    no_args_is_help=True,
)

ResumingOut = Annotated[
    Path, typer.Option(help="JSON-lines file of the records; a repeated run keeps them.")
]
RecordFiles = Annotated[list[Path], typer.Argument(help="JSON-lines files of records.")]
Methods = Annotated[
    list[str] | None, typer.Option("--method", help="Only this method; may be repeated.")
]
Instances = Annotated[int, typer.Option(callback=checked_instances, help="Instances of each task.")]
Nodes = Annotated[int, typer.Option(help="Nodes per side.")]
Cases = Annotated[
    list[str] | None, typer.Option(help="Name of a case; may be repeated. All if not given.")
]
FigureFile = Annotated[
    Path | None, typer.Option("--plot", help="Figure to write: .png, .pdf or .svg.")
]


def measure(
    run: Callable[..., Any], table: Callable[[Any], str], out: Path, **options: object
) -> None:
    """Run a study, and print each record and then the table."""
    from pdeinv.benchmarks.provenance import typed_command

    typer.echo(table(run(out, **options, command=typed_command(), echo=typer.echo)))


def checked_names(given: Iterable[str], known: Iterable[str], what: str = "method") -> list[str]:
    """Return the given methods, or what else it is; refuse one that the study does not have."""
    given, known = list(given), list(dict.fromkeys(known))
    for name in given:
        if name not in known:
            raise InputError(f"{what} must be one of {', '.join(known)}, got {name!r}; choose one")
    return given


@study.command()
def tables(files: RecordFiles, method: Methods = None) -> None:
    """Print records as one table."""
    from pdeinv.benchmarks.records import select_records
    from pdeinv.benchmarks.reports.tables import TABULATED, table

    typer.echo(table(select_records(files, method or (), TABULATED)))


@study.command()
def figures(
    kind: Annotated[
        str, typer.Argument(help="over-limit, ranks, spectra, seconds or evaluations.")
    ],
    files: RecordFiles,
    out: Annotated[Path, typer.Option(help="Figure to write: .png, .pdf or .svg.")],
    method: Methods = None,
) -> None:
    """Draw a figure of summaries."""
    from pdeinv.benchmarks.records import select_records
    from pdeinv.benchmarks.reports.figures import FIGURES
    from pdeinv.files import check_figure, save_figure

    if kind not in FIGURES:
        raise InputError(
            f"the figure must be one of {', '.join(FIGURES)}, got {kind!r}; choose one of them"
        )
    check_figure(out)
    save_figure(FIGURES[kind](select_records(files, method or ())), out)


@study.command()
def docs_tables(
    pages: Annotated[list[Path], typer.Argument(help="Markdown files, in the repository.")],
) -> None:
    """Write the tables and the claims' numbers of documentation pages again, of the records in
    benchmarks/results."""
    from pdeinv.benchmarks.claims.update import update_numbers
    from pdeinv.benchmarks.reports.docs_tables import RESULTS, update_pages

    update_pages(pages)
    update_numbers(pages, RESULTS)


@study.command()
def ablation(
    files: Annotated[list[Path], typer.Argument(help="JSON-lines files of instances.")],
    plot: FigureFile = None,
) -> None:
    """Compare EquiReg on and off, instance by instance, in records of `benchmark --equireg both`.

    The figure is of the gain against the number of steps.
    """
    from pdeinv.benchmarks.kinds import INSTANCES
    from pdeinv.benchmarks.records import read_records
    from pdeinv.benchmarks.studies.ablation import ablation_page, plot_gain
    from pdeinv.files import check_figure, save_figure

    if plot:
        check_figure(plot)
    rows = read_records(*files, kinds=(INSTANCES,))
    typer.echo(ablation_page(rows))
    if plot:
        save_figure(plot_gain(rows), plot)


@study.command()
def gaussian_limit(
    out: ResumingOut,
    pde: Annotated[
        str | None, typer.Option(help=f"{PDE_HELP} It must be linear; by default the study's own.")
    ] = None,
    instances: Instances = 8,
    grid: Nodes = 64,
    steps: Annotated[
        list[int] | None,
        typer.Option(help="Number of steps; may be repeated. 20, 50, 100, 500 if not given."),
    ] = None,
    method: Methods = None,
) -> None:
    """Run the diffusion solvers where the posterior is known: under a Gaussian prior."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies import gaussian_limit as module

    records = module.run(
        out,
        pde=pde or module.PDE_NAME,
        instances=instances,
        grid=grid,
        steps=steps or module.STEPS,
        methods=method or (),
        command=typed_command(),
    )
    typer.echo(module.limit_table(records))


@study.command()
def numerics(
    out: ResumingOut,
    grid: Nodes = 128,
    n: Annotated[int, typer.Option(help="Pairs to generate.")] = 1000,
    seed: Seed = 0,
) -> None:
    """Measure the errors of the PDE solvers, the time of generation and the data's statistics."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.records import read_records
    from pdeinv.benchmarks.reports.tables import table
    from pdeinv.benchmarks.studies.numerics import run

    run(out, grid=grid, n=n, seed=seed, command=typed_command())
    typer.echo(table(read_records(out)))


@study.command()
def reference(
    out: ResumingOut,
    pde: Annotated[
        list[str] | None,
        typer.Option(help="Name of a PDE; may be repeated. The nonlinear ones if not given."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="forward or inverse; may be repeated. Both if not given."),
    ] = None,
    grid: Nodes = 64,
    sensors: Annotated[int, typer.Option(help="Random nodes with a sensor.")] = 125,
    noise: Annotated[
        float, typer.Option(help="Above 0, relative to the field's standard deviation.")
    ] = 0.01,
    instances: Instances = 2,
    chains: Annotated[int, typer.Option(help="Number of Markov chains, even.")] = 8,
    steps: Annotated[int, typer.Option(help="Steps of each chain.")] = 8000,
    log_std: Annotated[
        list[float] | None,
        typer.Option(
            help="Standard deviation of the logarithm of a log-normal medium, which takes the "
            "place of PDEs and tasks; may be repeated."
        ),
    ] = None,
) -> None:
    """Compare the reference solvers with long Markov chains."""
    from pdeinv.benchmarks import published
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies.media import MediumTask
    from pdeinv.benchmarks.studies.reference import run
    from pdeinv.benchmarks.tasks import Task
    from pdeinv.datasets import PDES

    if log_std and (pde or task):
        raise InputError(
            "log_std must be given without pde and task, got both; leave out one of them"
        )
    pdes = pde or [name for name in published.PDES if not PDES[name].linear]
    tasks = [
        Task(name, kind, grid, sensors, noise)
        for name in pdes
        for kind in task or ("forward", "inverse")
    ]
    media = [MediumTask(std, grid, sensors, noise) for std in log_std or ()]
    run(
        out,
        media or tasks,
        instances,
        chains=chains,
        steps=steps,
        command=typed_command(),
        echo=typer.echo,
    )


@study.command()
def timing(out: ResumingOut, plot: FigureFile = None) -> None:
    """Measure the moment solver's time and memory, next to its rivals' and as tasks grow."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies.timing import cost_table, plot_scaling, run, scaling_table
    from pdeinv.files import check_figure, save_figure

    if plot:
        check_figure(plot)
    records = run(out, command=typed_command())
    typer.echo(f"{cost_table(records)}\n\n{scaling_table(records)}")
    if plot:
        save_figure(plot_scaling(records), plot)


@study.command()
def priors(
    prior: Annotated[
        list[str] | None, typer.Argument(help="Shipped models' names, or files of models.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="JSON-lines file; a record of the same training is kept."),
    ] = Path("benchmarks/results/priors.jsonl"),
    figures: Annotated[Path, typer.Option(help="Folder for a PNG of each prior.")] = Path(
        "docs/figures"
    ),
    cards: Annotated[
        Path | None, typer.Option(help="Markdown file to write of all records of --out.")
    ] = None,
    ablation: Annotated[
        Path, typer.Option(help="Records of `pdeinv study prior-ablation` for the cards.")
    ] = Path("benchmarks/results/prior-ablation.jsonl"),
) -> None:
    """Measure trained priors, neural operators and regressors, and write their cards."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.studies.prior_reports import run, write_cards

    for record in run(prior or (), out, figures, command=typed_command()):
        typer.echo(f"{record['prior']}: measured, {out}")
    if cards:
        write_cards(cards, out, ablation)


@study.command()
def prior_ablation(
    prior: Annotated[list[str], typer.Argument(help="Files of priors trained on one dataset.")],
    out: Annotated[Path, typer.Option(help="JSON-lines file to write.")] = Path(
        "benchmarks/results/prior-ablation.jsonl"
    ),
) -> None:
    """Compare priors trained with and without the Gaussian part and the symmetries."""
    from pdeinv.benchmarks.provenance import typed_command
    from pdeinv.benchmarks.records import write_records
    from pdeinv.benchmarks.studies.prior_ablation import ablation_section, compared
    from pdeinv.files import check_writable

    check_writable(out)
    records = compared(prior, typed_command())
    write_records(out, records)
    typer.echo(ablation_section(records))
