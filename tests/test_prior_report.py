"""What the cards of the shipped priors say is measured, and measured rightly."""

import functools

import pytest
import torch
from helpers import ROOT, TINY, gaussian_prior, seeded, tiny_diffusion, training_data

from pdeinv import Problem, layouts
from pdeinv.benchmarks.records import read_records
from pdeinv.benchmarks.studies import prior_reports
from pdeinv.benchmarks.studies.prior_ablation import ablation_section, compared
from pdeinv.benchmarks.studies.prior_cards import cards
from pdeinv.benchmarks.studies.prior_measures import exact_errors, power
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.priors import (
    DiffusionPrior,
    GaussianPrior,
    NeuralOperator,
    SensorRegressor,
    Settings,
    load,
    shipped,
    train,
)
from pdeinv.priors.validation import denoising_errors


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("prior") / "small.safetensors"
    data = training_data(Problem.named("poisson", modes=16))
    train(tiny_diffusion, data, path, Settings(steps=2, batch=4))
    return path


def test_power_by_wavenumber_adds_up_and_finds_a_wave():
    data = training_data(Problem.named("navier-stokes", modes=16, time=0.1), samples=64)
    prior = GaussianPrior.fit(data)
    states = data.states.double()
    total = (
        (prior.normalise(states) - prior.normalise(states).mean(dim=0)).square().mean(dim=(0, 2, 3))
    )
    assert torch.allclose(power(prior, states).sum(dim=1), total, rtol=0.02)
    x = data.grid.coordinates()[1]
    wave = (
        torch.sin(2 * torch.pi * 3 * x).expand(2, 2, 16, 16)
        * torch.tensor([1.0, -1.0])[:, None, None, None]
    )
    found = power(prior, wave.double())
    assert bool((found[:, 3] > 0.999 * found.sum(dim=1)).all())


def test_no_denoiser_beats_the_exact_one_and_the_fitted_one_is_close():
    problem = Problem.named("poisson", modes=16)
    prior = gaussian_prior(problem, samples=3000)
    fresh = training_data(problem, samples=200, seed=5)
    sigmas = (0.1, 1.0)
    exact, fitted = (
        exact_errors(problem, prior, fresh, sigmas),
        denoising_errors(prior, fresh, sigmas),
    )
    for name, errors in exact.items():
        for best, ours in zip(errors, fitted[name], strict=True):
            assert 0.998 < ours / best < 1.02


def test_a_report_has_all_that_its_card_tells(trained, monkeypatch):
    for name, value in {"_HELD_OUT": 32, "_SAMPLES": 8, "_STEPS": 3}.items():
        monkeypatch.setattr(prior_reports, name, value)
    record, figure = prior_reports.report(str(trained), load(trained), "a command")
    assert record["prior"] == "small"
    assert set(record["spectrum_16"]) == {"source", "potential"}
    assert record["residual_32"] > 0
    assert max(record["consistency"]["denoised"]) < 1e-5 < min(record["consistency"]["sampled"])
    assert len(figure.axes) == 20
    card = cards([record]).split("## Priors of the published presets")[0]
    for part in (
        "## small",
        "8 fields seen",
        "excess, %",
    ):
        assert part in card
    assert card.count("\n| ") == 2 + len(record["levels"])


def test_an_operators_report_is_its_error_on_fresh_coefficients(tmp_path, monkeypatch):
    monkeypatch.setattr(prior_reports, "_HELD_OUT", 16)
    problem, path = Problem.named("poisson", modes=16), tmp_path / "operator.safetensors"
    pde, data = problem.physics, training_data(problem, samples=40)
    operator = train(NeuralOperator.untrained, data, path, Settings(steps=3, batch=4))
    record = prior_reports.operator_report(str(path), load(path), "a command")
    a = problem.sample_coefficient(16, pde.grid(32), seeded(77_000))
    u = pde.solve(a)
    expected = ((operator(a) - u).flatten(1).norm(dim=1) / u.flatten(1).norm(dim=1)).mean()
    # Weights in half precision
    assert record["relative_l2"]["32"] == pytest.approx(float(expected), rel=0.01)
    assert "on 16 nodes" in cards([record]) and "source to potential" in cards([record])


def test_a_regressors_report_is_its_error_on_fresh_states(tmp_path, monkeypatch):
    monkeypatch.setattr(prior_reports, "_HELD_OUT", 16)
    problem, path = Problem.named("poisson", modes=16), tmp_path / "regressor.safetensors"
    pde = problem.physics
    make = functools.partial(SensorRegressor.untrained, width=16, modes=4, layers=2)
    train(make, training_data(problem, samples=40), path, Settings(steps=3, batch=4))
    regressor = load(path)
    record = prior_reports.regressor_report(str(path), regressor, "a command")
    states = problem.sample(16, pde.grid(32), seeded(77_000))
    points = torch.as_tensor(layouts.random_nodes(31, pde.grid(32), seed=77_000))
    errors = []
    for state in states:  # one by one, by the public call
        exact = torch.zeros(31, dtype=torch.float64)
        blank = Observation(pde.grid(32), points, torch.ones(31, dtype=torch.long), exact, exact)
        told = Observation(pde.grid(32), points, blank.channel, blank(state[None])[0], exact)
        errors.append(float((regressor(told) - state)[0].norm() / state[0].norm()))
    assert record["sensor_errors"]["32"]["inverse"] == pytest.approx(sum(errors) / 16, rel=1e-4)
    assert "on 32 nodes with 31 sensors" in cards([record]) and "## regressor" in cards([record])


def test_the_cards_are_those_of_the_records_and_name_every_shipped_prior():
    results = ROOT / "benchmarks" / "results"
    records = read_records(results / "priors.jsonl")
    page = (ROOT / "docs" / "priors.md").read_text()
    without_card = set(shipped()) - {r["prior"] for r in records}
    assert without_card == {name for name in shipped() if name.endswith("-white")}
    assert all(f"| {name} |" in page for name in without_card)
    ablation = read_records(results / "prior-ablation.jsonl")
    assert page == cards(records, ablation)


def test_the_ablation_compares_denoising_errors_on_the_same_fields(trained, tmp_path):
    data, settings = (
        training_data(Problem.named("poisson", modes=16), samples=40),
        Settings(steps=2, batch=4, symmetry=False),
    )
    plain = functools.partial(DiffusionPrior.untrained, preconditioning="edm", **TINY)
    other = tmp_path / "plain.safetensors"
    train(lambda d: plain(GaussianPrior.fit(d)), data, other, settings)
    records = compared([str(trained), str(other)], "a command", held_out=4)
    problem, g = Problem.named("poisson", modes=16), load(trained).gaussian
    fresh = training_data(problem, g.grid.ny, 4, seed=77_500)
    for record, file in zip(records, (trained, other), strict=True):
        assert record["errors"] == denoising_errors(load(file), fresh)
    section = ablation_section(records)
    assert section.index("| yes | yes |") < section.index("| no | no |")
    assert section.count("\n| ") == 2 + 4
    with pytest.raises(InputError, match="other fields"):
        foreign = tmp_path / "darcy.safetensors"
        train(
            lambda d: plain(GaussianPrior.fit(d)),
            training_data(Problem.named("darcy", modes=16), samples=40),
            foreign,
            settings,
        )
        compared([str(trained), str(foreign)], held_out=4)
