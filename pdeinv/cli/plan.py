"""`pdeinv plan`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdeinv.cli.options import ANY_PDE_HELP, Parameters, ProblemFile, Seed, check_outputs, posed
from pdeinv.cli.reconstruct import Nodes, Noise, PriorFile, SolverName
from pdeinv.errors import InputError, NumericalError

if TYPE_CHECKING:
    import xarray as xr

    from pdeinv.solvers.plans import Plan

__all__ = ["plan"]

_PLAN_FILE = b"\x89HDF"  # with which a NetCDF file starts

LayoutFile = Annotated[
    Path,
    typer.Argument(
        help="Table (CSV) of the sensors, as of `pdeinv reconstruct`, whose values are not used; "
        "or a plan that --out has written."
    ),
]
Out = Annotated[Path | None, typer.Option(help="Plan to write (NetCDF).")]
Watch = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File of readings (CSV) to follow: a column for each sensor, a line for each table, "
        "and optionally a first column time. Ctrl-C ends it.",
    ),
]
Plot = Annotated[
    Path | None, typer.Option(help="Figure of the last table to write: .png, .pdf or .svg.")
]
Latest = Annotated[Path | None, typer.Option(help="Result of the last table to write (NetCDF).")]
Every = Annotated[float, typer.Option(min=0.0, max=86400.0, help="Seconds between two looks.")]
Polls = Annotated[
    int | None, typer.Option(min=1, help="Looks at the file, after which the command ends.")
]


def plan(
    sensors: LayoutFile,
    pde: Annotated[str | None, typer.Option("--pde", help=ANY_PDE_HELP)] = None,
    problem: ProblemFile = None,
    noise: Noise = None,
    grid: Nodes = None,
    solver: SolverName = "auto",
    prior: PriorFile = None,
    samples: Annotated[int, typer.Option(help="Posterior samples of a result.")] = 16,
    seed: Seed = 0,
    param: Parameters = None,
    out: Out = None,
    watch: Watch = None,
    plot: Plot = None,
    latest: Latest = None,
    every: Every = 1.0,
    polls: Polls = None,
) -> None:
    """Prepare for many tables of readings of the same sensors, and follow a file of them."""
    _check(out, watch, {"--plot": plot, "--latest": latest}, [sensors, problem])
    from pdeinv.solvers.plans import load_plan, prepare

    if _is_plan(sensors):
        if pde or problem or noise or param:
            raise InputError(
                f"--pde, --problem, --noise and --param must be left out with a plan, got one with "
                f"{sensors}; it holds them"
            )
        prepared = load_plan(sensors)
    else:
        prepared = prepare(
            sensors,
            problem=posed(pde, problem, param),
            noise=noise,
            grid=grid,
            solver=solver,
            prior=prior,
            n_samples=samples,
            seed=seed,
            progress=True,
        )
    if out:
        prepared.save(out)
    typer.echo(f"{out or sensors}: {len(prepared.sensors)} sensors, {prepared.method}")
    if watch:
        _follow(prepared, watch, plot, latest, every, polls)


def _check(
    out: Path | None, watch: Path | None, shown: dict[str, Path | None], inputs: list[Path | None]
) -> None:
    """Refuse options that do nothing, and outputs that cannot be written."""
    if out is None and watch is None:
        raise InputError(
            "--out or --watch must be given, got neither; give --out for the file of the plan, or "
            "--watch for a file of readings"
        )
    for option, path in shown.items():
        if path and not watch:
            raise InputError(f"{option} must be left out without --watch, got {path}; give both")
    results = {"--out": out, "--latest": shown["--latest"]}
    check_outputs(results, {"--plot": shown["--plot"]}, [path for path in (*inputs, watch) if path])


def _is_plan(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_PLAN_FILE)) == _PLAN_FILE
    except (OSError, ValueError):
        return False  # the reader of tables has the message


def _follow(
    prepared: Plan,
    path: Path,
    plot: Path | None,
    latest: Path | None,
    every: float,
    polls: int | None,
) -> None:
    from pdeinv.caught import ignored_warnings
    from pdeinv.files import save_figure, save_netcdf
    from pdeinv.plot import plot_reconstruction
    from pdeinv.solvers import MisfitWarning
    from pdeinv.solvers.plans.readings_file import ReadingsFile, new_rows

    count = 0
    try:
        for rows in new_rows(ReadingsFile(path, len(prepared.sensors)), every, polls):
            result = None
            for row in rows:
                try:
                    with ignored_warnings(MisfitWarning):  # the line has it
                        result = prepared(row.values, samples=bool(plot or latest))
                except (InputError, NumericalError) as error:
                    typer.echo(f"warning: {row.label} is left out: {error}", err=True)
                    continue
                count += 1
                typer.echo(_line(row.label, result))
            if result is not None and latest:
                save_netcdf(result, latest)
            if result is not None and plot:
                save_figure(plot_reconstruction(result), plot)
    except KeyboardInterrupt:
        pass
    typer.echo(f"{path}: {count} {'table' if count == 1 else 'tables'}")


def _line(label: str, result: xr.Dataset) -> str:
    made = result.attrs
    alarm = "no alarm" if made["alarm"] == "none" else f"alarm: {made['alarm']}"
    return (
        f"{label}: reduced chi-squared {made['reduced_chi_squared']:.3g} in {made['seconds']:.2g} "
        f"s, {alarm}"
    )
