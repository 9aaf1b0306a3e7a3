"""The demonstration: shipped sensors in; NetCDF files, figures and a scorecard out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import xarray as xr

from pdeinv import layouts, seeds
from pdeinv.datasets import PDE, example, examples, pde_by_name
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, ensure_folder, save_figure, save_netcdf
from pdeinv.metrics import rank_coverage, ranks, relative_l2
from pdeinv.plot import plot_reconstruction
from pdeinv.sensors import Sensors
from pdeinv.solvers import reconstruct

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

__all__ = ["demo_pdes", "demo_sensors", "run_demo"]

_SAMPLES = 19  # their ranks have a 90 % interval
_HEADER = (
    f"{'PDE':<15}{'field':<20}{'solver':<23}"
    f"{'error':>8}{'kriging':>10}{'in 90 %':>10}{'seconds':>10}"
)


def demo_pdes() -> list[str]:
    """Return the names of the PDEs of which an example and a sensor table are shipped."""
    return [name for name in examples() if _shipped(f"{name}-sensors.csv").is_file()]


def demo_sensors(pde: PDE) -> Sensors:
    """Return the readings of a shipped table, which this recipe made.

    They are of the first example, by 30 sensors on the coefficient and 95 on the solution.
    Positions are random and off the grid; a piecewise constant field is read at the nearest node.
    The noise is 1 % of each field's standard deviation.
    """
    truth = example(pde.name).isel(sample=0)
    tables = []
    for seed, (f, count) in enumerate(zip(pde.fields, (30, 95), strict=True)):
        noise_std = float(f"{0.01 * float(truth[f.name].std()):.2g}")
        points = layouts.random(count, seed).round(4)
        tables.append(Sensors.observe(truth[f.name], points, noise_std=noise_std, seed=seed))
    return tables[0] + tables[1]


def run_demo(
    out: Path, names: Iterable[str] | None = None, echo: Callable[[str], object] = print
) -> None:
    """Reconstruct the first example of each PDE and print a scorecard.

    Arguments:
        out: folder for tables, NetCDF files and figures, created if it is missing.
        names: PDEs to run; all of `demo_pdes` if None.
        echo: prints one line.

    Raises:
        InputError: a PDE is unknown, or nothing of it is shipped.
    """
    pdes = [pde_by_name(name) for name in names or demo_pdes()]
    for pde in pdes:
        if pde.name not in demo_pdes():
            raise InputError(
                f"the demonstration's PDE must be one of {', '.join(demo_pdes())}, got "
                f"{pde.name}, of which no example is shipped; choose one of them"
            )
    ensure_folder(out)
    echo(
        "Reconstructing shipped 64 x 64 examples from 125 noisy sensors: 30 on the coefficient, "
        "95 on the solution.\n"
    )
    echo(_HEADER)
    for pde in pdes:
        for line in _reconstruct(pde, out):
            echo(line)
    echo(
        "\nerror, kriging: relative L2 error of the posterior mean, ours and off-the-shelf "
        "kriging's."
    )
    echo(
        f"in 90 %: share of nodes whose truth lies within the central 18 of the 20 intervals that "
        f"{_SAMPLES} samples make."
    )
    echo(f"Tables, NetCDF files and figures are in {out}/; repeat one with")
    name = pdes[0].name
    echo(
        f"  pdeinv reconstruct {out}/{name}-sensors.csv --pde {name} --out {name}.nc --plot "
        f"{name}.png"
    )


def _reconstruct(pde: PDE, out: Path) -> list[str]:
    """Reconstruct a PDE's first example, write the files, and return a line for each field."""
    truth = example(pde.name).isel(sample=0)
    table = out / f"{pde.name}-sensors.csv"
    with atomic_write(table) as temporary:
        temporary.write_bytes(_shipped(table.name).read_bytes())
    result = reconstruct(table, pde, n_samples=_SAMPLES, progress=True)
    with warnings.catch_warnings():  # kriging has no physics that could disagree with the sensors
        warnings.simplefilter("ignore")
        kriging = reconstruct(table, pde, solver="kriging", n_samples=1)
    save_netcdf(result, out / f"{pde.name}.nc")
    save_figure(plot_reconstruction(result, truth), out / f"{pde.name}.png")
    lines = []
    for f in pde.fields:
        true = _tensor(truth[f.name])
        ours, theirs = (
            float(relative_l2(_tensor(r[f"{f.name}_mean"]), true)) for r in (result, kriging)
        )
        samples = _tensor(result[f"{f.name}_samples"]).movedim(-3, 0)
        counts = (
            ranks(samples, true, seeds.generator(seeds.STATISTICS))
            .flatten()
            .bincount(minlength=_SAMPLES + 1)
        )
        covered = rank_coverage((counts / counts.sum()).tolist(), 0.9)
        lines.append(
            f"{pde.name:<15}{f.name:<20}{result.attrs['solver']:<23}{ours:>7.1%}{theirs:>10.1%}"
            f"{covered:>10.0%}{result.attrs['seconds']:>10.1f}"
        )
    return lines


def _shipped(name: str) -> Traversable:
    return resources.files("pdeinv") / "data" / name


def _tensor(field: xr.DataArray) -> torch.Tensor:
    return torch.tensor(field.values, dtype=torch.float64)[None, None]
