"""The study of inverse scattering, on a small scan: media, the Born approximation, files."""

import numpy as np
import pytest
import torch
from helpers import distance
from typer.testing import CliRunner

import pdeinv
from pdeinv import cli
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.studies import two_inclusions as study
from pdeinv.solvers.whitened_problem import WhitenedProblem


@pytest.fixture
def small(monkeypatch):
    """A scan of 24 complex readings at two frequencies, which resolves the inclusions still."""
    monkeypatch.setattr(study, "NODES", 20)
    monkeypatch.setattr(study, "WAVENUMBERS", (3.0, 6.0))
    monkeypatch.setattr(study, "SOURCES", 3)
    monkeypatch.setattr(study, "RECEIVERS", 4)


def test_media_have_two_inclusions_apart_from_each_other_and_from_the_sources(small):
    for number in range(6):
        truth = study.scattering_truth(number)
        m = truth.state[0, 0].numpy()
        y, x = np.mgrid[0:1:39j, 0:1:39j]
        away = np.hypot(x - 0.5, y - 0.5) > 0.32 + 3 * 0.015
        assert np.abs(m[away] - 1).max() < 0.2 * np.exp(-3)
        assert 0.17 < np.abs(m - 1).max() < 0.21
        area = (np.abs(m - 1) > 0.1).mean()
        assert 1.8 * np.pi * 0.08**2 < area < 2.2 * np.pi * 0.14**2
    assert torch.equal(truth.state, study.scattering_truth(5).state)


def test_the_readings_have_the_stated_noise(small):
    truth = study.scattering_truth(0)
    table, physics = truth.sensors.table, truth.problem.physics
    assert len(table) == 2 * 24 and set(table.field) == {"wavefield_real", "wavefield_imag"}
    places = np.unique(table[["x", "y"]].to_numpy(), axis=0)
    exact = study._read(physics, truth.grid, truth.state, places)
    for i, name in enumerate(physics.names):
        mine = table[table.experiment == name]
        k = mine.experiment.str.startswith("k = 3")
        assert k.all() == (i < 3)
        for part, values in (("real", exact[i].real), ("imag", exact[i].imag)):
            rows = mine[mine.field == f"wavefield_{part}"].sort_values(["x", "y"])
            off = (rows.value.to_numpy() - values) / rows.noise_std.to_numpy()
            assert 0 < np.abs(off).max() < 4
    low, high = (slice(0, 3), slice(3, 6))
    for mine, block in (
        (table.experiment.str.startswith("k = 3"), exact[low]),
        (table.experiment.str.startswith("k = 6"), exact[high]),
    ):
        spread = np.sqrt(np.mean(np.abs(block - block.mean()) ** 2) / 2)
        assert np.allclose(table.noise_std[mine], 0.02 * spread)


def test_born_is_one_step_from_the_homogeneous_medium(small):
    truth = study.scattering_truth(1)
    given = {"problem": truth.problem, "n_samples": 4}
    born = pdeinv.reconstruct(truth.sensors, solver=study.Born(), **given)
    observation = truth.sensors.observation(truth.problem.physics, truth.problem.grid)
    problem = WhitenedProblem(truth.problem, observation)
    rows, xi = problem.jacobian(problem.zero), problem.zero
    precision = torch.eye(rows.shape[1], dtype=torch.float64)
    weighted = rows / observation.noise_std[:, None] ** 2
    covariance = torch.linalg.inv(precision + rows.T @ weighted)
    xi = covariance @ weighted.T @ (observation.values - problem.values(xi)[0])
    latent, grid = problem.latent, observation.grid
    middle = latent.square_root(problem.tables(xi[None]), grid)[0, 0]
    root = torch.linalg.cholesky(covariance).T
    std = latent.square_root(problem.tables(root), grid).square().sum(dim=(0, 1)).sqrt()
    exact = (middle + std**2 / 2).exp()
    found = torch.from_numpy(born["squared_slowness_mean"].values)
    assert distance(found - 1, exact - 1) < 1e-6
    wide = exact * (std**2).expm1().sqrt()
    assert distance(torch.from_numpy(born["squared_slowness_std"].values), wide) < 1e-6


def test_the_study_goes_on_with_its_file(small, tmp_path):
    out = tmp_path / "scattering.jsonl"
    command = ["study", "two-inclusions", "--out", str(out), "--instances"]
    first = CliRunner().invoke(cli.app, [*command, "1"])
    assert first.exit_code == 0, first.output
    before = out.read_bytes()
    whole = CliRunner().invoke(cli.app, [*command, "2"])
    assert whole.exit_code == 0 and out.read_bytes().startswith(before)
    records = read_records(out)
    assert [(r["instance"], r["method"]) for r in records] == [
        (i, method) for i in range(2) for method in ("gauss-newton", "born")
    ]
    by = {(r["instance"], r["method"]): r["contrast_error"] for r in records}
    apart = [100 * (by[i, "gauss-newton"] - by[i, "born"]) for i in range(2)]
    error = abs(apart[0] - apart[1]) / 2
    assert f"| {np.mean(apart):+.1f} ± {error:.1f} |" in whole.output
    contrast = study.scattering_truth(1).state[0, 0, ::2, ::2] - 1
    error = records[2]["error"] / float(contrast.square().mean().sqrt())
    assert records[2]["contrast_error"] == pytest.approx(error, abs=1e-4)
