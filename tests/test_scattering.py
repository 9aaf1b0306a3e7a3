"""Waves through an unknown medium: solutions, shared factorisations, and a medium that is found."""

from itertools import pairwise

import numpy as np
import pytest
import scipy
import torch
from helpers import distance, normal
from test_acoustics import waves

from pdeinv import InputError, LogNormal, Problem
from pdeinv.datasets import (
    Acoustics,
    Experiments,
    Flux,
    Impedance,
    NoFlux,
    Open,
    Scattering,
    Sides,
    Value,
    Well,
)
from pdeinv.datasets.waves import solver
from pdeinv.observation import Observation
from pdeinv.solvers.low_wavenumbers import start_at_low_wavenumbers
from pdeinv.solvers.mode import ModeSearch
from pdeinv.solvers.whitened_problem import WhitenedProblem

WELL = Well(0.3, 0.4, 1.0)


def medium(grid, contrast, radius, centre=(0.5, 0.5), width=0.05):
    """Return 1 with a smooth inclusion, (1, 1, ny, nx)."""
    r = np.hypot(*(grid.points().numpy() - centre).T).reshape(1, 1, *grid.shape)
    return torch.from_numpy(1 + contrast / (1 + np.exp((r - radius) / width)))


def test_a_homogeneous_medium_is_another_wavenumber():
    sides = Sides(Value(0.0), NoFlux(), Value(0.0), NoFlux())
    pde = Scattering(8.0, source=0.0, wells=(WELL,), boundary=sides, damping=0.2)
    same = Acoustics(8.0 * 1.3, wells=(WELL,), boundary=sides, damping=0.2)
    grid = pde.grid(17)
    u = waves(pde, grid, torch.full((1, 1, *grid.shape), 1.69, dtype=torch.float64))
    exact = waves(same, grid)
    assert np.abs(u - exact).max() < 1e-10 * np.abs(exact).max()


@pytest.mark.parametrize("side", [Open(), Impedance(0.5), NoFlux(), Value(0.0)])
def test_a_smooth_medium_is_solved_to_fourth_order(side):
    """The medium is flat at the sides, and a smooth source emits."""
    found = []
    for n in (17, 33, 65):
        x = np.linspace(-0.5, 0.5, n)
        source = np.exp(-60 * ((x - 0.1) ** 2 + (x[:, None] + 0.05) ** 2))
        pde = Scattering(9.0, source=source, boundary=Sides(side, side, side, side), damping=0.1)
        grid = pde.grid(n)
        found.append(
            waves(pde, grid, medium(grid, 0.5, 0.15, width=0.03))[
                :: (n - 1) // 16, :: (n - 1) // 16
            ]
        )
    first, second = (np.abs(a - b).max() for a, b in pairwise(found))
    assert second < 2e-3 * np.abs(found[-1]).max() and np.log2(first / second) > 3.6


def test_sources_of_one_frequency_share_a_factorisation(monkeypatch):
    """And so do their adjoints, many at once."""
    made = []
    splu = scipy.sparse.linalg.splu
    monkeypatch.setattr(
        scipy.sparse.linalg, "splu", lambda *args, **more: made.append(1) or splu(*args, **more)
    )
    places = (0.2, 0.5, 0.8)
    physics = [
        Scattering(k, source=0.0, wells=(Well(0.1, y, 1.0),)) for k in (5.0, 7.0) for y in places
    ]
    both = Experiments(tuple(physics))
    a = (0.1 * normal(1, 1, 14, 14)).exp()
    u, pull_back = torch.func.vjp(both.solve, a)
    rows = torch.vmap(pull_back)(normal(4, *u.shape, seed=1))[0]
    assert rows.shape == (4, *a.shape) and len(made) == 2


def scanned(wavenumbers, contrast, nodes, sources, receivers):
    """Return a scan of an inclusion, the problem with its readings, and the true m - 1.

    Sources and receivers stand around it.
    """
    angles = 2 * np.pi * np.arange(sources) / sources
    wells = [Well(0.5 + 0.42 * np.cos(t), 0.5 + 0.42 * np.sin(t), 1.0) for t in angles]
    pde = Experiments(
        tuple(
            Scattering(k, source=0.0, wells=(well,)).reading(["wavefield_imag"])
            for k in wavenumbers
            for well in wells
        )
    )
    fine, grid = pde.grid(2 * nodes - 1), pde.grid(nodes)
    angles = 2 * np.pi * (np.arange(receivers) + 0.5) / receivers
    places = torch.from_numpy(0.5 + 0.46 * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    channels = len(pde.fields) - 1
    channel = torch.arange(1, channels + 1).repeat_interleave(receivers)
    zero = torch.zeros(len(channel), dtype=torch.float64)
    order = (3,) * (channels + 1)
    exact = medium(fine, contrast, 0.2)
    blank = Observation(fine, places.repeat(channels, 1), channel, zero, zero, order)
    values = blank(torch.cat([exact, pde.respond(exact)], dim=1))[0]
    std = torch.full_like(zero, 0.01 * float(values.std()))
    values = values + std * normal(len(values))
    observation = Observation(grid, blank.points, channel, values, std, order)
    problem = WhitenedProblem(Problem(pde, LogNormal(1.0, 0.3, 0.2)), observation)
    return problem, medium(grid, contrast, 0.2) - 1


def error_at(problem, xi, truth):
    return distance(problem.coefficient(xi) - 1, truth)


def test_the_adjoint_field_of_a_receiver_is_solved_once_for_all_sources(monkeypatch):
    """The rows are those of adjoints that pass through all experiments, and of differences."""
    problem, _ = scanned((4.0, 7.0), 0.8, 16, 3, 5)
    solved = []

    class Counted:
        def __init__(self, made):
            self.made, self.nnz = made, made.nnz

        def solve(self, right, *kind):
            if "H" in kind:
                solved.append(right.shape[1])
            return self.made.solve(right, *kind)

    splu = scipy.sparse.linalg.splu
    monkeypatch.setattr(
        scipy.sparse.linalg, "splu", lambda *args, **more: Counted(splu(*args, **more))
    )
    xi = 0.5 * normal(*problem.zero.shape, seed=3)
    before = problem.forward.solver_calls
    rows = problem.jacobian(xi)
    assert sum(solved) == 2 * 2 * 5  # frequencies, parts and receivers
    assert problem.forward.solver_calls - before == 2 * 3 + len(rows)  # states and adjoints
    chosen = torch.arange(0, len(rows), 11)
    unit = torch.eye(len(rows), dtype=torch.float64)[chosen]
    whole = problem.forward.whitened_adjoint_at(problem.tables(xi))(unit).flatten(1)
    assert distance(rows[chosen], whole) < 1e-12
    d, step = normal(*xi.shape, seed=4), 1e-5
    ahead, behind = problem.values(torch.cat([xi + step * d, xi - step * d]))
    assert distance(rows @ d[0], (ahead - behind) / (2 * step)) < 1e-7


def test_many_media_are_factorised_once_for_all_sources(monkeypatch):
    made = []
    splu = scipy.sparse.linalg.splu
    monkeypatch.setattr(
        scipy.sparse.linalg, "splu", lambda *args, **more: made.append(1) or splu(*args, **more)
    )
    monkeypatch.setattr(solver._kept.kept, "most", Scattering.at_once)
    pde = Experiments(
        tuple(Scattering(6.0, source=0.0, wells=(Well(0.1, y, 1.0),)) for y in (0.3, 0.6))
    )
    a = (0.1 * normal(2 * Scattering.at_once + 3, 1, 12, 12, seed=5)).exp()
    u = pde.respond(a)
    assert len(made) == len(a)
    apart = torch.cat([one.respond(a) for one in pde.physics], dim=1)
    assert torch.equal(u, apart)


def test_a_strong_inclusion_is_found_where_the_linear_result_fails():
    """Six sources and twelve receivers around it, at one frequency."""
    problem, truth = scanned((7.0,), 0.8, 24, 6, 12)
    mode = ModeSearch(problem, 10, 3, 0.1, False)(1e-13)
    o, rows = problem.observation, problem.jacobian(problem.zero)
    residual = o.values - problem.forward(problem.coefficient(problem.zero))[0]
    weights = torch.linalg.solve(rows @ rows.T + torch.diag(o.noise_std**2), residual)
    linear = error_at(problem, (weights @ rows)[None], truth)
    found = error_at(problem, mode.xi, truth)
    assert mode.converged and found < 0.25 and found < 0.5 * linear


def test_low_frequencies_lead_the_search_to_the_same_mode_in_fewer_steps():
    problem, truth = scanned((4.0, 16.0), 1.5, 20, 4, 8)
    alone, led = (ModeSearch(problem, 10, 3, 0.1, False) for _ in range(2))
    start_at_low_wavenumbers(led, 1e-13)
    assert 0.05 < error_at(problem, led.start, truth) < 0.5
    modes = [search(1e-13) for search in (alone, led)]
    assert modes[1].converged and modes[1].iterations == led.steps < alone.steps
    assert modes[1].objective <= modes[0].objective * (1 + 1e-6)
    assert error_at(problem, modes[1].xi, truth) < 0.2


def test_one_frequency_starts_at_the_mean():
    problem, _ = scanned((5.0,), 0.5, 16, 2, 3)
    search = ModeSearch(problem, 10, 3, 0.1, False)
    start_at_low_wavenumbers(search, 1e-13)
    assert search.start is problem.zero and search.steps == 0


FILE = """
format = 1

[physics]
pde = "scattering"
source = 0

[prior]
kind = "log-normal"
median = 1
log_std = 0.1
length = 0.1

[[experiment]]
name = "left, low"
k = 4

[[experiment.well]]
x = 0.1
y = 0.5
rate = 1

[[experiment]]
name = "top, high"
k = 8

[[experiment.well]]
x = 0.5
y = 0.9
rate = 1
"""


def test_a_file_states_its_sources_and_frequencies_as_experiments(tmp_path):
    path = tmp_path / "scan.toml"
    path.write_text(FILE)
    problem = Problem.load(path)
    low, high = problem.physics.experiments.values()
    assert (low.k, high.k, low.wells[0].x, high.wells[0].y) == (4, 8, 0.1, 0.9)
    assert low.equation == "Δu + k²mu = -1 well, open on the boundary"
    problem.save(tmp_path / "again.toml")
    assert Problem.load(tmp_path / "again.toml") == problem


def test_refusals():
    with pytest.raises(InputError, match="source of scattering must not be 0 where no well emits"):
        Scattering(source=0.0)
    with pytest.raises(InputError, match="boundary of scattering must have values and fluxes of 0"):
        Scattering(boundary=Sides(Flux(1.0), Open(), Open(), Open()))
    with pytest.raises(InputError, match=r"squared_slowness must be positive .* got -1"):
        Scattering().solve(torch.full((1, 1, 8, 8), -1.0))
