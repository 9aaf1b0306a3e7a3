"""What trained priors and neural operators are measured by: `pdeinv study priors`.

A prior is measured on the grid of the training and on one with twice as many nodes: by its
denoising error by noise level, next to that of its Gaussian part and, for a Gaussian state, of the
exact Wiener denoiser; by the power spectra, histograms and residual of samples against fresh data;
by statistics of two and three nodes and the distance to the training; and by how far one noise draw
denoised on both grids differs. A figure has samples and data. A neural operator is measured by its
error on fresh coefficients, a regressor by its errors on fresh states given sensors.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import singledispatch
from pathlib import Path

import torch
from matplotlib.figure import Figure

from pdeinv import layouts, seeds
from pdeinv.benchmarks.prior_kinds import PRIOR_ABLATIONS, PRIORS
from pdeinv.benchmarks.provenance import provenance
from pdeinv.benchmarks.records import Record, read_records, write_records
from pdeinv.benchmarks.studies.nearest_training import nearest_training
from pdeinv.benchmarks.studies.prior_cards import cards
from pdeinv.benchmarks.studies.prior_figure import plot_samples
from pdeinv.benchmarks.studies.prior_measures import (
    SEED,
    consistency,
    draw_states,
    exact_errors,
    milliseconds,
    power,
    spectrum_ratios,
    stable_solution,
    trained_on,
    training_of,
)
from pdeinv.benchmarks.studies.sample_statistics import compare_fields
from pdeinv.datasets import PDE, Problem
from pdeinv.errors import InputError
from pdeinv.files import atomic_write, check_writable, save_figure
from pdeinv.metrics import relative_l2
from pdeinv.observation import Observation
from pdeinv.priors import (
    DiffusionPrior,
    Model,
    NeuralOperator,
    SensorRegressor,
    TrainingData,
    load,
)
from pdeinv.priors.validation import LEVELS, denoising_errors
from pdeinv.solvers.forward import clamped

__all__ = ["operator_report", "regressor_report", "report", "run", "write_cards"]

_HELD_OUT, _SAMPLES, _STEPS, _NEAREST = 256, 256, 40, 48


def run(names: Iterable[str], out: Path, figures: Path, *, command: str = "") -> list[Record]:
    """Measure priors, neural operators and regressors, and draw the priors.

    A model whose record in the file is of the same training is left as it is, so that a repeated
    run goes on; another record of its name is replaced.

    Arguments:
        names: of shipped models, or files.
        out: JSON-lines file of the records.
        figures: folder for a PNG of each prior.
        command: command to type for the same records.

    Returns:
        The new records.

    Raises:
        InputError: a model is of another kind.
    """
    check_writable(out)
    models, found = {name: _loaded(name) for name in names}, []
    for name, model in models.items():
        measured = read_records(out, kinds=(PRIORS,)) if out.exists() else []
        known = {r["prior"]: r for r in measured}
        before = known.pop(_label(name), None)
        if before and before["training"] == _training(model):
            continue
        record, figure = _measured(model, name, command)
        if figure:
            save_figure(figure, figures / f"prior-{record['prior']}.png")
        write_records(out, [*known.values(), record])
        found.append(record)
    return found


def _loaded(name: str) -> Model:
    model = load(name)
    if _measured.dispatch(type(model)) is _measured.dispatch(object):
        _measured(model, name, "")  # refuses it, before minutes of other models
    return model


@singledispatch
def _measured(model: object, name: str, command: str) -> tuple[Record, Figure | None]:
    """Return the record of a model, and its figure if it has one.

    Raises:
        InputError: it is of another kind.
    """
    raise InputError(
        f"{name} must be a diffusion prior, a neural operator or a regressor, got a "
        f"{type(model).__name__}; choose another"
    )


@_measured.register
def _(model: DiffusionPrior, name: str, command: str) -> tuple[Record, Figure | None]:
    return report(name, model, command, progress=True)


@_measured.register
def _(model: NeuralOperator, name: str, command: str) -> tuple[Record, Figure | None]:
    return operator_report(name, model, command), None


@_measured.register
def _(model: SensorRegressor, name: str, command: str) -> tuple[Record, Figure | None]:
    return regressor_report(name, model, command), None


def write_cards(path: Path, priors: Path, ablation: Path) -> None:
    """Write the page of the cards.

    Arguments:
        path: Markdown file to write.
        priors: records of `run`.
        ablation: records of `prior_ablation.compared`, left out if the file is missing.
    """
    text = cards(
        read_records(priors, kinds=(PRIORS,)),
        read_records(ablation, kinds=(PRIOR_ABLATIONS,)) if ablation.exists() else [],
    )
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def report(
    name: str, prior: DiffusionPrior, command: str = "", progress: bool = False
) -> tuple[Record, Figure]:
    """Return the record of a prior and its figure.

    Arguments:
        name: of the shipped prior, or its file.
        prior: the prior itself.
        command: command to type for the same record.
        progress: show a bar.
    """
    g = prior.gaussian
    problem = trained_on(name, prior)
    pde = problem.physics
    channels, grid = len(g.fields), g.grid
    generator = seeds.generator(seeds.TUNING, SEED)
    states = draw_states(problem, g, _HELD_OUT, grid, generator)
    data = TrainingData(states.float(), g.fields, grid, pde, "fresh")
    record = {
        **_head(name, pde, prior, "loss"),
        "preconditioning": prior.preconditioning,
        "levels": list(LEVELS),
        "errors": denoising_errors(prior, data),
    }
    if prior.preconditioning == "gaussian":
        record["gaussian_errors"] = denoising_errors(g, data)
    if problem.linear:
        record["exact_errors"] = exact_errors(problem, g, data)
    one = states[:16] + 0.1 * g.sample_noise(16, grid, generator)
    record["milliseconds_per_field"] = milliseconds(prior, one)
    fine = grid.resized(2 * grid.ny, 2 * grid.nx)
    record["consistency"] = consistency(problem, prior, fine)
    drawn = {}
    for size in (grid, fine):
        samples = prior.sample(_SAMPLES, size, generator, steps=_STEPS, progress=progress)
        fresh = draw_states(problem, g, _SAMPLES, size, generator)
        drawn[size.ny] = (fresh, samples)
        if size == grid:
            record |= _against_data(prior, problem, fresh, samples)
        spectra = power(g, fresh), power(g, samples)
        record[f"spectrum_{size.ny}"] = spectrum_ratios(*spectra, g.fields)
        if channels == 2:
            a = clamped(samples[:, :1], problem.coefficient_prior.bounds)
            u = stable_solution(pde, a)
            off = (samples[:, 1:] - u).norm(dim=(2, 3)) / u.norm(dim=(2, 3))
            record[f"residual_{size.ny}"] = round(float(off.mean()), 5)
    title = f"{record['prior']}: {grid} nodes, {_STEPS} steps"
    return record | provenance(command), plot_samples(title, g, drawn)


def _against_data(
    prior: DiffusionPrior, problem: Problem, fresh: torch.Tensor, samples: torch.Tensor
) -> Record:
    """Return by which statistics samples differ from fresh data, and how far both are from the
    training, where its coefficients can be drawn again."""
    phases = problem.coefficient_prior.phases
    compared = compare_fields(prior.gaussian.fields, fresh, samples, phases)
    record: Record = {"statistics": {"samples": len(samples), "steps": _STEPS, "fields": compared}}
    nearest = nearest_training(prior, problem, samples[:_NEAREST], fresh[:_NEAREST])
    return record | ({"nearest": nearest} if nearest else {})


def operator_report(name: str, operator: NeuralOperator, command: str = "") -> Record:
    """Return the record of a neural operator: its error on fresh coefficients, on two grids.

    Arguments:
        name: of the shipped operator, or its file.
        operator: the operator itself, from the coefficient to the solution.
        command: command to type for the same record.

    Raises:
        InputError: it leads from the solution to the coefficient.
    """
    problem = trained_on(name, operator)
    pde = problem.physics
    if operator.fields[0].name != pde.fields[0].name:
        raise InputError(
            f"{name} must be an operator from {pde.fields[0].name} to {pde.fields[1].name}, got "
            f"one from {operator.fields[0].name}; choose another"
        )
    record = {**_head(name, pde, operator, "relative_l2"), "relative_l2": {}}
    n = operator.record["grid"]
    for size in (n, 2 * n):
        a = problem.sample_coefficient(
            _HELD_OUT, pde.grid(size), seeds.generator(seeds.TUNING, SEED)
        )
        u = pde.solve(a)
        with torch.no_grad():
            start = time.perf_counter()
            found = torch.cat([operator(part) for part in a.split(16)])
            seconds = time.perf_counter() - start
        record["relative_l2"][str(size)] = round(float(relative_l2(found, u).mean()), 5)
        record.setdefault("milliseconds_per_field", round(1e3 * seconds / len(a), 2))
    return record | provenance(command)


def regressor_report(name: str, regressor: SensorRegressor, command: str = "") -> Record:
    """Return the record of a regressor: its errors on fresh states, on two grids.

    3 % of the nodes have exact sensors, other ones for every 16 states. *Forward* has them on the
    coefficient and scores the solution, *inverse* the other way round.

    Arguments:
        name: of the shipped regressor, or its file.
        regressor: the regressor itself.
        command: command to type for the same record.
    """
    problem = trained_on(name, regressor)
    pde = problem.physics
    record = {**_head(name, pde, regressor, "forward", "inverse"), "sensor_errors": {}}
    for size in (n := regressor.record["grid"], 2 * n):
        grid, m = pde.grid(size), size**2 * 125 // 4096
        states = problem.sample(_HELD_OUT, grid, seeds.generator(seeds.TUNING, SEED))
        found: dict[str, float] = {"sensors": m}
        for kind, (given, sought) in {"forward": (0, 1), "inverse": (1, 0)}.items():
            errors, seconds = [], 0.0
            for i, part in enumerate(states.split(16)):
                points = torch.as_tensor(layouts.random_nodes(m, grid, seed=SEED + i))
                none = torch.zeros(m, dtype=torch.float64)
                observation = Observation(
                    grid, points, torch.full((m,), given, dtype=torch.long), none, none
                )
                start = time.perf_counter()
                answers = regressor.answers(observation, observation(part))
                seconds += time.perf_counter() - start
                errors.append(relative_l2(answers[:, sought], part[:, sought]))
            found[kind] = round(float(torch.cat(errors).mean()), 5)
        record["sensor_errors"][str(size)] = found
        record.setdefault("milliseconds_per_field", round(1e3 * seconds / _HELD_OUT, 2))
    return record | provenance(command)


def _label(name: str) -> str:
    return Path(name).name.removesuffix(".safetensors")


def _training(model: Model) -> Record:
    return {name: value for name, value in model.record.items() if name != "history"}


def _head(name: str, pde: PDE, model: Model, *curve: str) -> Record:
    """Return the beginning of a model's record, with its training's curve of these names."""
    history = training_of(name, model, "seconds", *curve)["history"]
    return {
        "prior": _label(name),
        "pde": pde.name,
        "seed": SEED,
        "fields": [f.name for f in model.fields],
        "training": _training(model),
        "curve": [tuple(row[k] for k in ("seconds", *curve)) for row in history],
    }
