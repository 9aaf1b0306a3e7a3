"""What the cards of the shipped priors say is measured, and measured rightly."""

import functools
from dataclasses import replace

import pytest
import torch
from helpers import ROOT, TINY, gaussian_prior, seeded, tiny_diffusion, training_data

from pdeinv import Grid, NumericalError, Problem, layouts
from pdeinv.benchmarks.families import FAMILIES
from pdeinv.benchmarks.records import read_records, write_records
from pdeinv.benchmarks.studies import prior_reports
from pdeinv.benchmarks.studies.nearest_training import (
    memorised,
    nearest_distances,
    nearest_training,
    training_coefficients,
)
from pdeinv.benchmarks.studies.prior_ablation import ablation_section, compared
from pdeinv.benchmarks.studies.prior_cards import cards
from pdeinv.benchmarks.studies.prior_measures import (
    draw_states,
    exact_errors,
    power,
    stable_solution,
    trained_on,
)
from pdeinv.benchmarks.studies.sample_statistics import compare, flagged, statistics
from pdeinv.datasets import NavierStokes
from pdeinv.datasets.generation import generate
from pdeinv.errors import InputError
from pdeinv.observation import Observation
from pdeinv.priors import (
    DiffusionPrior,
    GaussianPrior,
    NeuralOperator,
    SensorRegressor,
    Settings,
    TrainingData,
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
    assert set(record["statistics"]["fields"]) == {"source", "potential"}
    assert "nearest" not in record  # the data are of no file with a seed
    card = cards([record]).split("## Priors of the published presets")[0]
    for part in (
        "## small",
        "8 fields seen",
        "excess, %",
    ):
        assert part in card
    named = record["statistics"]["fields"].values()
    tables = len(record["levels"]), sum(len(rows) for rows in named)
    assert card.count("\n| ") == 4 + sum(tables)
    line = next(line for line in card.splitlines() if line.startswith("- **Samples against data"))
    for field, rows in record["statistics"]["fields"].items():
        for name in rows:
            assert (f"{field}: {name} (" in line) == (name in flagged(rows))


def test_a_prior_of_a_family_is_measured_on_its_own_distribution(tmp_path, monkeypatch):
    for name, value in {"_HELD_OUT": 16, "_SAMPLES": 6, "_STEPS": 2, "_NEAREST": 3}.items():
        monkeypatch.setattr(prior_reports, name, value)
    problem = FAMILIES["spikes"]["poisson"]  # linear, but its fields have no known covariance
    file = generate(problem, 40, 16, 3, tmp_path / "data.h5", workers=1)
    data, path = TrainingData.read(file, "coefficient"), tmp_path / "spikes.safetensors"
    prior = train(tiny_diffusion, data, path, Settings(steps=2, batch=4))
    assert torch.equal(training_coefficients(prior, problem)(range(35)), data.states[:35])
    record, _ = prior_reports.report("spikes", prior, "a command")
    assert "exact_errors" not in record
    assert record["nearest"]["training_fields"] == 35
    assert memorised(record["nearest"]) == 0
    write_records(tmp_path / "records.jsonl", [record])  # refuses what is not of its kind
    assert "; none of the samples memorised." in cards([record])


def _nodes(n, share, seed):
    """Return n fields of independent nodes, high with the probability `share`."""
    return (torch.rand(n, 32, 32, generator=seeded(seed)) < share).double()


def test_statistics_of_independent_nodes_are_powers_of_their_share():
    found = {name: v.mean() for name, v in statistics(_nodes(400, 0.3, 1), (0.0, 1.0)).items()}
    for name, value in found.items():
        nodes = {"sha": 1, "two": 2, "thr": 3}.get(name[:3])
        if nodes and "off" not in name:
            assert float(value) == pytest.approx(0.3**nodes, abs=0.002), name
    # A node far from both values, of values that are neither 0 nor 1
    one = torch.full((1, 16, 16), 3.0)
    one[0, 0, 0] = 5.0
    found = statistics(one, (3.0, 12.0))
    assert float(found["share of nodes off both values"]) == pytest.approx(1 / 256)
    assert float(found["share of high nodes"]) == 0


def test_statistics_of_normal_nodes_are_the_moments_of_their_law():
    z = 2 + 3 * torch.randn(400, 32, 32, generator=seeded(1), dtype=torch.float64)
    found = {name: float(v.mean()) for name, v in statistics(z, None, 2.0, 3.0).items()}
    for name, value in found.items():
        if name.startswith("cube of absolute increments"):
            # E|N(0, 2)|³
            assert value == pytest.approx(2**1.5 * 2 * (2 / torch.pi) ** 0.5, rel=0.01), name
        elif "pieces" not in name:
            assert value == pytest.approx(float(name == "mean square"), abs=0.02), name


def test_statistics_of_one_disc_and_of_stripes():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    disc = ((x - 12).square() + (y - 20).square() < 36).double()[None]
    found = statistics(disc, (0.0, 1.0))
    assert float(found["pieces of high nodes"]) == float(found["pieces of low nodes"]) == 1
    stripes = (x % 8 < 4).double()[None]  # along y, 4 nodes wide
    found = statistics(stripes, (0.0, 1.0))
    assert float(found["pieces of high nodes"]) == float(found["pieces of low nodes"]) == 4
    assert float(found["two nodes high, 4 apart"]) == pytest.approx(0.25, abs=0.02)  # of y alone
    assert float(found["three at a right angle high, 4 apart"]) == 0
    assert float(found["three at a right angle high, 8 apart"]) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("phases", [(0.0, 1.0), None], ids=["two values", "any values"])
def test_another_distribution_is_flagged_and_more_data_is_not(phases):
    data, more = _nodes(128, 0.3, 1), _nodes(128, 0.3, 2)
    assert len(flagged(compare(data, more, phases))) <= 2
    other = compare(data, _nodes(128, 0.32, 3), phases)
    share = "share of high nodes" if phases else "mean"
    assert share in flagged(other) and other[share]["standard_errors"] > 5
    blurred = (more + more.roll(1, 1) + more.roll(1, 2)) / 3  # of the same mean
    found = flagged(compare(data, blurred, phases))
    name = "share of nodes off both values" if phases else "mean square"
    assert name in found and ("mean" not in found)
    alike = compare(torch.ones(4, 16, 16), torch.ones(4, 16, 16), (0.0, 1.0))
    assert not flagged(alike)


def test_the_nearest_training_field_is_the_field_itself_and_its_images():
    prior = load("channels-coefficient")
    problem, grid = trained_on("channels", prior), prior.gaussian.grid
    draw = training_coefficients(prior, problem)  # the draws have the digest that the file states
    fields = draw(range(5))
    images = torch.cat([fields[:1], fields[1:2].flip(-1), fields[2:3].transpose(-1, -2)]).double()
    fresh = draw_states(problem, prior.gaussian, 4, grid, seeded(1))
    group = problem.symmetries
    found = nearest_distances(torch.cat([images, fresh]), [fields[:2], fields[2:]], group, grid)
    assert float(found[:3].max()) == 0 and float(found[3:].min()) > 0.2
    turned = [((element(fresh, grid)[:, None] - fields).flatten(2)) for element in group]
    apart = torch.stack(turned).norm(dim=3).amin(dim=(0, 2)) / fresh.flatten(1).norm(dim=1)
    assert torch.allclose(found[3:], apart)
    prior.record = {**prior.record, "samples": 5, "digest": None}
    assert training_coefficients(prior, problem) is None
    del prior.record["digest"]
    nearest = nearest_training(prior, problem, images + 0.1, fresh)  # rounded to the two values
    assert max(nearest["to_samples"]) == 0 and memorised(nearest) == 3
    del prior.record["data_seed_range"]
    assert nearest_training(prior, problem, images, fresh) is None


def test_the_nearest_field_on_a_torus_may_be_a_translated_one():
    problem = Problem.named("navier-stokes", modes=8)
    grid = problem.physics.grid(16)
    fields = problem.sample_coefficient(6, grid, seeded(1))
    group = problem.symmetries.acting_on(problem.physics.fields[:1])
    for shift, zero in {(3, -3): True, (3, 3): False}.items():  # along (1, -1) alone
        moved = fields.roll(shift, (2, 3))
        found = nearest_distances(moved, [fields], group, grid)
        assert (float(found.max()) < 1e-6) == zero
    element = group.element(3, seeded(2), grid)
    assert float(nearest_distances(element(fields, grid), [fields], group, grid).max()) < 1e-6


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


def test_a_flow_that_is_too_fast_for_the_time_step_is_solved_with_smaller_ones():
    flow, grid = NavierStokes(viscosity=1e-4, dt=0.25, time=0.5), Grid(32, kind="periodic")
    a = 12 * Problem(flow).sample_coefficient(1, grid, seeded())
    with pytest.raises(NumericalError, match="unstable"):
        flow.solve(a)
    finest = replace(flow, dt=0.25 / 8).solve(a)
    found = stable_solution(flow, a)
    assert float((found - finest).norm() / finest.norm()) < 0.1
    with pytest.raises(NumericalError, match="unstable"):
        stable_solution(flow, 40 * a)
