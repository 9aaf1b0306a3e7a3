"""How well a prior's denoiser and samples agree with fresh fields of its PDE."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from pydantic import TypeAdapter, ValidationError

from pdeinv import seeds
from pdeinv.benchmarks.prior_kinds import Stated
from pdeinv.benchmarks.records import Record
from pdeinv.datasets import PDE, Problem
from pdeinv.errors import InputError, NumericalError
from pdeinv.fields import Field
from pdeinv.grid import Grid
from pdeinv.priors import DiffusionPrior, GaussianPrior, Model, TrainingData
from pdeinv.priors.validation import LEVELS
from pdeinv.schema import problem_of
from pdeinv.solvers.trained_problem import trained_coefficients, trained_physics

__all__ = [
    "SEED",
    "consistency",
    "draw_states",
    "exact_errors",
    "milliseconds",
    "power",
    "spectrum_ratios",
    "stable_solution",
    "trained_on",
    "training_of",
]

SEED = 77_000
_STATED = TypeAdapter(Stated)
_HALVINGS = 3  # of a time step
_SHARE = 0.99  # of the variance, whose wavenumbers are compared


def trained_on(name: str, model: object) -> Problem:
    """Return the problem that a model was trained for.

    Arguments:
        name: of the model.
        model: the model itself.

    Raises:
        InputError: it states none of the package's.
    """
    pde, coefficients = trained_physics(model), trained_coefficients(model)
    if pde is None or coefficients is None:
        raise InputError(
            f"{name} must be a model of a PDE that `pdeinv info` lists and of coefficients of a "
            f"known distribution, and was trained on a dataset that states no such "
            f"{'prior' if pde else 'PDE'}; choose another"
        )
    return Problem(pde, coefficients)


def stable_solution(pde: PDE, a: torch.Tensor) -> torch.Tensor:
    """Return the solution of coefficients, with a smaller time step where that of the PDE is
    unstable, as on a grid that is finer than that of the training.

    Arguments:
        pde: the PDE.
        a: (batch, 1, ny, nx).

    Raises:
        NumericalError: there is none.
    """
    for _ in range(_HALVINGS):
        try:
            return pde.solve(a)
        except NumericalError:
            if "dt" not in pde.numerical_parameters:
                raise
            pde = type(pde)(**pde.parameters | {"dt": pde.parameters["dt"] / 2})
    return pde.solve(a)


def draw_states(
    problem: Problem, prior: GaussianPrior, n: int, grid: Grid, generator: torch.Generator
) -> torch.Tensor:
    """Return n states (n, channel, ny, nx) of the prior's fields, the coefficient first.

    A prior of the coefficient alone requires no solves.
    """
    a = problem.sample_coefficient(n, grid, generator)
    if [f.name for f in prior.fields] == [problem.physics.coefficient_field.name]:
        return a
    return torch.cat([a, stable_solution(problem.physics, a)], dim=1)


def training_of(name: str, model: Model, *scores: str) -> Record:
    """Return what a model states about its training.

    Arguments:
        name: of the model.
        model: the model itself.
        scores: names that every row of its history must have.

    Raises:
        InputError: it does not state these.
    """
    problem: str | None = None
    try:
        _STATED.validate_python(model.record, strict=True)
    except ValidationError as error:
        problem = problem_of(error, "the record")
    else:
        lost = [s for s in scores for row in model.record["history"] if s not in row]
        if lost:
            problem = f"a row of history lacks {lost[0]}"
    if problem:
        raise InputError(
            f"{name} must state its training, and in its record {problem}; train it by `pdeinv "
            f"train`"
        )
    return model.record


def power(prior: GaussianPrior, states: torch.Tensor) -> torch.Tensor:
    """Return the variance of normalised states about their mean by integer wavenumber |k|.

    Arguments:
        prior: whose normalisation and bases are used.
        states: (batch, channel, ny, nx).

    Returns:
        Variances (channel, wavenumbers).
    """
    grid = prior.grid_of(states)
    tables = prior.coefficients(
        prior.normalise(states - states.mean(dim=0) + prior.shift[:, None, None]), grid
    )
    rings = []
    for basis, table in zip(prior.bases, tables, strict=True):
        unit = torch.pi * (2 if grid.periodic else 1)
        k = (basis.frequencies(basis.capacity(grid), grid.domain) / unit).round().long()
        rings.append(
            torch.zeros(max(grid.shape), dtype=torch.float32).index_add_(
                0, k.flatten().clamp(max=max(grid.shape) - 1), table.square().mean(dim=0).flatten()
            )
        )
    return torch.stack(rings)


def spectrum_ratios(
    data: torch.Tensor, samples: torch.Tensor, fields: Sequence[Field]
) -> dict[str, dict[str, float]]:
    """Return by field the worst ratio of the samples' power to the data's.

    It is taken among the wavenumbers that hold 99 % of the variance.

    Arguments:
        data, samples: (channel, wavenumbers), as `power` returns them.
        fields: of the channels.
    """
    result = {}
    for field, known, drawn in zip(fields, data, samples, strict=True):
        last = int((known.cumsum(0) / known.sum() < _SHARE).sum())
        there = known[: last + 1] > 1e-6 * known.max()
        ratio = (drawn / known)[: last + 1][there]
        worst = int((ratio - 1).abs().argmax())
        result[field.name] = {
            "last_wavenumber": last,
            "worst_ratio": round(float(ratio[worst]), 4),
            "at": int(torch.nonzero(there)[worst]),
            "within_15_percent": round(float(((ratio - 1).abs() <= 0.15).float().mean()), 4),
        }
    return result


def exact_errors(
    problem: Problem, prior: GaussianPrior, data: TrainingData, sigmas: Sequence[float] = LEVELS
) -> dict[str, list[float]]:
    """Return errors as `denoising_errors` does, of the exact Wiener filter on the same noise.

    Arguments:
        problem: a linear one, whose fields have a known covariance.
        prior: whose normalisation, bases and noise are used.
        data: fresh fields.
        sigmas: noise levels.
    """
    grid, scale = data.grid, prior.scale[:, None, None]
    covariance = _covariance(problem, prior, grid)
    variances = torch.cat([prior.noise.variance(b, grid).flatten() for b in prior.bases])
    noise = prior.sample_noise(len(data), grid, seeds.generator(seeds.TUNING, 1))
    states = data.values.double()
    widths = [b.capacity(grid) for b in prior.bases]
    errors = []
    for sigma in sigmas:
        tables = prior.coefficients((states + sigma * noise) / scale, grid)
        z = torch.cat([t.flatten(1) for t in tables], dim=1)
        lower = torch.linalg.cholesky(covariance + torch.diag(sigma**2 * variances))
        denoised = torch.cholesky_solve(z.T, lower).T @ covariance
        parts = zip(denoised.split([my * mx for my, mx in widths], dim=1), widths, strict=True)
        found = prior.synthesis([part.reshape(-1, *shape) for part, shape in parts], grid)
        off = (found - states / scale) / 0.5
        errors.append(off.square().mean(dim=(2, 3)).mean(dim=0).sqrt())
    by_field = torch.stack(errors, dim=1)
    return {
        f.name: [round(float(v), 6) for v in row]
        for f, row in zip(prior.fields, by_field, strict=True)
    }


def _covariance(problem: Problem, prior: GaussianPrior, grid: Grid) -> torch.Tensor:
    """Return the exact covariance of a linear PDE's scaled coefficients in the prior's bases."""
    latent, channels, rows = problem.latent, len(prior.fields), []
    for part in torch.eye(latent.size, dtype=torch.float64).split(1024):
        states = problem.state(part.unflatten(1, latent.shape), grid)[:, :channels]
        tables = prior.coefficients(states / prior.scale[:, None, None], grid)
        rows.append(torch.cat([t.flatten(1) for t in tables], dim=1))
    root = torch.cat(rows)
    return root.T @ root


def consistency(
    problem: Problem, prior: DiffusionPrior, fine: Grid, sigma: float = 0.25, n: int = 16
) -> dict[str, list[float]]:
    """Return relative L2 distances between what two grids make of one noise draw, by channel.

    They are taken on the nodes of the coarser grid. `denoised` is that of one function that both
    grids resolve, noised and denoised. `sampled` is the same for the problem's own state, which
    each grid samples for itself (a jump falls between other nodes), and `states` that of these
    states before noising.

    Arguments:
        problem: of the prior.
        prior: with the coarser grid.
        fine: the finer grid.
        sigma: noise level.
        n: number of functions.
    """
    g, coarse = prior.gaussian, prior.gaussian.grid
    xi = g.white(n, fine, seeds.generator(seeds.TUNING, SEED + 1))
    states = {
        grid: draw_states(problem, g, n, grid, seeds.generator(seeds.TUNING, SEED))
        for grid in (coarse, fine)
    }
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


def milliseconds(prior: DiffusionPrior, x: torch.Tensor, repeats: int = 5) -> float:
    """Return the time that denoising takes for each of the states x."""
    with torch.no_grad():
        prior.denoise(x, 0.1)
        start = time.perf_counter()
        for _ in range(repeats):
            prior.denoise(x, 0.1)
    return round((time.perf_counter() - start) / (repeats * len(x)) * 1e3, 2)
