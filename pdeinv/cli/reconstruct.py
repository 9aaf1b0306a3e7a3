"""`pdeinv reconstruct`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pdeinv.cli.options import Parameters, PdeName, Seed, parsed
from pdeinv.errors import InputError

__all__ = ["reconstruct"]


def reconstruct(
    sensors: Annotated[
        Path,
        typer.Argument(help="CSV with the columns field, x, y, value and, optionally, noise_std."),
    ],
    pde: PdeName,
    out: Annotated[
        Path, typer.Option(help="NetCDF file to write: mean, std and samples of both fields.")
    ],
    plot: Annotated[Path | None, typer.Option(help="Figure to write: .png, .pdf or .svg.")] = None,
    grid: Annotated[int, typer.Option(help="Nodes per side of the result.")] = 64,
    solver: Annotated[
        str,
        typer.Option(
            help="auto, gaussian, gauss-newton, level-set, kriging or optimal-interpolation; fno, "
            "by regression; or by "
            "diffusion: dps, diffusionpde, fundps, daps, ddis or moment."
        ),
    ] = "auto",
    equireg: Annotated[
        bool, typer.Option("--equireg", help="Regularise a solver by diffusion by EquiReg.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps of a solver by diffusion; as many as published if not given."),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="For fno and the solvers by diffusion: the file of a trained model, or a shipped "
            "one's name (see `pdeinv "
            "info`); that of the PDE if not given."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(help="Posterior samples in the result.")] = 16,
    ensemble: Annotated[
        Path | None,
        typer.Option(
            help="Dataset of examples for optimal-interpolation; drawn from the PDE if not given."
        ),
    ] = None,
    seed: Seed = 0,
    param: Parameters = None,
) -> None:
    """Reconstruct both fields from a table of sensor readings, with error bars."""
    from pdeinv.files import check_figure, check_writable, save_figure, save_netcdf

    if ensemble and prior:
        raise InputError(
            "--ensemble and --prior exclude each other; an ensemble is for optimal-interpolation"
        )
    check_writable(out)
    if plot:
        check_figure(plot)
    inputs = [Path(path).resolve() for path in (sensors, ensemble, prior) if path]
    if out.resolve() in inputs or (plot and plot.resolve() in (*inputs, out.resolve())):
        raise InputError(
            "an output has the name of another file of this command; choose another for --out or "
            "--plot"
        )
    from pdeinv.datasets import pde_by_name
    from pdeinv.solvers import reconstruct as run

    physics = pde_by_name(pde, **parsed(param))
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
        f"{out}: {physics.name} on {grid} x {grid} nodes by {result.attrs['solver']} from "
        f"{result.sizes['sensor']} sensors "
        f"in {result.attrs['seconds']:.1f} s, reduced chi-squared "
        f"{result.attrs['reduced_chi_squared']:.3g}"
    )


def _ensemble(path: Path, pde):
    from pdeinv.datasets import open as open_dataset
    from pdeinv.datasets import states
    from pdeinv.priors.ensemble import Ensemble

    with open_dataset(path) as dataset:
        return Ensemble(states(dataset, pde))
