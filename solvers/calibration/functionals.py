"""Scalars of fields, whose ranks among posterior samples judge a calibration."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
import xarray as xr

from pdeinv.metrics import rank_coverage, ranks
from pdeinv.solvers.calibration.truths import Truth

__all__ = ["LEVELS", "SAMPLES", "scores"]

SAMPLES = 19
"""Independent posterior samples behind a rank, from 0 to 19."""
LEVELS = tuple(round(1 - 2 * k / (SAMPLES + 1), 2) for k in range(9, 0, -1))
"""Probabilities of intervals that end between two ranks."""


def scores(result: xr.Dataset, truth: Truth, names: tuple[str, ...], periodic: bool) -> xr.Dataset:
    """Return the ranks of a truth among the samples of a result, with the dimensions functional,
    quantity (a field or a number) and level.

    Arguments:
        result: of 2 `SAMPLES` samples, of which every second one is used: others may be antithetic.
        truth: the truth.
        names: of the fields.
        periodic: whether the domain is.
    """
    rows: dict[str, tuple[str, float, float, int, float]] = {}
    inside: dict[str, list[float | None]] = {}
    exact = truth.fields()
    for name, samples, true in _slices(result, exact, names):
        known = _inner(true)
        found = ranks(samples[:, known], true[known], truth.generator)
        inside[name] = _coverage(found)
        values = _functionals(samples, true, periodic, truth.generator)
        for what, (of_samples, of_truth) in values.items():
            rows[f"{what} of {name}"] = (name, *_ranked(of_samples, of_truth, truth.generator))
    for name, number in truth.numbers.items():
        if name in result.get("parameter", ()):
            drawn = torch.as_tensor(result["parameter_samples"].sel(parameter=name).values)[::2]
            rows[name] = (name, *_ranked(drawn, torch.tensor(number), truth.generator))
            inside[name] = _coverage(torch.tensor([rows[name][3]]))
    return _table(rows, inside)


def _slices(
    result: xr.Dataset, exact: xr.Dataset, names: tuple[str, ...]
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """Yield the name, the independent samples (S, ny, nx) and the truth (ny, nx) of each field, at
    its last time and in each experiment."""
    for name in names:
        samples, true = result[f"{name}_samples"][::2], exact[f"{name}_mean"]
        if "time" in samples.dims:
            samples, true = samples.isel(time=-1), true.isel(time=-1)
        experiments = samples["experiment"].values if "experiment" in samples.dims else [None]
        for experiment in experiments:
            place = {} if experiment is None else {"experiment": experiment}
            fields = (torch.as_tensor(one.sel(place).values) for one in (samples, true))
            here, there = fields
            if bool(there.isfinite().any()):  # it is nan at inactive nodes
                yield name if experiment is None else f"{name} in {experiment}", here, there


def _functionals(
    samples: torch.Tensor, true: torch.Tensor, periodic: bool, generator: torch.Generator
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Return scalars of samples (S,) and of the truth."""
    known, inner = true.isfinite(), _inner(true)
    both = torch.cat([samples, true[None]]).double().where(known, 0.0)
    ny, nx = true.shape
    waves = 2.0 if periodic else 1.0
    y, x = (
        torch.cos(
            waves * math.pi * torch.arange(n, device=samples.device) / (n if periodic else n - 1)
        ).double()
        for n in (ny, nx)
    )
    place = torch.randint(int(inner.sum()), (1,), generator=generator)
    steps = torch.stack([both.diff(dim=k).square().mean(dim=(-2, -1)) for k in (-1, -2)])
    values = {
        "mean": both.mean(dim=(-2, -1)),
        "first wave along x": (both * x).mean(dim=(-2, -1)),
        "first wave along y": (both * y[:, None]).mean(dim=(-2, -1)),
        "a random node": both[:, inner][:, place[0]],
        "spread": both[:, known].std(dim=1),
        "roughness": steps.sum(dim=0).sqrt(),
    }
    return {name: (found[:-1], found[-1]) for name, found in values.items()}


def _inner(true: torch.Tensor) -> torch.Tensor:
    """Return which nodes are active and not on the sides, (ny, nx)."""
    inner = true.isfinite()
    inner[[0, -1]] = inner[:, [0, -1]] = False
    return inner


def _ranked(
    samples: torch.Tensor, true: torch.Tensor, generator: torch.Generator
) -> tuple[float, float, int, float]:
    """Return the truth, the mean of the samples (S,), the rank, and the randomised rank in (0, 1),
    which is uniform where the truth is one more sample."""
    rank = int(ranks(samples.double(), true.double(), generator))
    within = float(torch.rand(1, dtype=torch.float64, generator=generator))
    return float(true), float(samples.mean()), rank, (rank + within) / (SAMPLES + 1)


def _coverage(found: torch.Tensor) -> list[float | None]:
    """Return the share of ranks within the central interval of each level."""
    counts = torch.bincount(found.flatten(), minlength=SAMPLES + 1).double()
    shares = (counts / counts.sum()).tolist()
    return [rank_coverage(shares, level) for level in LEVELS]


def _table(
    rows: dict[str, tuple[str, float, float, int, float]], inside: dict[str, list[float | None]]
) -> xr.Dataset:
    owners, *columns = zip(*rows.values(), strict=True)
    names = ("truth_value", "sample_mean", "rank", "uniform")
    labels = ("value of the truth", "mean of the samples", "rank", "randomised rank over the ranks")
    data = {
        name: ("functional", np.array(column, dtype=float), {"long_name": label})
        for name, column, label in zip(names, columns, labels, strict=True)
    }
    covered = np.array(list(inside.values()), dtype=float)
    label = {"long_name": "share of the nodes whose truth is within the central interval"}
    coords = {
        "functional": np.array(list(rows), dtype=object),
        "of": ("functional", np.array(owners, dtype=object)),
        "quantity": np.array(list(inside), dtype=object),
        "level": np.array(LEVELS),
    }
    return xr.Dataset({**data, "coverage": (("quantity", "level"), covered, label)}, coords)
