"""The command line: `pdeinv --help`."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from pdeinv.errors import InputError

__all__ = ["app", "main"]

# Commands import what they need themselves, so that --help does not wait seconds for torch.

app = typer.Typer(
    help="Recover the coefficient and the solution of a two-dimensional PDE from sparse, noisy sensors, with uncertainty.",
    epilog="Start with `pdeinv demo`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _checked_seed(seed: int) -> int:
    if not 0 <= seed < 2**32:
        raise InputError(f"--seed {seed} is out of range; use an integer from 0 to {2**32 - 1}")
    return seed


PdeName = Annotated[str, typer.Option("--pde", help="poisson, helmholtz, darcy or navier-stokes.")]
Seed = Annotated[
    int, typer.Option(callback=_checked_seed, help="Seed of all randomness; the same seed gives the same result.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="A PDE parameter other than the default; may be repeated."),
]


def main() -> None:
    """Entry point: bad input ends in one sentence and exit code 2, an interruption in exit code 130."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        app(standalone_mode=True)
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Show the version and stop.")] = False) -> None:
    if version:
        import pdeinv

        typer.echo(pdeinv.__version__)
        raise typer.Exit()


@app.command()
def reconstruct(
    sensors: Annotated[
        Path, typer.Argument(help="CSV with the columns field, x, y, value and, optionally, noise_std.")
    ],
    pde: PdeName,
    out: Annotated[Path, typer.Option(help="NetCDF file to write: mean, std and samples of both fields.")],
    plot: Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")] = None,
    grid: Annotated[int, typer.Option(help="Nodes per side of the result.")] = 64,
    solver: Annotated[
        str,
        typer.Option(
            help="auto, gaussian, gauss-newton, level-set, kriging or optimal-interpolation; or by diffusion: dps, "
            "diffusionpde, fundps, daps, ddis or moment."
        ),
    ] = "auto",
    equireg: Annotated[bool, typer.Option("--equireg", help="Regularise a solver by diffusion by EquiReg.")] = False,
    steps: Annotated[
        int | None, typer.Option(help="Steps of a solver by diffusion; as many as published if not given.")
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(help="For a solver by diffusion: the file of a trained prior; the shipped one if not given."),
    ] = None,
    samples: Annotated[int, typer.Option(help="Posterior samples in the result.")] = 16,
    ensemble: Annotated[
        Path | None,
        typer.Option(help="Dataset of examples for optimal-interpolation; drawn from the PDE if not given."),
    ] = None,
    seed: Seed = 0,
    param: Parameters = None,
) -> None:
    """Reconstruct both fields from a table of sensor readings, with error bars."""
    from pdeinv.output import check_figure, check_writable, save_figure, save_netcdf

    if ensemble and prior:
        raise InputError("--ensemble and --prior exclude each other; an ensemble is for optimal-interpolation")
    check_writable(out)
    if plot:
        check_figure(plot)
    inputs = [Path(path).resolve() for path in (sensors, ensemble, prior) if path]
    if out.resolve() in inputs or (plot and plot.resolve() in (*inputs, out.resolve())):
        raise InputError("an output has the name of another file of this command; choose another for --out or --plot")
    from pdeinv.datasets import pde_by_name
    from pdeinv.solvers import reconstruct as run

    physics = pde_by_name(pde, **_parsed(param))
    result = run(
        sensors,
        physics,
        grid=grid,
        solver=solver,
        prior=_ensemble(ensemble, physics) if ensemble else prior,
        equireg=equireg,
        steps=steps,
        n_samples=samples,
        seed=seed,
        progress=True,
    )
    save_netcdf(result, out)
    if plot:
        from pdeinv.plot import plot_reconstruction

        save_figure(plot_reconstruction(result), plot)
    typer.echo(
        f"{out}: {physics.name} on {grid} x {grid} nodes by {result.attrs['solver']} from {result.sizes['sensor']} sensors "
        f"in {result.attrs['seconds']:.1f} s, reduced chi-squared {result.attrs['reduced_chi_squared']:.3g}"
    )


@app.command()
def generate(
    pde: Annotated[str, typer.Argument(help="poisson, helmholtz, darcy or navier-stokes.")],
    n: Annotated[int, typer.Option(help="Number of (coefficient, solution) pairs.")],
    out: Annotated[Path, typer.Option(help="HDF5 file to write.")],
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 128,
    seed: Seed = 0,
    workers: Annotated[
        int | None, typer.Option(help="Processes; as many as pay if not given. The data do not depend on it.")
    ] = None,
    param: Parameters = None,
) -> None:
    """Generate a dataset of random coefficients and their solutions; an interrupted run resumes when repeated."""
    from pdeinv.datasets import generate as run
    from pdeinv.datasets import pde_by_name

    run(pde_by_name(pde, **_parsed(param)), n, grid, seed, out, workers=workers, progress=True)
    typer.echo(f"{out}: {n} pairs of {pde} on {grid} x {grid} nodes, seed {seed}")


@app.command()
def train(
    data: Annotated[Path, typer.Argument(help="HDF5 dataset of one field or two, such as `pdeinv generate` writes.")],
    out: Annotated[Path, typer.Option(help="Safetensors file to write.")],
    minutes: Annotated[
        float | None, typer.Option(help="Time to train; or give --steps. 90 if neither is given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps to train.")] = None,
    model: Annotated[
        str,
        typer.Option(help="diffusion, gaussian (needs seconds and no budget) or operator (coefficient to solution)."),
    ] = "diffusion",
    channels: Annotated[str, typer.Option(help="Fields of the prior: both, coefficient or solution.")] = "both",
    widths: Annotated[
        str,
        typer.Option(
            help="Channels of the diffusion network's levels; fewer are faster, as nearly Gaussian fields need."
        ),
    ] = "64,96,128",
    batch: Annotated[int, typer.Option(help="Fields a step.")] = 32,
    rate: Annotated[float, typer.Option(help="Largest learning rate.")] = 1e-3,
    noise: Annotated[str, typer.Option(help="Noise of the diffusion: exponential or white.")] = "exponential",
    precondition: Annotated[
        str,
        typer.Option(
            help="What the network corrects: gaussian (the linear denoiser) or edm (a multiple of its input)."
        ),
    ] = "gaussian",
    symmetry: Annotated[bool, typer.Option(help="Augment by the symmetries of the dataset's PDE.")] = True,
    seed: Seed = 0,
) -> None:
    """Train a prior, or a neural operator, on a dataset; an interrupted run resumes when repeated."""
    from functools import partial

    from pdeinv import priors
    from pdeinv.output import check_writable

    makers = {
        "diffusion": lambda data: priors.DiffusionPrior.untrained(
            fit(data), widths=_numbers(widths), preconditioning=precondition
        ),
        "operator": priors.NeuralOperator.untrained,
    }
    if model not in (*makers, "gaussian"):
        raise InputError(f"--model {model!r} is unknown; use diffusion, gaussian or operator")
    _numbers(widths)  # now, not after a minute of fitting
    check_writable(out)
    if minutes is None and steps is None:
        minutes = 90.0
    settings = priors.Settings(minutes=minutes, steps=steps, batch=batch, rate=rate, symmetry=symmetry, seed=seed)
    fit = partial(priors.GaussianPrior.fit, noise=priors.Noise(noise), progress=True)
    fields = priors.TrainingData.read(data, channels)
    if model == "gaussian":
        priors.save(fit(fields), out)
    else:
        priors.train(makers[model], fields, out, settings, progress=True, echo=_beside_the_bar)
    typer.echo(f"{out}: {model} of {', '.join(f.name for f in fields.fields)} from {len(fields)} samples of {data}")


def _numbers(text: str) -> tuple[int, ...]:
    """Widths of a network, multiples of 16, from a comma-separated option."""
    try:
        widths = tuple(int(part) for part in text.split(","))
    except ValueError:
        widths = ()
    if not widths or any(w < 16 or w % 16 for w in widths):
        raise InputError(f"--widths {text!r} must be multiples of 16 with commas between, such as 32,48,64")
    return widths


def _beside_the_bar(line: str) -> None:
    from tqdm import tqdm

    tqdm.write(line)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the sensor tables, NetCDF files and figures.")] = Path(
        "pdeinv-demo"
    ),
    pde: Annotated[list[str] | None, typer.Option(help="Only this PDE; may be repeated.")] = None,
) -> None:
    """Reconstruct shipped examples of all four PDEs from shipped sensors and print a scorecard."""
    from pdeinv.benchmarks.demo import run_demo

    run_demo(out, pde, echo=typer.echo)


@app.command()
def benchmark(
    pde: Annotated[list[str], typer.Option(help="poisson, helmholtz, darcy or navier-stokes; may be repeated.")],
    method: Annotated[list[str], typer.Option(help="A solver's name; may be repeated.")],
    out: Annotated[Path, typer.Option(help="JSON-lines file of summaries; one line an instance goes beside it.")],
    task: Annotated[list[str], typer.Option(help="forward, inverse or both; may be repeated.")] = (
        "forward",
        "inverse",
    ),
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 64,
    sensors: Annotated[
        list[int], typer.Option(help="Random nodes observed on each observed field; may be repeated.")
    ] = (125,),
    noise: Annotated[
        list[float], typer.Option(help="Noise, relative to the observed field's standard deviation; may be repeated.")
    ] = (0.0,),
    steps: Annotated[
        list[int] | None,
        typer.Option(help="Steps of the solvers by diffusion, as published if not given; may be repeated."),
    ] = None,
    equireg: Annotated[str, typer.Option(help="For the solvers by diffusion: off, on or both.")] = "off",
    prior: Annotated[
        str | None, typer.Option(help="File, or name of a shipped prior, for the solvers by diffusion.")
    ] = None,
    setting: Annotated[
        list[str], typer.Option("--set", help="NAME=VALUE, another argument of the methods' classes; may be repeated.")
    ] = (),
    samples: Annotated[int, typer.Option(help="Posterior samples of each instance.")] = 19,
    instances: Annotated[int, typer.Option(help="Random instances of each task.")] = 32,
    seed: Seed = 0,
) -> None:
    """Score solvers on random instances against the truth; a repeated run resumes and adds nothing that is there."""
    import itertools
    import shlex

    from pdeinv.benchmarks.report import table
    from pdeinv.benchmarks.runner import check, run
    from pdeinv.benchmarks.tasks import Task
    from pdeinv.output import check_writable

    check_writable(out)
    if equireg not in ("off", "on", "both"):
        raise InputError(f"--equireg {equireg!r} is unknown; use off, on or both")
    if samples < 2:
        raise InputError(f"--samples {samples} must be at least 2")
    command = shlex.join(["pdeinv", *sys.argv[1:]])
    options = [
        {"steps": n, "equireg": on, "prior": prior, "settings": _settings(setting)}
        for n, on in itertools.product(steps or [None], {"off": [False], "on": [True], "both": [False, True]}[equireg])
    ]
    cells = [
        (Task(name, kind, grid, m, level, seed), solver, option)
        for name, kind, level, m, solver, option in itertools.product(pde, task, noise, sensors, method, options)
    ]
    for cell, solver, option in cells:
        check(cell, solver, instances, **option)  # now, not after hours of the cells before it
    records = []
    for cell, solver, option in cells:
        records += run(cell, solver, instances, out, samples=samples, command=command, progress=True, **option)
    typer.echo(table(records))


def _settings(given: list[str]) -> dict:
    """NAME=VALUE pairs; a value is a Python literal, or else text."""
    import ast

    settings = {}
    for item in given:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise InputError(f"--set {item!r} is not NAME=VALUE, such as --set weight=2")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings


@app.command()
def equivariance(
    pde: PdeName,
    prior: Annotated[str | None, typer.Option(help="File of a trained prior; the shipped one if not given.")] = None,
    grid: Annotated[int, typer.Option(help="Nodes per side.")] = 64,
    fields: Annotated[int, typer.Option(help="Fields of each kind.")] = 32,
    out: Annotated[Path | None, typer.Option(help="JSON-lines file to write.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")] = None,
) -> None:
    """Measure which function tells fields of the PDE from others by its equivariance, as EquiReg needs it."""
    import json

    from pdeinv.output import check_figure, check_writable, written_whole

    if out:
        check_writable(out)
    if plot:
        check_figure(plot)
    if fields < 2:
        raise InputError(f"--fields {fields} must be at least 2")
    from pdeinv.benchmarks import equivariance as module
    from pdeinv.benchmarks.runner import provenance
    from pdeinv.datasets import pde_by_name
    from pdeinv.priors import load

    physics = pde_by_name(pde)
    known = load(prior or pde)
    if [f.name for f in getattr(known, "fields", ())] != [f.name for f in physics.fields] or not hasattr(
        known, "denoise"
    ):
        raise InputError(
            f"{prior or pde} is no prior of {' and '.join(f.name for f in physics.fields)}; give one that is"
        )
    records = module.measure(physics, known, grid=grid, n=fields, progress=True)
    typer.echo(module.table(records))
    if out:
        made = provenance(" ".join(["pdeinv", *sys.argv[1:]]))
        with written_whole(out) as temporary:
            temporary.write_text("".join(json.dumps(r | made) + "\n" for r in records))
    if plot:
        module.plot(records, plot)


@app.command()
def info() -> None:
    """Show the PDEs with their fields and parameters, the solvers, the shipped priors and the versions."""
    from importlib.metadata import version

    import torch

    from pdeinv.datasets import PDES
    from pdeinv.priors import shipped
    from pdeinv.solvers import SOLVERS

    typer.echo(f"pdeinv {version('pdeinv')}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    typer.echo("\nPDEs on the unit square (fields: coefficient -> solution):")
    for name, kind in sorted(PDES.items()):
        pde = kind()
        typer.echo(f"  {name:<15}{pde.equation}")
        typer.echo(f"  {'':<15}{pde.coefficient_field.name} -> {pde.solution_field.name}, {pde.grid_kind} grid")
        typer.echo(f"  {'':<15}{', '.join(f'{key}={value:g}' for key, value in pde.parameters.items())}")
    typer.echo("\nSolvers:")
    for name, kind in sorted(SOLVERS.items()):
        typer.echo(f"  {name:<22}{(kind.__doc__ or '').splitlines()[0]}")
    typer.echo(f"\nShipped priors and operators: {', '.join(shipped()) or 'none'}")


def _parsed(parameters: list[str] | None) -> dict[str, float]:
    values = {}
    for item in parameters or []:
        name, equals, text = item.partition("=")
        try:
            number = float(text)
        except ValueError:
            equals = ""
        if not equals:
            raise InputError(f"--param {item!r} is not of the form NAME=NUMBER, for example --param tau=5")
        values[name.strip()] = int(number) if number.is_integer() else number
    return values


def _ensemble(path: Path, pde):
    from pdeinv.datasets import open as open_dataset
    from pdeinv.datasets import states
    from pdeinv.prior import Ensemble

    with open_dataset(path) as dataset:
        return Ensemble(states(dataset, pde))
