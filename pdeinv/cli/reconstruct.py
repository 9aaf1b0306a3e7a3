"""`pdeinv reconstruct`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pdeinv.cli.options import (
    ANY_PDE_HELP,
    Device,
    Dims,
    Names,
    Parameters,
    ProblemFile,
    Scheduler,
    Seed,
    check_outputs,
    posed,
)
from pdeinv.errors import InputError, warn_input

if TYPE_CHECKING:
    import xarray as xr

    from pdeinv.datasets import PDE, Problem
    from pdeinv.priors import Ensemble
    from pdeinv.quantities.table import Wanted

__all__ = ["reconstruct"]

SensorFile = Annotated[
    Path,
    typer.Argument(
        help="Table (CSV) with the columns field, x, y, value and, optionally, noise_std, radius, "
        "x2, y2, kind, time, experiment, censored, instrument and replicate. Each replicate, a "
        "date or a run, is reconstructed by itself into one result."
    ),
]
Noise = Annotated[
    list[str] | None,
    typer.Option(
        metavar="[FIELD=]LEVEL",
        help="Standard deviation of the noise where noise_std is missing: 0.02 in the field's "
        "units, 5% of the spread of the field's readings, pressure=0.02 for one field; 0 for exact "
        "readings; unknown, or a range such as 0.01..0.1, to infer it; may be repeated.",
    ),
]
Out = Annotated[
    Path, typer.Option(help="NetCDF file to write: mean, std and samples of both fields.")
]
Plot = Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")]
ParameterPlot = Annotated[
    Path | None,
    typer.Option(
        help="Figure to write of the numbers that were inferred, before and after: .png, .pdf or "
        ".svg."
    ),
]
Nodes = Annotated[
    int | None,
    typer.Option(
        help="Nodes of the result on the shorter side of the domain; by default those of the "
        "problem's file, or 64."
    ),
]
SolverName = Annotated[
    str,
    typer.Option(
        help="Name of a solver (see `pdeinv info`), or file.py:name for one of your own; auto is "
        "the first that fits the PDE and the prior."
    ),
]
Robust = Annotated[
    bool,
    typer.Option(
        "--robust",
        help="Allow for gross errors of readings: Student-t noise with the stated size, and a "
        "weight of each reading in the result.",
    ),
]
Regularised = Annotated[bool, typer.Option("--equireg", help="Add EquiReg to a diffusion solver.")]
Steps = Annotated[
    int | None, typer.Option(help="Steps of a diffusion solver; by default the published number.")
]
PresetName = Annotated[
    str | None,
    typer.Option(
        help="Preset of a diffusion solver: default, or published for the algorithm of its paper."
    ),
]
PriorFile = Annotated[
    str | None,
    typer.Option(
        help="File of a trained model, or name of a shipped one (see `pdeinv info`), for fno and "
        "the diffusion solvers, or file.py:name for one of your own; by default that of the PDE."
    ),
]
Holdout = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the sensors, such as 20%, that is left out at random and predicted; the "
        "result is that of the others.",
    ),
]
Earlier = Annotated[
    Path | None,
    typer.Option(
        metavar="RESULT.nc",
        help="Result of earlier readings, whose posterior is the prior of these, and whose problem "
        "is theirs.",
    ),
]
Quantities = Annotated[
    list[str] | None,
    typer.Option(
        "--quantity",
        metavar="[NAME=]KIND:...",
        help="What follows from the fields, with a 90 % interval: flux:SIDE, flux:X1,Y1:X2,Y2, "
        "mean:FIELD[:FILE.geojson], time:X,Y[:SIDE][:porosity=N], or a map: "
        "exceeds:FIELD:THRESHOLD, quantile:FIELD:PROBABILITY; may be repeated.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(help="Number of worker processes, one thread each, for a table with replicates."),
]
EnsembleFile = Annotated[
    Path | None,
    typer.Option(
        help="Dataset of examples for optimal-interpolation; by default drawn from the PDE."
    ),
]


def reconstruct(
    sensors: SensorFile,
    out: Out,
    pde: Annotated[str | None, typer.Option("--pde", help=ANY_PDE_HELP)] = None,
    problem: ProblemFile = None,
    after: Earlier = None,
    noise: Noise = None,
    plot: Plot = None,
    plot_parameters: ParameterPlot = None,
    grid: Nodes = None,
    solver: SolverName = "auto",
    robust: Robust = False,
    equireg: Regularised = False,
    steps: Steps = None,
    preset: PresetName = None,
    prior: PriorFile = None,
    samples: Annotated[int, typer.Option(help="Posterior samples in the result.")] = 16,
    holdout: Holdout = None,
    quantity: Quantities = None,
    ensemble: EnsembleFile = None,
    names: Names = None,
    dims: Dims = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 0,
    device: Device = "cpu",
    param: Parameters = None,
) -> None:
    """Reconstruct both fields from a table of sensor readings, with error bars."""
    _check_priors(ensemble, prior, contents := {"names": names, "dims": dims})
    inputs = [Path(path) for path in (sensors, problem, after, ensemble, prior) if path]
    parts = {"--pde": pde, "--problem": problem, "--param": param, "--prior": prior}
    check_outputs({"--out": out}, {"--plot": plot, "--plot-parameters": plot_parameters}, inputs)
    from pdeinv.files import save_netcdf
    from pdeinv.locking import sole_writer
    from pdeinv.quantities import parse_quantities
    from pdeinv.solvers import reconstruct as run

    given = _after(after, parts | {"--ensemble": ensemble}) if after else posed(pde, problem, param)
    wanted = parse_quantities(quantity or ())
    how: dict[str, Any] = {"robust": robust, "equireg": equireg, "steps": steps, "preset": preset}
    how |= {"workers": workers, "scheduler": scheduler, "n_samples": samples, "seed": seed}
    how |= {"device": device, "holdout": holdout, "quantities": wanted, "progress": True}
    with sole_writer(out):
        result = run(
            sensors,
            problem=given,
            noise=noise,
            grid=grid,
            solver=solver,
            prior=_read_ensemble(ensemble, given.physics, **contents) if ensemble else prior,
            **how,
        )
        save_netcdf(result, out)
        _plot(result, plot)
        _plot_parameters(result, plot_parameters)
    typer.echo(_summary(result, wanted, out))


def _check_priors(
    ensemble: Path | None, prior: str | None, contents: dict[str, str | None]
) -> None:
    if ensemble and prior:
        raise InputError(
            "--ensemble and --prior exclude each other; leave out --prior for optimal-interpolation"
        )
    if any(contents.values()) and not ensemble:
        raise InputError("--names and --dims describe a dataset; give it with --ensemble")


def _after(earlier: Path, replaced: Mapping[str, object]) -> Problem:
    """Return the problem of earlier readings with their posterior as its prior; options that would
    replace a part of it are refused."""
    from pdeinv.solvers.turns import problem_after

    if given := [option for option, value in replaced.items() if value is not None]:
        raise InputError(
            f"--after states the problem and its prior, got {given[0]} too; leave out one of them"
        )
    return problem_after(earlier)


def _plot(result: xr.Dataset, path: Path | None) -> None:
    if path is None:
        return
    from pdeinv.files import save_figure
    from pdeinv.plot import plot_reconstruction

    save_figure(plot_reconstruction(result), path)


def _plot_parameters(result: xr.Dataset, path: Path | None) -> None:
    if path is None:
        return
    from pdeinv.figures.evidence import plot_parameters
    from pdeinv.files import save_figure

    if "parameter" in result.dims:
        save_figure(plot_parameters(result), path)
        return
    warn_input(
        f"{path} is not written, since every number was stated; to infer one, leave it out of the "
        f"prior or give a range in its place"
    )


def _summary(result: xr.Dataset, wanted: Wanted, out: Path) -> str:
    import numpy as np

    from pdeinv.estimates import estimates_of, inferred_fields_of
    from pdeinv.quantities import quantity_lines

    made = result.attrs
    # Of a result with replicates these are variables
    chi2, seconds, assumed = (
        np.atleast_1d(made[name] if name in made else result[name])
        for name in ("reduced_chi_squared", "seconds", "assumed")
    )
    several = f" of {result.sizes['replicate']} replicates" if "replicate" in result.dims else ""
    between = " to ".join(dict.fromkeys(f"{end:.3g}" for end in (chi2.min(), chi2.max())))
    inferred = *estimates_of(result), *inferred_fields_of(result), *quantity_lines(result, wanted)
    return (
        "".join(f"assumed: {line}\n" for line in dict.fromkeys(assumed))
        + "".join(f"{line}\n" for line in (*inferred, *_holdout(result)))
        + _suspects(result)
        + f"{out}: {made['pde']} on {result.sizes['y']} x {result.sizes['x']} nodes by "
        f"{made['solver']} from {result.sizes['sensor']} sensors{several} in {seconds.sum():.1f} "
        f"s, reduced chi-squared {between} (test: {made['misfit_test']})"
    )


def _holdout(result: xr.Dataset) -> Iterator[str]:
    """Yield the line about the readings that were left out, if there are some."""
    made = result.attrs
    if "holdout_count" in made:
        low, high = (round(100 * made[f"holdout_coverage_{end}"]) for end in ("low", "high"))
        yield (
            f"{made['holdout_within']} of {made['holdout_count']} left-out readings within their "
            f"90 % interval (95 % interval of the share of all such readings: {low}–{high} %)"
        )


def _suspects(result: xr.Dataset) -> str:
    """Return the line of the readings of little weight, "" where there are no weights."""
    import numpy as np

    if "sensor_weight" not in result:
        return ""
    found = np.atleast_1d(result.attrs.get("suspects", result.get("suspects", "none")))
    return f"suspects (sensor_weight below 0.2): {', '.join(dict.fromkeys(found))}\n"


def _read_ensemble(path: Path, pde: PDE, **contents: str | None) -> Ensemble:
    from pdeinv.datasets import open_dataset, prior_of, states
    from pdeinv.priors import Ensemble

    with open_dataset(path, pde=pde, **contents) as dataset:
        return Ensemble(states(dataset, pde), prior_of(dataset))
