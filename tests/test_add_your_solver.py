"""docs/add-your-solver.md is true: its solver comes near exact posteriors, and is scored."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from helpers import distance, observe, seeded, tuning_task
from readme_blocks import blocks

from pdeinv import GaussianField, InputError, LogNormal, layouts, reconstruct
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.runner import run
from pdeinv.datasets import Darcy, Poisson, Problem
from pdeinv.solvers import SOLVERS, GaussianSolver

CODE, SCORE = blocks("python", "docs/add-your-solver.md")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's blocks leave behind, and where; the registry is put back."""
    before, folder = dict(SOLVERS), tmp_path_factory.mktemp("page")
    with patch.dict(SOLVERS), pytest.MonkeyPatch.context() as moved:
        moved.chdir(folder)
        scope = {}
        for block in (CODE, SCORE):
            exec(block, scope)
        yield scope | {"folder": folder}
    assert before == SOLVERS and "randomised-likelihood" not in SOLVERS


@pytest.mark.parametrize("noise", [0.1, 0.02])
def test_it_comes_near_the_exact_posterior(page, noise):
    problem = Problem.named("poisson", modes=16)
    task = tuning_task("poisson", "inverse", grid=16, sensors=30, noise=noise)
    apart = []
    for i in range(2):
        observation = task.instance(i)[1]
        found, exact = (
            solver(problem.physics, problem.prior, observation, n_samples=100, generator=seeded(i))
            for solver in (page["RandomisedLikelihood"](iterations=100), GaussianSolver())
        )
        apart.append(((found.mean[0] - exact.mean[0]) / exact.std[0]).square().mean())
        assert float((found.std[0] / exact.std[0]).mean()) == pytest.approx(1, abs=0.05)
        assert 0.05 < found.record["reduced_chi_squared"] < 1.5
    # The mean of a hundred independent samples has a hundredth of their variance
    assert float(sum(apart)) / 2 < 0.03


def test_it_follows_a_nonlinear_physics(page):
    problem = Problem(Darcy(), LogNormal(1.0, 1.0, length=0.4))
    points = torch.as_tensor(layouts.random(30, seed=1))
    truth, observation = observe(problem, problem.physics.grid(12), points, [0, 1] * 15, noise=0.05)
    solver = page["RandomisedLikelihood"](iterations=30)
    found = solver(*(problem.physics, problem.prior, observation), generator=seeded(1))
    blind = problem.sample(200, observation.grid, seeded(2)).mean(dim=0)
    assert distance(found.mean[0], truth[0, 0]) < 0.6 * distance(blind[0], truth[0, 0])
    assert float(found.samples[:, 0].min()) > 0 and found.record["reduced_chi_squared"] < 2


def test_the_seed_alone_decides_and_samples_are_as_many_as_asked(page):
    observation = tuning_task("poisson", "inverse", grid=16, sensors=20, noise=0.1).instance(0)[1]
    solver = page["RandomisedLikelihood"](iterations=5)
    first, again, other = (
        solver(Poisson(), None, observation, n_samples=3, generator=seeded(s)) for s in (1, 1, 2)
    )
    assert len(first.samples) == 3 and torch.equal(first.samples, again.samples)
    assert not torch.allclose(first.mean, other.mean)
    assert first.record["solver_settings"] == '{"iterations": 5}'


def test_an_instance_goes_through_the_door(page):
    table = {"field": ["potential"] * 3, "x": [0.2, 0.5, 0.7], "y": [0.3, 0.6, 0.2]}
    table |= {"value": [1e-3, -1e-3, 2e-3], "noise_std": [1e-4] * 3}
    solver = page["RandomisedLikelihood"](iterations=30)
    result = reconstruct(table, "poisson", grid=16, solver=solver)
    assert result.attrs["solver"] == "randomised-likelihood"
    assert result["source_samples"].shape == (16, 16, 16)
    assert np.isfinite(result["potential_mean"]).all()


def test_what_it_is_not_made_for_is_refused(page):
    solver, flat = page["RandomisedLikelihood"](), GaussianField(0.0, 1.0, 0.2, mean_std=np.inf)
    for pde, prior in ((Darcy(), None), (Poisson(), flat)):
        problem = Problem.of(pde, prior)
        with pytest.raises(InputError, match="neither two phases nor a flat mean will do"):
            solver.check(problem.physics, problem.prior)

    class BlackBox(Poisson):
        name, differentiable = "black-box", False

    with pytest.raises(InputError, match="needs derivatives of the solution of black-box"):
        solver.check(BlackBox(), GaussianField(0.0, 1.0, 0.2))


def test_the_benchmark_scores_it_by_name(page, tmp_path):
    scored, exact = read_records(page["folder"] / "mine.jsonl")
    for (record,), read in zip(page["records"], (scored, exact), strict=True):
        assert {key: read[key] for key in record} == record
    assert scored["method"] == "randomised-likelihood" and exact["method"] == "gaussian"
    assert 0.9 < scored["error"] / exact["error"] < 1.1
    task = tuning_task("poisson", "both", grid=16, sensors=20, noise=0.1)
    given = {"settings": {"iterations": 20}}
    records = run(task, "randomised-likelihood", 2, tmp_path / "b.jsonl", **given)
    assert [r["field"] for r in records] == ["source", "potential"]
    for r in records:
        assert r["instances"] == 2 and r["settings"] == '{"iterations": 20}'
        assert 0 < r["error"] < 1 and 0 < r["coverage90"] <= 1
    # Nothing is run twice
    assert run(task, "randomised-likelihood", 2, tmp_path / "b.jsonl", **given) == records
