"""Where further readings buy most: predicted variances, choices and the worth of sensors."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import run_command, seeded

import pdeinv
from pdeinv import GaussianField, Grid, InputError, LogNormal, Problem
from pdeinv.datasets import Darcy, Poisson
from pdeinv.observation import Observation
from pdeinv.quantities import Flux, Mean
from pdeinv.solvers import GaussianSolver
from pdeinv.solvers.design.greedy import Beliefs, Candidates, choose
from pdeinv.solvers.design.laws import EnsembleLaw, LatentLaw, node_readings
from pdeinv.solvers.design.targets import Target

PROBLEM = Problem(Poisson(), GaussianField(0.0, 1.0, 0.2), 16)
GRID = PROBLEM.physics.grid(16)
NOISE = 2e-3


def readings(points, channel=1, problem=PROBLEM, grid=GRID, std=NOISE):
    m = len(points)
    order = tuple(f.interpolation_order for f in problem.physics.fields)
    return Observation(
        grid,
        torch.as_tensor(points, dtype=torch.float64),
        torch.full((m,), channel),
        torch.zeros(m),
        torch.full((m,), std),
        order,
    )


PRESENT = readings(np.random.default_rng(0).random((8, 2)))


def known_of(law, present):
    rows = law.rows(present)
    gram = rows @ rows.T + torch.diag(present.noise_std**2)
    lower = torch.linalg.cholesky(gram)
    return torch.linalg.solve_triangular(lower, rows, upper=False)


def exact_variance(points, channel=0):
    """The mean posterior variance of a field, by the solver."""
    both = np.concatenate([PRESENT.points.numpy(), points])
    found = GaussianSolver().condition(
        PROBLEM.physics, PROBLEM.prior, readings(both), 1, seeded(), False
    )
    return float(found.std[channel].square().mean())


@pytest.fixture(scope="module")
def beliefs():
    law = LatentLaw(PROBLEM, PRESENT)
    target = Target(PRESENT, 0, torch.full(GRID.shape, 1 / GRID.nodes, dtype=torch.float64))
    candidates = Candidates(readings(GRID.points()[::3]))
    return Beliefs.of(law, known_of(law, PRESENT), candidates, target)


def test_predicted_variances_are_those_after_the_readings(beliefs):
    points = beliefs.candidates.observation.points.numpy()
    chosen, totals = choose(beliefs, 3)
    assert math.isclose(beliefs.total, exact_variance(points[:0]), rel_tol=1e-8)
    for k, total in enumerate(totals, start=1):
        assert math.isclose(total, exact_variance(points[chosen[:k]]), rel_tol=1e-8)


def test_gains_are_those_of_each_candidate_alone(beliefs):
    points = beliefs.candidates.observation.points.numpy()
    after = [exact_variance(points[[i]]) for i in range(0, len(points), 7)]
    assert np.allclose(beliefs.gains[::7], beliefs.total - np.array(after), rtol=1e-6, atol=1e-10)
    now = beliefs.after(11)
    both = [exact_variance(points[[11, i]]) for i in range(0, len(points), 11)]
    assert np.allclose(now.gains[::11], now.total - np.array(both), rtol=1e-6, atol=1e-10)


def test_a_pair_is_the_best_of_all_pairs(beliefs):
    few = Candidates(readings(GRID.points()[::19]))
    small = Beliefs.of(beliefs.law, beliefs.known, few, beliefs.target)
    _, totals = choose(small, 2)
    pairs = itertools.combinations(range(len(few)), 2)
    best = min(small.after(i).after(j).total for i, j in pairs)
    assert math.isclose(totals[-1], best, rel_tol=1e-9)


def test_a_functional_is_made_certain(beliefs):
    weights = torch.zeros(1, *GRID.shape, dtype=torch.float64)
    weights[0, 4:8, 4:8] = 1 / 16
    target = Target(PRESENT, 1, weights)
    found = Beliefs.of(beliefs.law, beliefs.known, beliefs.candidates, target)
    chosen, totals = choose(found, 1)
    x, y = found.candidates.observation.points[chosen[0]].tolist()
    assert 0.1 < x < 0.6 and 0.1 < y < 0.6 and totals[0] < 0.7 * found.total
    # The sum over many functionals, each of one node, is the sum over these nodes
    places = torch.eye(GRID.nodes, dtype=torch.float64).reshape(-1, *GRID.shape)[100:104]
    nodes = replace(target, weights=places.sum(dim=0), channel=0)
    each = replace(target, weights=places, channel=0)
    one, other = (
        Beliefs.of(beliefs.law, beliefs.known, beliefs.candidates, t) for t in (nodes, each)
    )
    assert math.isclose(one.total, other.total, rel_tol=1e-9)
    assert torch.allclose(one.gains, other.gains, rtol=1e-7)


@pytest.mark.parametrize("channel", [0, 1])
def test_a_linearised_law_has_its_adjoint(channel):
    problem = Problem(Darcy(), LogNormal(1.0, 0.7, 0.3))
    grid = problem.physics.grid(12)
    some = readings(grid.points()[[20, 51, 77]], channel, problem, grid)
    xi = torch.randn(problem.latent.shape, dtype=torch.float64, generator=seeded())[None]
    law = LatentLaw(problem, some, xi)
    tables = torch.randn(2, problem.latent.size, dtype=torch.float64, generator=seeded())
    pushed = some(law.states(tables, channel))
    assert torch.allclose(pushed, tables @ law.rows(some).T, rtol=2e-3, atol=1e-6)
    assert torch.allclose(law.states(tables)[:, channel], law.states(tables, channel)[:, channel])


def test_many_draws_agree_with_the_exact_law(beliefs):
    found = GaussianSolver().condition(
        PROBLEM.physics, PROBLEM.prior, PRESENT, 2000, seeded(), False
    )
    law = EnsembleLaw(found.samples, GRID)
    nothing = torch.zeros(0, 2000, dtype=torch.float64)
    rough = Beliefs.of(law, nothing, beliefs.candidates, beliefs.target)
    assert math.isclose(rough.total, beliefs.total, rel_tol=0.05)
    assert float(torch.corrcoef(torch.stack([rough.gains, beliefs.gains]))[0, 1]) > 0.9


def test_the_worth_of_a_sensor_is_the_rise_of_the_variance_without_it():
    x, y = PRESENT.points.T.numpy()
    table = pd.DataFrame({"field": "potential", "x": x, "y": y, "value": 0.0, "noise_std": NOISE})
    plan = pdeinv.design(table, problem=PROBLEM, add=1)
    for i in (0, 5):
        rest = PRESENT.subset(torch.arange(len(x)) != i)
        found = GaussianSolver().condition(PROBLEM.physics, PROBLEM.prior, rest, 1, seeded(), False)
        rise = float(found.std[0].square().mean()) / plan.attrs["std_before"] ** 2 - 1
        assert math.isclose(float(plan["worth"][i]), rise, rel_tol=1e-6, abs_tol=1e-7)
    assert float(plan["std_after"][0]) < plan.attrs["std_before"]


def test_a_part_of_the_domain_and_other_kinds_of_readings():
    x, y = PRESENT.points.T.numpy()
    table = pd.DataFrame({"field": "potential", "x": x, "y": y, "value": 0.0, "noise_std": NOISE})
    corner = [[0, 0], [0.4, 0], [0.4, 0.4], [0, 0.4]]
    near = pdeinv.design(table, problem=PROBLEM, add=2, where=corner)
    assert float(near["reading_x"].max()) < 0.6 and float(near["reading_y"].max()) < 0.6
    discs = {"x": [0.2, 0.8, 0.5], "y": [0.2, 0.8, 0.5], "radius": [0.1, 0.1, 0.1], "kind": "disc"}
    plan = pdeinv.design(table, problem=PROBLEM, add=2, candidates=discs, noise_std=1e-3)
    assert plan.sizes == {"reading": 2, "candidate": 3, "sensor": 8}


def test_the_mean_over_a_polygon_is_made_certain(tmp_path):
    triangle = [[0.1, 0.1], [0.9, 0.2], [0.4, 0.8]]
    table = {"field": "potential", "x": [0.3, 0.7], "y": [0.4, 0.6], "value": 0.002}
    given = {"problem": PROBLEM, "noise_std": 1e-4, "noise": 1e-4}
    plan = pdeinv.design(table, of=Mean("source", triangle), add=2, **given)
    assert plan.attrs["of"] == "mean of source"
    first = {"x": [*table["x"], float(plan["reading_x"][0])], "field": "potential"}
    first |= {"y": [*table["y"], float(plan["reading_y"][0])], "value": 0.002}
    after = pdeinv.design(first, of=Mean("source", triangle), add=1, **given)
    assert after.attrs["std_before"] == pytest.approx(float(plan["std_after"][0]), rel=1e-8)
    assert float(plan["std_after"][0]) < 0.9 * plan.attrs["std_before"]
    # The same by posterior samples
    result = pdeinv.reconstruct(table, problem=PROBLEM, noise=1e-4, n_samples=2000)
    std = float(result.quantity(Mean("source", triangle))["std"])
    assert plan.attrs["std_before"] == pytest.approx(std, rel=0.06)
    corners = [*triangle, triangle[0]]
    part, sensors = tmp_path / "part.geojson", tmp_path / "sensors.csv"
    part.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))
    pd.DataFrame(table | {"noise_std": 1e-4}).to_csv(sensors, index=False)
    PROBLEM.save(tmp_path / "p.toml")
    command = ["design", sensors, "--problem", tmp_path / "p.toml", "--of", f"mean:source:{part}"]
    found = run_command(*command, "--add", 2, "--out", tmp_path / "next.csv")
    assert found.exit_code == 0, found.output
    kept = pd.read_csv(tmp_path / "next.csv")
    np.testing.assert_allclose(kept["std_after"], plan["std_after"], rtol=1e-6)


def test_other_solvers_use_posterior_draws():
    problem = Problem(Darcy(), LogNormal(1.0, 0.5, 0.3), 16)
    grid = problem.physics.grid(16)
    truth = problem.sample(1, grid, seeded())
    points = np.random.default_rng(1).random((10, 2))
    values = readings(points, 1, problem, grid)(truth)[0]
    table = {
        "field": "pressure",
        **{"x": points[:, 0], "y": points[:, 1]},
        "value": values.numpy(),
        "noise_std": 1e-3,
    }
    options = {"problem": problem, "add": 2, "draws": 60, "seed": 1}
    for solver in ("gauss-newton", "optimal-interpolation"):
        plan = pdeinv.design(table, solver=solver, **options)
        assert plan.attrs["solver"] == solver
        assert np.isfinite(plan["worth"].values).all()
        assert (np.diff([plan.attrs["std_before"], *plan["std_after"].values]) < 0).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"add": 0}, "add must be"),
        ({"field": "source"}, "noise_std must be given where no present sensor reads 'source'"),
        ({"of": "wind"}, "field must be 'source'"),
        ({"candidates": {"x": [0.1]}}, "candidates must be a table with x and y"),
        ({"candidates": {"x": [3.0], "y": [0.1]}}, "must be in the domain"),
        ({"where": [[5, 5], [6, 5], [6, 6]]}, "must have a part in"),
        ({"of": Flux(side="left")}, "of must be the name of a field or a pdeinv.quantities.Mean"),
        ({"of": Mean("source"), "where": [[0, 0], [1, 0], [1, 1]]}, "where must be left out"),
        ({"pde": "poisson"}, "pde or problem must be given, got both"),
    ],
)
def test_what_cannot_be_designed_is_refused(options, message):
    table = {"field": "potential", "x": [0.3], "y": [0.4], "value": [0.0], "noise_std": [NOISE]}
    with pytest.raises(InputError, match=message):
        pdeinv.design(table, **{"problem": PROBLEM, **options})


def test_readings_at_nodes_are_exact():
    values = torch.arange(2 * GRID.nodes).double().reshape(1, 2, *GRID.shape)
    found = node_readings(PRESENT, 1, torch.tensor([3, 40]))(values)[0]
    assert found.tolist() == [GRID.nodes + 3, GRID.nodes + 40]
    assert isinstance(PRESENT.grid, Grid)
