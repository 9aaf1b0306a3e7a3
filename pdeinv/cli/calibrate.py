"""`pdeinv calibrate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pdeinv.cli.observe import (
    Apart,
    Count,
    Kind,
    LayoutName,
    Lines,
    Offset,
    Points,
    Radius,
    Spacing,
    Times,
)
from pdeinv.cli.options import ANY_PDE_HELP, ProblemFile, Seed, check_outputs, posed
from pdeinv.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from pdeinv.datasets import Problem
    from pdeinv.sensors import Sensors

__all__ = ["calibrate"]

_NOISE = "1%"
_OWN = (
    *("field", "layout", "n", "apart", "lines", "spacing", "points", "kind", "radius", "offset"),
    "time",
)

SensorFile = Annotated[
    Path | None,
    typer.Option(
        "--sensors",
        metavar="FILE",
        help="Table of sensors (CSV), whose places, fields and noise are those of the readings; "
        "in place of --field, --layout and their options, which are those of `pdeinv observe`.",
    ),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        help="Field that the sensors read; may be repeated, for the same places. The solution if "
        "not given.",
    ),
]
Noise = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[FIELD=]LEVEL",
        help="Standard deviation of the noise where the table states none: 0.02 in the field's "
        "units, 5% of the spread of the field's readings, pressure=0.02 for one field; may be "
        "repeated. 1% without a table.",
    ),
]
TruthFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Another problem (.toml), or a dataset of fields of your own, from which the truths "
        "are drawn; the reconstruction uses --problem. By default the truths are draws of that.",
    ),
]
Draws = Annotated[int, typer.Option(help="Number of truths, at least 20.")]
SolverName = Annotated[str, typer.Option(help="As of `pdeinv reconstruct`.")]
Nodes = Annotated[
    int | None, typer.Option(help="Nodes of the result on the shorter side of the domain.")
]
Workers = Annotated[int, typer.Option(min=1, help="Number of worker processes, one thread each.")]
Out = Annotated[
    Path, typer.Option(help="NetCDF file to write; a repeated run keeps its draws and goes on.")
]
Plot = Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")]


def calibrate(
    problem: ProblemFile = None,
    pde: Annotated[str | None, typer.Option("--pde", help=ANY_PDE_HELP)] = None,
    sensors: SensorFile = None,
    field: Fields = None,
    layout: LayoutName = None,
    n: Count = None,
    apart: Apart = None,
    lines: Lines = None,
    spacing: Spacing = None,
    points: Points = None,
    kind: Kind = None,
    radius: Radius = None,
    offset: Offset = None,
    time: Times = None,
    noise: Noise = None,
    truths: TruthFile = None,
    draws: Draws = 100,
    solver: SolverName = "auto",
    grid: Nodes = None,
    seed: Seed = 0,
    workers: Workers = 1,
    out: Out = Path("calibration.nc"),
    plot: Plot = None,
) -> None:
    """Judge the intervals of a problem by draws of it, whose truth is known.

    Each draw is a truth, of which readings are simulated and reconstructed. Where the intervals are
    right, the truth is one more posterior sample. The same command resumes an interrupted run.
    """
    if sensors:
        _refuse_layout({name: value for name, value in locals().items() if name in _OWN})
    given = posed(pde, problem, None)
    inputs = [path for path in (sensors, points, truths, problem) if path]
    check_outputs({"--out": out}, {"--plot": plot}, inputs)
    from pdeinv.cli.layout import Layout
    from pdeinv.solvers.calibration import calibrate as run

    plan = Layout(layout, n, apart, lines, spacing, points, kind, radius, offset)
    result = run(
        given,
        sensors or _planned(given, plan, field, time, seed),
        truths=truths,
        noise=noise or (None if sensors else _NOISE),
        draws=draws,
        solver=solver,
        grid=grid,
        seed=seed,
        workers=workers,
        out=out,
        progress=True,
    )
    if plot:
        from pdeinv.figures.calibration import plot_calibration
        from pdeinv.files import save_figure

        save_figure(plot_calibration(result), plot)
    typer.echo(_summary(result, out))


def _refuse_layout(given: Mapping[str, object]) -> None:
    """Refuse options of a layout."""
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"--{name} must be left out with --sensors, got {value}; drop one of them"
            )


def _planned(
    problem: Problem, plan: object, fields: list[str] | None, times: list[float] | None, seed: int
) -> Sensors:
    """Return a table of the planned places, of which no value was read."""
    import pandas as pd

    from pdeinv.cli.layout import Layout
    from pdeinv.grid import Grid
    from pdeinv.sensors import Sensors

    assert isinstance(plan, Layout)
    nodes, physics = problem.grid, problem.physics
    places = plan.places(nodes if isinstance(nodes, Grid) else physics.grid(nodes), seed)
    x, y = places.points.T
    columns = {"x": x, "y": y, "value": 0.0}
    ends = places.footprints.get("ends")
    if ends is not None:
        columns |= {"x2": ends[:, 0], "y2": ends[:, 1]}
    for name in ("radius", "kind"):
        if places.footprints.get(name) is not None:
            columns[name] = places.footprints[name]
    tables = [
        pd.DataFrame({"field": name, **columns, **({} if time is None else {"time": time})})
        for name in fields or [physics.solution_field.name]
        for time in times or (None,)
    ]
    return Sensors(pd.concat(tables, ignore_index=True), origin="the layout")


def _summary(result: xr.Dataset, out: Path) -> str:
    """Return the coverage of each quantity in lines, and the verdict."""
    lines = []
    for name in result["quantity"].values:
        held = result["coverage"].sel(quantity=name)
        half, most = (100 * float(held.sel(level=level).mean()) for level in (0.5, 0.9))
        lines.append(
            f"{name}: 50 % intervals hold the truth in {half:.0f} %, 90 % intervals in "
            f"{most:.0f} %\n"
        )
    failed = int(result.attrs["failed"])
    left_out = f"{failed} draws could not be reconstructed and are left out\n" if failed else ""
    return f"{''.join(lines)}{left_out}{out}: {result.attrs['verdict']}"
