"""Look hard at a trained prior: `python -m pdeinv.benchmarks.studies.prior_reports PRIOR... --cards
docs/priors.md`.

For each: the denoising error by noise level beside that of its Gaussian part and, for a linear PDE,
of the exact Wiener denoiser; power spectra, histograms and the residual of samples against fresh
data, at the grid of the training and at twice as many nodes; how far one noise draw denoised on
both grids differs; and a figure of samples beside data. For a neural operator: its error on fresh
coefficients, on both grids. For a regressor: its errors on fresh states given sensors, on both
grids.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

import numpy as np
import torch

from pdeinv import layouts
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.reports.tables import read_records
from pdeinv.benchmarks.studies.prior_cards import cards
from pdeinv.datasets import PDE, pde_by_name
from pdeinv.errors import InputError, run_cli
from pdeinv.files import atomic_write, check_writable, save_figure
from pdeinv.grid import Grid
from pdeinv.metrics import relative_l2
from pdeinv.observation import Observation
from pdeinv.priors import (
    DiffusionPrior,
    FourierOperator,
    GaussianPrior,
    NeuralOperator,
    TrainingData,
    load,
)
from pdeinv.priors.diffusion import LEVELS, denoising_errors

__all__ = ["consistency", "exact_errors", "operator_report", "power", "regressor_report", "report"]

_SEED = 77_000  # no dataset or benchmark draws from it
_HELD_OUT, _SAMPLES, _STEPS = 256, 256, 40
_RESULTS = Path("benchmarks/results/priors.jsonl")
_ABLATION = Path("benchmarks/results/prior-ablation.jsonl")
_SHARE = 0.99  # of the variance, whose wavenumbers are compared


def power(prior: GaussianPrior, states: torch.Tensor) -> torch.Tensor:
    """Variance by integer wavenumber |k|, (channel, wavenumbers), of normalised states about their
    mean."""
    grid = prior.grid_of(states)
    tables = prior.coefficients(
        prior.normalise(states - states.mean(dim=0) + prior.shift[:, None, None]), grid
    )
    rings = []
    for basis, table in zip(prior.bases, tables, strict=True):
        unit = torch.pi * (2 if grid.periodic else 1)
        k = (basis.frequencies(table.shape[-1]) / unit).round().long()
        rings.append(
            torch.zeros(grid.n).index_add_(
                0, k.flatten().clamp(max=grid.n - 1), table.square().mean(dim=0).flatten()
            )
        )
    return torch.stack(rings)


def exact_errors(
    pde: PDE, prior: GaussianPrior, data: TrainingData, sigmas=LEVELS
) -> dict[str, list[float]]:
    """As `denoising_errors`, of Wiener's filter with the true covariance of a linear PDE's fields,
    on the same noise."""
    grid, scale, channels = data.grid, prior.scale[:, None, None], len(prior.fields)
    m, columns = pde.latent_prior.modes, []
    for part in torch.eye(m * m, dtype=torch.float64).split(1024):
        states = pde.state(part.reshape(-1, 1, m, m), grid)[:, :channels] / scale
        columns.append(torch.cat([t.flatten(1) for t in prior.coefficients(states, grid)], dim=1))
    rows = torch.cat(columns)
    covariance = rows.T @ rows
    spread = torch.cat([prior.noise.variance(b, grid).flatten() for b in prior.bases])
    sizes = [b.capacity(grid) ** 2 for b in prior.bases]
    noise = prior.sample_noise(len(data), grid, torch.Generator().manual_seed(1))
    states = data.states.double()
    errors = []
    for sigma in sigmas:
        tables = prior.coefficients((states + sigma * noise) / scale, grid)
        z = torch.cat([t.flatten(1) for t in tables], dim=1)
        lower = torch.linalg.cholesky(covariance + torch.diag(sigma**2 * spread))
        z = (torch.cholesky_solve(z.T, lower).T @ covariance).split(sizes, dim=1)
        z = [
            t.reshape(-1, b.capacity(grid), b.capacity(grid))
            for t, b in zip(z, prior.bases, strict=True)
        ]
        off = (prior.synthesis(z, grid) - states / scale) / 0.5
        errors.append(off.square().mean(dim=(2, 3)).mean(dim=0).sqrt())
    return {
        f.name: [round(float(v), 6) for v in row]
        for f, row in zip(prior.fields, torch.stack(errors, 1), strict=True)
    }


def consistency(
    pde: PDE, prior: DiffusionPrior, fine: Grid, sigma: float = 0.25, n: int = 16
) -> dict[str, list[float]]:
    """Relative L2 distances, by channel, between what two grids make of one noise draw, on the
    nodes of the coarser.

    `denoised`: of one function that both grids resolve, noised and denoised. `sampled`: the same
    for the PDE's own state, which each grid samples for itself (a jump falls between other nodes);
    `states`: of these states before noising.
    """
    g, coarse = prior.gaussian, prior.gaussian.grid
    white = pde.latent_prior.white(n, torch.Generator().manual_seed(_SEED))
    xi = g.white(n, fine, torch.Generator().manual_seed(_SEED + 1))
    states = {grid: pde.state(white, grid)[:, : len(g.fields)] for grid in (coarse, fine)}
    resolved = g.coefficients(g.normalise(states[coarse]), coarse)
    seen: dict[str, list[torch.Tensor]] = {"denoised": [], "sampled": [], "states": []}
    for grid, state in states.items():
        one = g.physical(g.synthesis(resolved, grid))
        noise = sigma * g.noise_fields(xi, grid)
        found = prior.denoise(one + noise, sigma), prior.denoise(state + noise, sigma), state
        for kept, field in zip(seen.values(), found, strict=True):
            kept.append(g.synthesis(g.coefficients(g.normalise(field), grid), coarse))
    return {
        what: [
            round(float((a - b).norm() / a.norm()), 5)
            for a, b in zip(*(t.unbind(1) for t in pair), strict=True)
        ]
        for what, pair in seen.items()
    }


def report(name: str, command: str = "", progress: bool = False) -> tuple[dict, object]:
    """What was measured of a prior, a shipped one or a file, as a record; and the figure."""
    prior = load(name)
    g = prior.gaussian
    pde = pde_by_name(g.pde[0], **g.pde[1])
    channels, grid = len(g.fields), g.grid
    generator = torch.Generator().manual_seed(_SEED)
    states = pde.sample(_HELD_OUT, grid, generator)[:, :channels]
    data = TrainingData(states.float(), g.fields, grid, pde, "fresh")
    record = {
        "prior": Path(name).name.removesuffix(".safetensors"),
        "pde": pde.name,
        "seed": _SEED,
        "fields": [f.name for f in g.fields],
        "preconditioning": prior.preconditioning,
        "training": {k: v for k, v in prior.record.items() if k != "history"},
        "curve": [(row["seconds"], row["loss"]) for row in prior.record["history"]],
        "levels": list(LEVELS),
        "errors": denoising_errors(prior, data),
    }
    if prior.preconditioning == "gaussian":
        record["gaussian_errors"] = denoising_errors(g, data)
    if pde.linear:
        record["exact_errors"] = exact_errors(pde, g, data)
    one = states[:16] + 0.1 * g.sample_noise(16, grid, generator)
    with torch.no_grad():
        prior.denoise(one, 0.1)
        start = time.perf_counter()
        for _ in range(5):
            prior.denoise(one, 0.1)
    record["milliseconds_per_field"] = round((time.perf_counter() - start) / 80 * 1e3, 2)
    fine = Grid(2 * grid.n, grid.kind)
    record["consistency"] = consistency(pde, prior, fine)
    drawn = {}
    for size in (grid, fine):
        samples = prior.sample(_SAMPLES, size, generator, steps=_STEPS, progress=progress)
        fresh = pde.sample(_SAMPLES, size, generator)[:, :channels]
        drawn[size.n] = (fresh, samples)
        spectra = power(g, fresh), power(g, samples)
        record[f"spectrum_{size.n}"] = _compared(spectra, g.fields)
        if channels == 2:
            a = pde.clamp(samples)[:, :1]
            u = pde.solve(a)
            record[f"residual_{size.n}"] = round(
                float(((samples[:, 1:] - u).norm(dim=(2, 3)) / u.norm(dim=(2, 3))).mean()), 5
            )
    return record | provenance(command), _figure(record["prior"], g, drawn)


def _beginning(name: str, model: FourierOperator) -> tuple[PDE, dict]:
    """The PDE that a model was trained for, and what its record begins with."""
    pde = pde_by_name(model.pde[0], **model.pde[1])
    return pde, {
        "prior": Path(name).name.removesuffix(".safetensors"),
        "pde": pde.name,
        "seed": _SEED,
        "fields": [f.name for f in model.fields],
        "training": {k: v for k, v in model.record.items() if k != "history"},
    }


def operator_report(name: str, command: str = "") -> dict:
    """What was measured of a neural operator: its error on fresh coefficients, on the data's grid
    and on a finer one."""
    operator = load(name)
    pde, record = _beginning(name, operator)
    if operator.fields[0].name != pde.fields[0].name:
        raise InputError(
            f"{name} leads from {operator.fields[0].name} back; cards are of operators that solve "
            f"the PDE"
        )
    record["curve"] = [(row["seconds"], row["relative_l2"]) for row in operator.record["history"]]
    record["relative_l2"] = {}
    n = operator.record["grid"]
    for size in (n, 2 * n):
        a = pde.sample_coefficient(_HELD_OUT, pde.grid(size), torch.Generator().manual_seed(_SEED))
        u = pde.solve(a)
        with torch.no_grad():
            start = time.perf_counter()
            found = torch.cat([operator(part) for part in a.split(16)])
            seconds = time.perf_counter() - start
        record["relative_l2"][str(size)] = round(float(relative_l2(found, u).mean()), 5)
        record.setdefault("milliseconds_per_field", round(1e3 * seconds / len(a), 2))
    return record | provenance(command)


def regressor_report(name: str, command: str = "") -> dict:
    """What was measured of a regressor: its errors on fresh states, 3 % of whose nodes have exact
    sensors, on two grids.

    *Forward* has them on the coefficient and scores the solution, *inverse* the other way round.
    Every 16 states have other sensors.
    """
    regressor = load(name)
    pde, record = _beginning(name, regressor)
    record["curve"] = [
        (row["seconds"], row["forward"], row["inverse"]) for row in regressor.record["history"]
    ]
    record["sensor_errors"] = {}
    for size in (n := regressor.record["grid"], 2 * n):
        grid, m = pde.grid(size), size**2 * 125 // 4096
        states = pde.sample(_HELD_OUT, grid, torch.Generator().manual_seed(_SEED))
        found = {"sensors": m}
        for kind, (given, sought) in {"forward": (0, 1), "inverse": (1, 0)}.items():
            errors, seconds = [], 0.0
            for i, part in enumerate(states.split(16)):
                points = torch.as_tensor(layouts.random_nodes(m, grid, seed=_SEED + i))
                none = torch.zeros(m, dtype=torch.float64)
                observation = Observation(grid, points, torch.full((m,), given), none, none)
                start = time.perf_counter()
                answers = regressor.answers(observation, observation(part))
                seconds += time.perf_counter() - start
                errors.append(relative_l2(answers[:, sought], part[:, sought]))
            found[kind] = round(float(torch.cat(errors).mean()), 5)
        record["sensor_errors"][str(size)] = found
        record.setdefault("milliseconds_per_field", round(1e3 * seconds / _HELD_OUT, 2))
    return record | provenance(command)


def _compared(spectra, fields) -> dict:
    """The worst ratio of the samples' power to the data's among the wavenumbers that hold 99 % of
    the variance."""
    result = {}
    for field, data, samples in zip(fields, *spectra, strict=True):
        last = int((data.cumsum(0) / data.sum() < _SHARE).sum())
        there = data[: last + 1] > 1e-6 * data.max()
        ratio = (samples / data)[: last + 1][there]
        worst = int((ratio - 1).abs().argmax())
        result[field.name] = {
            "last_wavenumber": last,
            "worst_ratio": round(float(ratio[worst]), 4),
            "at": int(torch.nonzero(there)[worst]),
            "within_15_percent": round(float(((ratio - 1).abs() <= 0.15).float().mean()), 4),
        }
    return result


def _figure(name, prior, drawn):
    """Data beside samples, then spectra and histograms, for each field."""
    from matplotlib.figure import Figure

    sizes, shown = list(drawn), 4
    figure = Figure(figsize=(15, 3.1 * len(prior.fields)), layout="constrained")
    axes = figure.subplots(
        len(prior.fields), 2 * shown + 2, width_ratios=[1] * (2 * shown) + [1.7, 1.7], squeeze=False
    )
    data, samples = drawn[sizes[0]]
    for row, (c, field) in zip(axes, enumerate(prior.fields), strict=True):
        low, high = (float(np.quantile(data[:, c], q)) for q in (0.001, 0.999))
        for i, (axis, values) in enumerate(
            zip(row, [*data[:shown, c], *samples[:shown, c]], strict=False)
        ):
            axis.imshow(
                values, origin="lower", vmin=low, vmax=high, cmap="viridis", interpolation="nearest"
            )
            axis.set_xticks([])
            axis.set_yticks([])
            if i % shown == 0:
                axis.set_title("data" if i == 0 else "samples", loc="left", fontsize=10)
        row[0].set_ylabel(field.name.replace("_", " "), fontsize=10)
        for n, style in zip(sizes, ("-", "--"), strict=True):
            for values, colour, label in zip(
                drawn[n], ("black", "tab:orange"), ("data", "samples"), strict=True
            ):
                spectrum = power(prior, values)[c]
                row[-2].loglog(
                    spectrum[1:].clamp(min=1e-14),
                    style,
                    color=colour,
                    label=f"{label}, {n} nodes",
                    linewidth=1,
                )
        row[-2].set_ylim(bottom=float(power(prior, data)[c][1:].max()) * 1e-8)
        row[-2].set_title("power by wavenumber", fontsize=10)
        row[-2].legend(fontsize=7)
        bins = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), 60)
        for values, colour, label in zip(
            (data, samples), ("black", "tab:orange"), ("data", "samples"), strict=True
        ):
            row[-1].hist(
                values[:, c].flatten(),
                bins,
                density=True,
                histtype="step",
                color=colour,
                label=label,
            )
        row[-1].set_title("values at a point", fontsize=10)
        row[-1].set_yticks([])
        row[-1].legend(fontsize=7)
        for axis in row[-2:]:
            axis.tick_params(labelsize=7)
    figure.suptitle(f"{name}: {sizes[0]} x {sizes[0]} nodes, {_STEPS} steps", fontsize=11)
    return figure


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split(":")[0])
    parser.add_argument("prior", nargs="*", help="shipped priors' names, or files")
    parser.add_argument(
        "--out",
        type=Path,
        default=_RESULTS,
        help="JSON-lines file; a prior's earlier record is replaced",
    )
    parser.add_argument(
        "--figures", type=Path, default=Path("docs/figures"), help="folder for one PNG a prior"
    )
    parser.add_argument("--cards", type=Path, help="Markdown file to write of the records")
    o = parser.parse_args()
    check_writable(o.out)
    command = shlex.join(["python", "-m", "pdeinv.benchmarks.studies.prior_reports", *sys.argv[1:]])
    for name in o.prior:
        if isinstance(model := load(name), FourierOperator):
            record = (operator_report if isinstance(model, NeuralOperator) else regressor_report)(
                name, command
            )
        else:
            record, figure = report(name, command, progress=True)
            save_figure(figure, o.figures / f"prior-{record['prior']}.png")
        kept = [
            r
            for r in (read_records(o.out) if o.out.exists() else [])
            if r["prior"] != record["prior"]
        ]
        with atomic_write(o.out) as temporary:
            temporary.write_text("".join(f"{json.dumps(r)}\n" for r in [*kept, record]))
        print(
            json.dumps(
                {k: v for k, v in record.items() if k not in ("training", "machine", "command")}
            ),
            flush=True,
        )
    if o.cards:
        with atomic_write(o.cards) as temporary:
            temporary.write_text(
                cards(read_records(o.out), read_records(_ABLATION) if _ABLATION.exists() else [])
            )


if __name__ == "__main__":
    run_cli(_main)
