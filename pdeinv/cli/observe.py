"""`pdeinv observe`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdeinv.cli.options import Seed, check_outputs
from pdeinv.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from pdeinv.cli.layout import Places
    from pdeinv.sensors import Sensors

__all__ = ["observe"]

Truth = Annotated[
    str,
    typer.Argument(
        help="What is read: a file of fields, or a draw of a problem's prior. The file is one of "
        "`pdeinv generate` or `pdeinv reconstruct`, or a NetCDF file with the coordinates x and y. "
        "The problem is its file, an example (see `pdeinv problem`) or a PDE (see `pdeinv info`)."
    ),
]
Fields = Annotated[
    list[str],
    typer.Option(help="Field that the sensors read; may be repeated, for the same places."),
]
Out = Annotated[Path, typer.Option(help="Table of sensors (CSV) to write.")]
Append = Annotated[bool, typer.Option("--append", help="Add the readings to the table of --out.")]
LayoutName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Places: random, in the domain (default); grid, a regular one; line, along --lines; "
        "nodes, random nodes of the result's grid; boundary; or file, those of --points.",
    ),
]
Count = Annotated[
    int | None,
    typer.Option(
        "--n",
        help="Number of sensors (default 40); on a grid roughly, and on each of several lines.",
    ),
]
Apart = Annotated[
    float | None, typer.Option(help="Least distance between two sensors at random places.")
]
Lines = Annotated[
    str | None,
    typer.Option(
        metavar='"X,Y X,Y; ..."',
        help="Corners of lines, with a semicolon between two lines. Readings of the kind line or "
        "difference are from each place to the next.",
    ),
]
Spacing = Annotated[
    float | None, typer.Option(help="Distance of sensors along a line, in place of --n.")
]
Points = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Places from a table with the columns x, y and, optionally, radius, x2, y2 and kind, "
        "such as a table of sensors.",
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What a sensor reads: point, the value at its place; disc, the mean over a disc of "
        "--radius; line, the mean along one; difference, that of two values.",
    ),
]
Radius = Annotated[float | None, typer.Option(help="Radius of the discs, in the domain's unit.")]
Offset = Annotated[
    str | None,
    typer.Option(
        metavar="DX,DY", help="From each place to the other end of its line or difference."
    ),
]
Noise = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[FIELD=]LEVEL",
        help="Standard deviation of the noise: 0.02 in the field's units, 2% of the standard "
        "deviation of the field, head=0.02 for one field; may be repeated. Without it readings are "
        "exact.",
    ),
]
Below = Annotated[
    float | None,
    typer.Option(
        help="Limit of detection: the row of a reading below it has the limit as value, and is "
        "censored left."
    ),
]
Above = Annotated[
    float | None,
    typer.Option(
        help="Limit of detection: the row of a reading above it has the limit as value, and is "
        "censored right."
    ),
]
Instrument = Annotated[str | None, typer.Option(help="Name of the instrument.")]
Bias = Annotated[
    float,
    typer.Option(
        help="Standard deviation of the bias that its readings of a field share; with another "
        "--seed they have another bias, unless --bias-seed is given."
    ),
]
BiasSeed = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Seed of the biases: the same for all tables that are joined by --append; that of "
        "--seed if not given.",
    ),
]
Times = Annotated[
    list[float] | None,
    typer.Option("--time", help="Time of a reading at each place; may be repeated."),
]
Experiment = Annotated[
    str, typer.Option(help="Name of the experiment, where the truth has several.")
]
Replicate = Annotated[str | None, typer.Option(help="Name of the replicate: a date, a run.")]
Sample = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        help="Sample of a file, or number of the draw, from 0; by default the mean of a result, "
        "and else 0.",
    ),
]
Plot = Annotated[Path | None, typer.Option(help="Figure of the table: .png, .pdf or .svg.")]


def observe(
    truth: Truth,
    field: Fields,
    out: Out,
    layout: LayoutName = None,
    n: Count = None,
    apart: Apart = None,
    lines: Lines = None,
    spacing: Spacing = None,
    points: Points = None,
    kind: Kind = None,
    radius: Radius = None,
    offset: Offset = None,
    noise: Noise = None,
    below: Below = None,
    above: Above = None,
    instrument: Instrument = None,
    bias: Bias = 0.0,
    bias_seed: BiasSeed = None,
    time: Times = None,
    experiment: Experiment = "",
    replicate: Replicate = None,
    sample: Sample = None,
    seed: Seed = 0,
    append: Append = False,
    plot: Plot = None,
) -> None:
    """Draw sensors and simulate their readings of a known truth, to design a layout or to test.

    The same seed gives the same places for every field.
    """
    _check_outputs(out, append, plot, [Path(truth), *([points] if points else [])])
    from pdeinv.cli.layout import Layout
    from pdeinv.problems.truths import Choice, observed_fields

    plan = Layout(layout, n, apart, lines, spacing, points, kind, radius, offset)
    chosen = Choice(tuple(field), tuple(time or ()), experiment, sample)
    observed = observed_fields(truth, chosen)
    places = plan.places(observed.nodes, seed)
    settings = {
        "below": below,
        "above": above,
        "instrument": instrument,
        "bias_std": bias,
        "bias_seed": bias_seed,
        "replicate": replicate,
        "seed": seed,
    }
    made = _readings(observed.fields, places, _levels(noise, field, observed.fields), settings)
    sensors = _joined(out, made) if append and out.exists() else made
    sensors.to_csv(out)
    if plot:
        from pdeinv.figures.sensor_layout import plot_sensors
        from pdeinv.files import save_figure

        save_figure(plot_sensors(sensors, _shown(observed.fields)), plot)
    typer.echo(_summary(made, sensors, out, observed.drawn))


def _check_outputs(out: Path, append: bool, plot: Path | None, inputs: list[Path]) -> None:
    from pdeinv.files import check_writable

    if check_writable(out).exists() and not append:
        raise InputError(
            f"{out} exists already; add to it with --append, choose another name, or move it away"
        )
    check_outputs({"--out": out}, {"--plot": plot}, inputs)


def _levels(
    noise: list[str] | None, names: list[str], fields: list[xr.DataArray]
) -> dict[str, str]:
    """Return the level of the noise of each field by its name, and of all others under ""."""
    read = dict.fromkeys(str(f.name) for f in fields)
    of_alias = dict(zip(dict.fromkeys(names), read, strict=False))  # fewer where two are the same
    found: dict[str, str] = {}
    for text in noise or ():
        name, _, level = text.rpartition("=")
        name = of_alias.get(name.strip(), name.strip())
        if name and name not in of_alias.values():
            raise InputError(
                f"--noise must be of a field that is read, one of {', '.join(of_alias.values())}, "
                f"got {name!r}; correct it"
            )
        if name in found:
            raise InputError(
                f"--noise must be given once for {name or 'all fields'}, got it twice; keep one"
            )
        found[name] = level
    return found


def _readings(
    fields: list[xr.DataArray], places: Places, levels: dict[str, str], settings: Mapping[str, Any]
) -> Sensors:
    """Return the readings of all fields at the same places."""
    from pdeinv.sensors import Sensors

    tables = []
    for field in fields:
        level = levels.get(str(field.name), levels.get("", "0"))
        tables.append(
            Sensors.observe(field, places.points, noise_std=level, **places.footprints, **settings)
        )
    return sum(tables[1:], tables[0])


def _joined(out: Path, made: Sensors) -> Sensors:
    """Return the readings of a file and further ones."""
    from pdeinv.sensors import Sensors
    from pdeinv.sensors.columns import COLUMNS
    from pdeinv.sensors.csv_files import read_csv

    text = read_csv(out)
    other = [str(name) for name in text.columns if str(name).strip() not in COLUMNS]
    if other:
        raise InputError(
            f"{out} must have no columns that are not used, which would be lost, got "
            f"{other[0]!r}; write to another file"
        )
    before = Sensors(text, origin=out.name, first_row=1)
    both = before + made
    rows = both.table.to_csv(index=False, header=False, float_format="%.12g").splitlines()
    again = {*rows[: len(before)]} & {*rows[len(before) :]}
    if again:
        raise InputError(
            f"{out} must have none of the readings yet, got {len(again)} that it has; choose "
            f"another --seed"
        )
    return both


def _shown(fields: list[xr.DataArray]) -> xr.Dataset:
    """Return the first of each field, for the figure."""
    import xarray as xr

    first = {
        str(f.name): f.drop_vars(["time", "experiment"], errors="ignore") for f in fields[::-1]
    }
    return xr.Dataset(dict(reversed(first.items())))


def _summary(made: Sensors, table: Sensors, out: Path, drawn: str) -> str:
    counts = made.table.field.value_counts(sort=False)
    read = " and ".join(f"{count} of {name}" for name, count in counts.items())
    beyond = int((made.table.get("censored", "") != "").sum()) if "censored" in made.table else 0
    limits = f", {beyond} beyond a limit of detection" if beyond else ""
    numbers = f"\ndrawn for the truth: {drawn}" if drawn else ""
    total = f"; {len(table)} in all" if len(table) > len(made) else ""
    return f"{out}: {len(made)} readings, {read}{limits}{total}{numbers}"
