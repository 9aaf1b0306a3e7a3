"""Memory: each solver's estimate against what it takes, and what is refused before it is taken."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
import torch
from helpers import quick_solver, suited

import pdeinv.memory as memory
from pdeinv import (
    GaussianField,
    Grid,
    InputError,
    Observation,
    TwoPhase,
    design,
    layouts,
    prepare,
    reconstruct,
)
from pdeinv.datasets import Darcy, pde_by_name
from pdeinv.solvers import SOLVERS, LevelSet
from pdeinv.solvers.linear_algebra import explained_variance, gram_matrix
from pdeinv.solvers.simulated_values import FITTED

PROBE = Path(__file__).parent / "peak_memory.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@cache
def peaks():
    """{solver: (bytes measured, bytes estimated)}."""
    found = subprocess.run(
        [sys.executable, PROBE, *SOLVERS],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    return {name: (measured, estimated) for name, measured, estimated in lines}


@linux
@pytest.mark.parametrize("name", SOLVERS)
def test_the_estimate_is_within_half_of_what_is_taken(name):
    measured, estimated = peaks()[name]
    assert measured / 1.5 < estimated < 1.5 * measured


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_refuses_what_does_not_fit_before_it_starts(name, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1e6)

    def fail(*_):
        raise AssertionError("started")

    monkeypatch.setattr(SOLVERS[name], "condition", fail)
    solver = quick_solver(name)
    pde, prior = suited(solver)
    zeros = torch.zeros(3, dtype=torch.float64)
    points = torch.as_tensor(layouts.random(3, 0))
    sensors = Observation(pde.grid(16), points, torch.tensor([0, 1, 1]), zeros, zeros, (3, 3))
    with pytest.raises(InputError, match=r"memory .* must be at most 0.0008 GB.* got .* GB; "):
        solver(pde, prior, sensors)


@pytest.mark.parametrize(
    ("solver", "pde"),
    [
        ("gaussian", "poisson"),
        ("gauss-newton", "navier-stokes"),
        ("kriging", "poisson"),
        ("optimal-interpolation", "poisson"),
        ("moment", "navier-stokes"),
        ("moment", "darcy"),
        ("level-set", "darcy"),
    ],
)
def test_300000_rows_are_refused_with_the_memory_that_they_need(solver, pde, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10e9)
    names = [field.name for field in pde_by_name(pde).fields]
    x, y = layouts.random(300_000, 0).T
    table = pd.DataFrame({"x": x, "y": y, "value": 3.0, "noise_std": 0.1})
    table["field"] = [names[0], names[1]] * 150_000
    with pytest.raises(InputError, match=r"300000 sensors .* average neighbouring readings"):
        reconstruct(table, pde, solver=solver, grid=64)


@pytest.mark.parametrize(
    "call",
    [
        lambda table: design(table, "poisson", field="potential", grid=64),
        lambda table: prepare(table, "poisson", grid=64),
    ],
    ids=["design", "prepare"],
)
def test_plans_and_designs_are_refused_with_the_memory_that_they_need(call, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 10e9)
    x, y = layouts.random(60_000, 0).T
    table = {"field": "potential", "x": x, "y": y, "value": 3.0, "noise_std": 0.1}
    with pytest.raises(InputError, match=r"60000 sensors .* got .* GB; "):
        call(table)


@pytest.mark.parametrize("settings", [{"n_samples": 10**8}, {"n_samples": 10**6, "grid": 4096}])
def test_a_result_that_does_not_fit_is_refused_before_the_sensors_are_placed(settings):
    reading = {"field": "potential", "x": 0.5, "y": 0.5, "value": 0.1, "noise_std": 0.0}
    table = pd.DataFrame([reading])
    with pytest.raises(InputError, match=r"memory .* must be at most .* use fewer samples"):
        reconstruct(table, "poisson", **settings)


def test_the_limit_is_the_lower_of_the_systems_and_the_control_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:  4000000 kB\n")
    assert memory.available_memory() == 4_096_000_000
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 400\n")
    assert memory.available_memory() == 4_096_000_000
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.available_memory() == 4400
    (tmp_path / "meminfo").unlink()
    (tmp_path / "memory.max").unlink()
    assert memory.available_memory() > 1e9


def test_readings_in_blocks_are_those_of_one_block(monkeypatch):
    grid, m = Grid(16), 50
    generator = torch.Generator().manual_seed(0)
    points = torch.as_tensor(layouts.random(m, 0))
    zeros = torch.zeros(m, dtype=torch.float64)
    H = Observation(grid, points, torch.arange(m) % 2, zeros, zeros)
    states = torch.randn(9, 2, 16, 16, dtype=torch.float64, generator=generator)
    weights = torch.randn(9, m, dtype=torch.float64, generator=generator)
    whole = H(states), H.adjoint(weights)
    monkeypatch.setattr("pdeinv.weighted_nodes._GATHERED", 4 * 16 * m)
    leaf = states.clone().requires_grad_()
    assert torch.equal(H(leaf), whole[0]) and torch.equal(H.adjoint(weights), whole[1])
    (gradient,) = torch.autograd.grad(H(leaf), leaf, weights)
    assert torch.allclose(gradient, whole[1])


def test_the_explained_variance_is_that_of_the_dense_formula():
    generator = torch.Generator().manual_seed(0)
    root = torch.randn(7, 7, dtype=torch.float64, generator=generator)
    gram = root @ root.T
    cross = torch.randn(7, 1300, dtype=torch.float64, generator=generator)
    expected = (cross * torch.linalg.solve(gram, cross)).sum(dim=0)
    found = explained_variance(torch.linalg.cholesky(gram), cross)
    assert torch.allclose(found, expected)


def test_the_estimate_counts_the_fields_that_are_fitted_to_find_unknown_values():
    grid, m = Grid(64), 125
    zeros = torch.zeros(m, dtype=torch.float64)
    points = torch.as_tensor(layouts.random(m, 0))
    sensors = Observation(grid, points, torch.ones(m, dtype=torch.long), zeros, zeros, (3, 3))
    field = GaussianField(0.0, 1.0, length=0.3)
    known, unknown = (
        LevelSet().memory(Darcy(), prior, sensors, 16)
        for prior in (TwoPhase(field, 2.0, 20.0), TwoPhase(field, (0.5, 8.0), (5.0, 80.0)))
    )
    more = FITTED - LevelSet().ensemble
    assert unknown - known > 8 * more * m * 32**2  # derivatives of readings on the coarse grid


def test_the_gram_matrix_is_the_product():
    rows = torch.randn(300, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(gram_matrix(rows), rows @ rows.T)
