"""`pdeinv design`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdeinv.cli.options import ANY_PDE_HELP, ProblemFile, Seed, posed

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = ["design"]

SensorFile = Annotated[Path, typer.Argument(help="Table of the present sensors (CSV).")]
Add = Annotated[int, typer.Option(min=1, help="Number of readings to add.")]
FieldName = Annotated[
    str | None,
    typer.Option("--field", help="Field that they read. The default is the solution."),
]
NoiseStd = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Standard deviation of their noise, in the field's units. The default is the median "
        "of the present sensors of the field.",
    ),
]
Of = Annotated[
    str | None,
    typer.Option(
        "--of",
        metavar="FIELD|mean:FIELD[:FILE.geojson]",
        help="Field to make certain, or its mean over a polygon. The default is the coefficient.",
    ),
]
Places = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Table (CSV) of the places that are possible, with the columns x and y. The default "
        "is nodes of the grid.",
    ),
]
Where = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="GeoJSON of the part of the domain that counts."),
]
Noise = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[FIELD=]LEVEL",
        help="Noise of present readings without noise_std, as of `pdeinv reconstruct`.",
    ),
]
SolverName = Annotated[str, typer.Option(help="As of `pdeinv reconstruct`.")]
Nodes = Annotated[int | None, typer.Option(help="Nodes on the shorter side of the domain.")]
Draws = Annotated[
    int, typer.Option(help="Posterior draws, for other solvers than gaussian and gauss-newton.")
]
Out = Annotated[Path, typer.Option(help="Table of the new readings to write (CSV).")]
Plot = Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")]


def design(
    sensors: SensorFile,
    problem: ProblemFile = None,
    pde: Annotated[str | None, typer.Option("--pde", help=ANY_PDE_HELP)] = None,
    add: Add = 5,
    field: FieldName = None,
    noise_std: NoiseStd = None,
    of: Of = None,
    candidates: Places = None,
    where: Where = None,
    noise: Noise = None,
    solver: SolverName = "auto",
    grid: Nodes = None,
    draws: Draws = 200,
    seed: Seed = 0,
    out: Out = Path("design.csv"),
    plot: Plot = None,
) -> None:
    """Find where further readings make a field most certain, and what each sensor is worth."""
    given = posed(pde, problem, None)
    from pdeinv.files import atomic_write, check_figure, check_new

    check_new(out)
    if plot:
        check_figure(plot)
    from pdeinv.locking import sole_writer
    from pdeinv.quantities import parse_quantity
    from pdeinv.solvers.design import design as run

    wanted: Any = parse_quantity(of)[1] if of and ":" in of else of
    with sole_writer(out):
        plan = run(
            sensors,
            problem=given,
            add=add,
            field=field,
            noise_std=noise_std,
            candidates=None if candidates is None else _table(candidates),
            of=wanted,  # refused there if it is another quantity
            where=where,
            noise=noise,
            solver=solver,
            grid=grid,
            draws=draws,
            seed=seed,
            progress=True,
        )
        if plot:
            from pdeinv.figures.design import plot_design
            from pdeinv.files import save_figure

            save_figure(plot_design(plan), plot)
        table = plan[["reading_x", "reading_y", "std_after"]].to_dataframe()
        table = table.rename(columns={"reading_x": "x", "reading_y": "y"})
        table.insert(0, "field", plan.attrs["field"])
        with atomic_write(out) as temporary:
            table.to_csv(temporary, index=False)
    typer.echo(_summary(plan, out))


def _table(path: Path) -> pd.DataFrame:
    import pandas as pd

    from pdeinv.errors import InputError
    from pdeinv.files import check_path

    try:
        return pd.read_csv(check_path(path))
    except (OSError, ValueError) as error:  # of the parser, too
        raise InputError(f"{path} cannot be read as a table ({error}); correct it") from None


def _summary(plan: xr.Dataset, out: Path) -> str:
    """Return a line for each new reading, one for the sensors, and one for the file."""
    import numpy as np

    of, before = plan.attrs["of"], plan.attrs["std_before"]
    lines = [f"standard deviation of the {of}: {before:.4g} (root mean square)"]
    readings = zip(plan["reading_x"].values, plan["reading_y"].values, strict=True)
    for (x, y), after in zip(readings, plan["std_after"].values, strict=True):
        lines.append(f"{after:.4g} after {plan.attrs['field']} at x = {x:.6g}, y = {y:.6g}")
    worth = plan["worth"]
    if bool(worth.notnull().any()):
        i = int(np.nanargmin(worth.values))
        x, y = float(plan["sensor_x"][i]), float(plan["sensor_y"][i])
        lines.append(
            f"of the present sensors that at x = {x:.6g}, y = {y:.6g} is worth least: without it "
            f"the variance would be {1 + float(worth[i]):.5g} times as large"
        )
    lines.append(f"{out}: {plan.sizes['reading']} readings, by {plan.attrs['solver']}")
    return "\n".join(lines)
