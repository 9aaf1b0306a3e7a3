"""Two inclusions from waves of three frequencies, by Gauss–Newton and by the Born approximation:
`pdeinv study two-inclusions`.

Truths are solved on a grid twice as fine. They are no draws of the prior: an inclusion is a disc
whose edge is smooth over three cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import ClassVar

import numpy as np
import pandas as pd
import torch

from pdeinv.benchmarks.problem_kinds import TWO_INCLUSIONS
from pdeinv.benchmarks.records import Record
from pdeinv.benchmarks.reports.columns import coverage_head, render_table
from pdeinv.benchmarks.reports.queries import Values, difference, mean
from pdeinv.benchmarks.resuming import Unit, append_missing
from pdeinv.benchmarks.studies.example_scores import measure, scores_file
from pdeinv.coefficients import CoefficientPrior, LogNormal
from pdeinv.datasets import PDE, Distributed, Experiments, Problem, Scattering, Well
from pdeinv.grid import Grid
from pdeinv.observation import Observation
from pdeinv.posterior import Posterior
from pdeinv.priors.base import Prior
from pdeinv.problems.examples import Truth
from pdeinv.sensors import Sensors
from pdeinv.solvers.base import Solver
from pdeinv.solvers.gauss_newton import GaussNewton
from pdeinv.solvers.linear_algebra import cholesky_with_nugget
from pdeinv.solvers.nodewise import moments_through
from pdeinv.solvers.whitened_problem import WhitenedProblem

__all__ = ["FIELD", "METHODS", "Born", "run", "scattering_truth", "two_inclusions_table"]

NODES = 48
WAVENUMBERS = (8.0, 16.0, 24.0)
SOURCES, RECEIVERS = 16, 32
PRIOR = LogNormal(median=1.0, log_std=0.1, length=0.1, smoothness=2.5)
FIELD = "squared_slowness"
_AT, _FROM = 0.46, 0.42  # radii of the rings of receivers and of sources, about the centre
_WITHIN, _APART = 0.32, 0.04  # of the centre are the inclusions, and between them
_RADII, _EDGE, _CONTRAST = (0.08, 0.14), 0.015, 0.2
_NOISE = 0.02  # of the deviation of the readings of a frequency
_SEED = 20_000
_LEVEL = 90  # per cent, as of `measure`


@dataclass(frozen=True)
class Born(Solver):
    """The linear result of weak scattering: one Gauss–Newton step from the prior's median, and the
    posterior of the readings linearised there."""

    name: ClassVar[str] = "born"

    def differentiates(self, pde: PDE, prior: Prior) -> bool:
        return True

    def condition(
        self,
        pde: PDE,
        prior: Prior,
        observation: Observation,
        n_samples: int,
        generator: torch.Generator | None,
        progress: bool,
    ) -> Posterior:
        assert isinstance(prior, CoefficientPrior)
        problem = WhitenedProblem(Problem(pde, prior), observation)
        latent, grid = problem.latent, observation.grid
        rows = problem.jacobian(problem.zero)
        lower = cholesky_with_nugget(rows @ rows.T, observation.noise_std**2)
        data = observation.values - problem.values(problem.zero)

        def conditioned(eta: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
            weights = torch.cholesky_solve((data + noise - eta @ rows.T).T, lower)
            return eta + weights.T @ rows

        mode = conditioned(problem.zero, torch.zeros_like(data))
        noise = observation.noise_std * torch.randn(
            n_samples, len(observation), dtype=torch.float64, generator=generator
        )
        samples = problem.states(conditioned(problem.white(n_samples, generator), noise))
        half = torch.linalg.solve_triangular(lower, rows, upper=False)
        middle, std = moments_through(
            problem.problem.coefficient,
            latent.square_root(problem.tables(mode), grid)[0, 0],
            latent.changed_variance(grid, problem.tables(half)),
        )
        residual = (data - mode @ rows.T) / observation.noise_std
        objective = float(mode.square().sum() + residual.square().sum())
        return Posterior(
            pde.fields,
            grid,
            mean=torch.cat([middle, samples[:, 1:].mean(dim=0)]),
            std=torch.cat([std, samples[:, 1:].std(dim=0)]),
            samples=samples,
            record={
                "reduced_chi_squared": objective / len(observation),
                "degrees_of_freedom": float(len(observation)),
                "solver_calls": problem.forward.solver_calls,
            },
        )


METHODS: dict[str, Solver] = {"gauss-newton": GaussNewton(), "born": Born()}


def scattering_truth(number: int) -> Truth:
    """Return the medium of a number on the finer grid, and its readings."""
    generator = np.random.default_rng([_SEED, number])
    names = [f"k = {k:g}, source {i + 1}" for k in WAVENUMBERS for i in range(SOURCES)]
    none = Distributed(0.0)
    physics = Experiments(
        tuple(
            Scattering(k, source=none, wells=(Well(x, y, 1.0),)).reading(["wavefield_imag"])
            for k in WAVENUMBERS
            for x, y in _ring(_FROM, SOURCES, 0.0)
        ),
        tuple(names),
    )
    grid, fine = physics.grid(NODES), physics.grid(2 * NODES - 1)
    medium = _medium(fine, generator)[None, None]
    state = torch.cat([medium, physics.respond(medium)], dim=1)
    places = _ring(_AT, RECEIVERS, 0.5)
    exact = _read(physics, fine, state, places)  # (experiments, receivers)
    by_frequency = exact.reshape(len(WAVENUMBERS), -1)
    spread = np.sqrt((by_frequency.real.var(axis=1) + by_frequency.imag.var(axis=1)) / 2)
    std = np.repeat(_NOISE * spread, by_frequency.shape[1])
    noise = generator.standard_normal((2, len(std)))
    table = pd.DataFrame(
        {
            "field": "wavefield",
            "experiment": np.repeat(names, RECEIVERS),
            "x": np.tile(places[:, 0], len(names)),
            "y": np.tile(places[:, 1], len(names)),
            "value": exact.ravel() + std * (noise[0] + 1j * noise[1]),
            "noise_std": std,
        }
    )
    return Truth(Problem(physics, PRIOR, grid), fine, state, Sensors(table), physics)


def _ring(radius: float, count: int, first: float) -> np.ndarray:
    """Return places on a circle about the centre of the unit square, (count, 2)."""
    angles = 2 * np.pi * (np.arange(count) + first) / count
    return 0.5 + radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _medium(grid: Grid, generator: np.random.Generator) -> torch.Tensor:
    """Return 1 with two inclusions that do not touch, (ny, nx)."""
    while True:
        radii = generator.uniform(*_RADII, 2)
        centres = generator.uniform(0, 1, (2, 2))
        room = _WITHIN - radii - np.linalg.norm(centres - 0.5, axis=1)
        gaps = [np.linalg.norm(a - b) - radii.sum() for a, b in combinations(centres, 2)]
        if min(room) > 0 and min(gaps) > _APART:
            break
    points, medium = grid.points().numpy(), np.ones(grid.nodes)
    for centre, radius in zip(centres, radii, strict=True):
        outside = (np.linalg.norm(points - centre, axis=1) - radius) / _EDGE
        medium += generator.choice([-1, 1]) * _CONTRAST / (1 + np.exp(outside))
    return torch.from_numpy(medium).reshape(grid.shape)


def _read(physics: PDE, grid: Grid, state: torch.Tensor, places: np.ndarray) -> np.ndarray:
    """Return the complex field of each experiment at places, (experiments, places)."""
    points = torch.from_numpy(places)
    order = tuple(f.interpolation_order for f in physics.fields)
    channels = len(order) - 1
    channel = torch.arange(1, channels + 1).repeat_interleave(len(points))
    blank = torch.zeros(len(channel), dtype=torch.float64)
    observation = Observation(grid, points.repeat(channels, 1), channel, blank, blank, order)
    real, imaginary = observation(state)[0].reshape(-1, 2, len(points)).unbind(dim=1)
    return torch.complex(real, imaginary).numpy()


def run(
    out: Path,
    *,
    instances: int = 8,
    command: str = "",
    echo: Callable[[str], object] = print,
) -> list[Record]:
    """Measure both methods on media; a repeated run keeps what the file has and goes on.

    Arguments:
        out: JSON-lines file of the records.
        instances: number of media.
        command: command to type for the same records.
        echo: prints one line.

    Returns:
        All records of the file.
    """

    def units() -> Iterator[Unit]:
        for i in range(instances):
            truth = cache(partial(scattering_truth, i))
            for name in METHODS:
                yield Unit({"method": name, "instance": i}, partial(_scores, truth, name, i))

    log = scores_file(out, TWO_INCLUSIONS)
    return append_missing(log, units(), _line, command=command, echo=echo)


def _scores(truth: Callable[[], Truth], method: str, number: int) -> list[Record]:
    contrast = truth().state[0, 0, ::2, ::2] - 1
    size = float(contrast.square().mean().sqrt())
    found = measure(truth(), METHODS[method], number, (FIELD,))
    return [one | {"contrast_error": round(one["error"] / size, 5)} for one in found]


def _line(record: Record) -> str:
    shown = ("method", "instance", "contrast_error", "coverage90", "converged", "seconds")
    return ", ".join(f"{name} {record[name]}" for name in shown)


def two_inclusions_table(records: list[Record]) -> str:
    """Return the scores of each method, and those of Gauss–Newton less those of each on the same
    media, with standard errors over the media.

    Arguments:
        records: as `pdeinv study two-inclusions` writes them.
    """
    ours, *_ = METHODS
    rows = []
    for method in METHODS:
        mine = {r["instance"]: r for r in records if r["method"] == method}
        if not mine:
            continue
        apart = [
            _difference(records, (ours, method), name, form)
            for name, form in (("contrast_error", "+.1f"), ("coverage90", "+.1f"))
        ]
        rows.append(
            [
                method,
                _mean({i: 100 * r["contrast_error"] for i, r in mine.items()}),
                _mean({i: 100 * r["coverage90"] for i, r in mine.items()}),
                f"{fmean(r['reduced_chi_squared'] for r in mine.values()):.2f}",
                f"{fmean(r['solver_calls'] for r in mine.values()):.0f}",
                f"{fmean(r['seconds'] for r in mine.values()):.0f}",
                *(apart if method != ours else ["", ""]),
                str(len(mine)),
            ]
        )
    numbers = [
        *("error of m - 1, %", coverage_head(_LEVEL), "reduced chi-squared", "solves"),
        "seconds",
        *(f"{ours} less this: {of}" for of in ("error, %", "coverage, %")),
        "media",
    ]
    return render_table(["method"], numbers, rows)


def _mean(values: Values) -> str:
    # One medium has no standard error
    return f"{mean(values) if len(values) > 1 else next(iter(values.values())):.1f}"


def _difference(records: list[Record], pair: tuple[str, str], name: str, form: str) -> str:
    """Return the paired difference of a score in per cent; empty for fewer than two media."""
    a, b = ({r["instance"]: 100 * r[name] for r in records if r["method"] == m} for m in pair)
    return "" if len(a.keys() & b.keys()) < 2 else f"{difference(a, b):{form}}"
