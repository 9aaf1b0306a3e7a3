"""The demonstration: shipped sensors in; NetCDF files, figures and a scorecard out."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import torch
import xarray as xr

from pdeinv import layouts
from pdeinv.datasets import PDE, PDES, example, pde_by_name
from pdeinv.files import ensure_folder, save_figure, save_netcdf
from pdeinv.metrics import coverage, gaussian_interval, relative_l2
from pdeinv.plot import plot_reconstruction
from pdeinv.sensors import Sensors
from pdeinv.solvers import reconstruct

__all__ = ["demo_sensors", "run_demo"]

_HEADER = f"{'PDE':<15}{'field':<20}{'solver':<23}{'error':>8}{'kriging':>10}{'in 90 %':>10}{'seconds':>10}"


def demo_sensors(pde: PDE) -> Sensors:
    """The recipe of the shipped tables: the first example seen by 30 sensors on the coefficient and
    95 on the solution.

    Positions are random, off the grid (for a piecewise constant field the reading is that of the
    nearest node); the noise is 1 % of each field's standard deviation.
    """
    truth = example(pde.name).isel(sample=0)
    tables = []
    for seed, (f, count) in enumerate(zip(pde.fields, (30, 95), strict=True)):
        noise_std = float(f"{0.01 * float(truth[f.name].std()):.2g}")
        points = layouts.random(count, seed).round(4)
        tables.append(Sensors.observe(truth[f.name], points, noise_std=noise_std, seed=seed))
    return tables[0] + tables[1]


def run_demo(
    out: Path, names: list[str] | None = None, echo: Callable[[str], None] = print
) -> None:
    """Reconstruct the first example of each PDE, write tables, NetCDF files and figures to `out`,
    print a scorecard.

    Arguments:
        out: folder, created where it does not exist.
        names: PDEs to run; all of them where None.
        echo: where to print, line by line.
    """
    pdes = [pde_by_name(name) for name in names or sorted(PDES)]
    ensure_folder(out)
    echo(
        "Reconstructing shipped 64 x 64 examples from 125 noisy sensors: 30 on the coefficient, "
        "95 on the solution.\n"
    )
    echo(_HEADER)
    for pde in pdes:
        truth = example(pde.name).isel(sample=0)
        shipped = resources.files("pdeinv") / "data" / f"{pde.name}-sensors.csv"
        table = out / f"{pde.name}-sensors.csv"
        table.write_bytes(shipped.read_bytes())
        result = reconstruct(table, pde, progress=True)
        with warnings.catch_warnings():  # kriging knows no physics to disagree with
            warnings.simplefilter("ignore")
            kriging = reconstruct(table, pde, solver="kriging", n_samples=1)
        save_netcdf(result, out / f"{pde.name}.nc")
        save_figure(plot_reconstruction(result, truth), out / f"{pde.name}.png")
        for f in pde.fields:
            true = _tensor(truth[f.name])
            score = [
                float(relative_l2(_tensor(r[f"{f.name}_mean"]), true)) for r in (result, kriging)
            ]
            interval = gaussian_interval(
                _tensor(result[f"{f.name}_mean"]), _tensor(result[f"{f.name}_std"]), 0.9
            )
            echo(
                f"{pde.name:<15}{f.name:<20}{result.attrs['solver']:<23}{score[0]:>7.1%}{score[1]:>10.1%}"
                f"{float(coverage(*interval, true).mean()):>10.0%}{result.attrs['seconds']:>10.1f}"
            )
    echo(
        "\nerror, kriging: relative L2 error of the posterior mean, ours and off-the-shelf "
        "kriging's."
    )
    echo("in 90 %: share of nodes whose truth lies in the 90 % interval.")
    echo(f"Tables, NetCDF files and figures are in {out}/; repeat one with")
    name = pdes[0].name
    echo(
        f"  pdeinv reconstruct {out}/{name}-sensors.csv --pde {name} --out {name}.nc --plot "
        f"{name}.png"
    )


def _tensor(field: xr.DataArray) -> torch.Tensor:
    return torch.tensor(field.values, dtype=torch.float64)[None, None]
