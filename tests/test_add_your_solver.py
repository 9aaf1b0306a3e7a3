"""docs/add-your-solver.md keeps its word: its examples run, and its solvers do what solvers do."""

import contextlib
import dataclasses
import io
import re
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from helpers import seeded, tuning_task

from pdeinv import reconstruct
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.runner import run
from pdeinv.datasets import Darcy, Problem
from pdeinv.metrics import relative_l2
from pdeinv.solvers import DPS, SOLVERS, GaussianSolver

PAGE = Path(__file__).parent.parent / "docs" / "add-your-solver.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's examples leave behind, what they printed and where; the registry is
    put back afterwards."""
    before, folder, printed = dict(SOLVERS), tmp_path_factory.mktemp("page"), io.StringIO()
    with (
        patch.dict(SOLVERS),
        pytest.MonkeyPatch.context() as moved,
        contextlib.redirect_stdout(printed),
    ):
        moved.chdir(folder)
        scope = {}
        for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
            exec(block, scope)
        yield scope | {"printed": printed.getvalue(), "folder": folder}
    assert before == SOLVERS and "ensemble-smoother" not in SOLVERS


def mean_errors(solver, task, instances=3, n_samples=4):
    """Relative errors of the solver's mean and of the prior's, averaged over instances."""
    pde, c = task.physics, task.scored[0]
    guess = Problem(pde).sample(200, pde.grid(task.grid), seeded(99)).mean(dim=0)
    ours = blind = 0.0
    for i in range(instances):
        truth, observation = task.instance(i)
        found = solver(pde, None, observation, n_samples=n_samples, generator=seeded(500 + i))
        for values, shape in ((found.mean, 3), (found.std, 3), (found.samples, 4)):
            assert (
                values.ndim == shape
                and values.shape[-3:] == truth.shape
                and bool(values.isfinite().all())
            )
        assert len(found.samples) == n_samples and found.record["solver"] == solver.name
        ours += float(relative_l2(found.mean[None], truth[None])[0, c]) / instances
        blind += float(relative_l2(guess[None], truth[None])[0, c]) / instances
    return ours, blind


@pytest.mark.parametrize(("name", "share"), [("poisson", 0.5), ("darcy", 0.7)])
def test_the_smoother_beats_the_prior_mean(page, name, share):
    ours, blind = mean_errors(
        page["EnsembleSmoother"](members=150), tuning_task(name, "inverse", grid=16, sensors=30)
    )
    assert ours < share * blind


def test_the_smoother_comes_near_the_exact_posterior_of_noisy_readings(page):
    problem, ours, best = Problem.named("poisson", modes=16), 0.0, 0.0
    for i in range(3):
        truth, observation = tuning_task(
            "poisson", "inverse", grid=16, sensors=30, noise=0.05
        ).instance(i)
        smoothed, exact = (
            s(problem.physics, problem.prior, observation, generator=seeded(i))
            for s in (page["EnsembleSmoother"](members=800), GaussianSolver())
        )
        ours, best = (
            e + float((p.mean[0] - truth[0]).norm()) for e, p in ((ours, smoothed), (best, exact))
        )
        assert float(smoothed.std[0].mean() / exact.std[0].mean()) == pytest.approx(1, abs=0.15)
        assert 0.05 < smoothed.record["reduced_chi_squared"] < 1.5
    assert ours < 1.15 * best


def test_the_smoother_gives_as_many_samples_as_asked_by_the_seed(page):
    _, observation = tuning_task("darcy", "inverse", grid=16, sensors=20).instance(0)
    solver = page["EnsembleSmoother"](members=20, rounds=2)
    first, again, other = (
        solver(Darcy(), None, observation, n_samples=50, generator=seeded(s)) for s in (1, 1, 2)
    )
    assert len(first.samples) == 50 and torch.equal(first.samples, again.samples)
    assert not torch.allclose(first.mean, other.mean)
    assert (
        first.record["solver_calls"] == 60
        and first.record["solver_settings"] == '{"members": 20, "rounds": 2}'
    )


def test_an_instance_goes_through_the_door(page):
    result, truth = page["result"], page["truth"]
    assert result.attrs["solver"] == "ensemble-smoother" and result.attrs["reduced_chi_squared"] < 2
    assert result["pressure_mean"].shape == (24, 24) and result["permeability_samples"].shape == (
        16,
        24,
        24,
    )
    assert all(
        np.isfinite(v).all() for name, v in result.data_vars.items() if name != "sensor_field"
    )
    target = truth["pressure"].interp(x=result.x, y=result.y).values
    assert np.linalg.norm(result["pressure_mean"] - target) < 0.15 * np.linalg.norm(target)


def test_the_benchmark_scores_it_by_name(page):
    records = page["records"]
    assert records == read_records(page["folder"] / "mine.jsonl")
    error = {r["method"]: r["error"] for r in records if r["metric"] == "relative_l2"}
    assert set(error) == {"ensemble-smoother", "kriging"}
    assert error["ensemble-smoother"] < error["kriging"] and error["ensemble-smoother"] < 0.4
    assert (
        page["printed"].startswith("| PDE | task |")
        and page["printed"].count("| ensemble-smoother |") == 2
    )


def test_the_benchmark_takes_its_settings(page, tmp_path):
    task, out = tuning_task("poisson", "both", grid=16, sensors=20, noise=0.1), tmp_path / "b.jsonl"
    records = run(task, "ensemble-smoother", 2, out, settings={"members": 50})
    assert [r["field"] for r in records] == ["source", "potential"]
    for r in records:
        assert (
            r["instances"] == 2 and r["settings"] == '{"members": 50}' and r["solver_calls"] == 250
        )
        assert 0 < r["error"] < 1 and 0 < r["coverage90"] <= 1
    # Nothing is run twice
    assert run(task, "ensemble-smoother", 2, out, settings={"members": 50}) == records


def test_the_robust_guidance_beats_the_prior_mean(page):
    ours, blind = mean_errors(
        page["RobustGuidance"](steps=15),
        tuning_task("poisson", "inverse", grid=16, sensors=40),
        2,
        2,
    )
    assert ours < 0.75 * blind


def test_the_robust_guidance_minds_wrong_readings_less_than_a_squared_misfit_does(page):
    task, errors = tuning_task("poisson", "forward", grid=16, sensors=40), {}
    for i in range(2):
        truth, observation = task.instance(i)
        wrong = observation.values + 5 * observation.values.std() * (torch.arange(40) < 4)
        given = dataclasses.replace(observation, values=wrong)
        for solver in (page["RobustGuidance"](steps=15), DPS(steps=15)):
            found = solver(task.physics, None, given, n_samples=2, generator=seeded(i))
            error = float((found.mean[1] - truth[1]).norm() / truth[1].norm())
            errors[solver.name] = errors.get(solver.name, 0.0) + error / 2
    assert errors["robust-guidance"] < 0.75 * errors["dps"]


def test_the_robust_guidance_goes_through_the_door(page):
    result = reconstruct(
        page["sensors"], "darcy", grid=16, solver=page["RobustGuidance"](), steps=10, n_samples=2
    )
    assert (
        result.attrs["solver"] == "robust-guidance"
        and np.isfinite(result["permeability_mean"]).all()
    )
